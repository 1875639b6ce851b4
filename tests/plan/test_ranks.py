"""Options to ranks: the counts and parameter totals of networks 9."""

from __future__ import annotations

import pytest

from engine.plan.ranks import place
from engine.plan.site import Placement
from engine.plan.sites import sites_of
from engine.schema.network import Network


def _place(architecture: str = "sd1", **options: object) -> tuple[Placement, ...]:
    network = Network.model_validate({"rank": 4, "alpha": 1.0, **options})
    return place(network, sites_of(architecture), architecture)


def _unet(placements: tuple[Placement, ...]) -> list[Placement]:
    return [p for p in placements if p.site.component == "denoiser"]


def _parameters(placements: list[Placement]) -> int:
    return sum(p.site.parameters(p.rank) for p in placements)


@pytest.mark.parametrize(
    ("architecture", "text", "unet", "conv"),
    [
        ("sd1", (72, 663_552), (192, 1_695_744), (278, 4_203_264)),
        ("sd2", (138, 1_695_744), (192, 1_728_512), (278, 4_236_032)),
    ],
)
def test_counts_and_parameters(
    architecture: str, text: tuple[int, int], unet: tuple[int, int], conv: tuple[int, int]
) -> None:
    """Acceptance 1–4, in the order that would show a list extended in place."""
    with_conv = _unet(_place(architecture, conv_dim=4))
    placements = _place(architecture)
    encoder = [p for p in placements if p.site.component == "text_encoder"]
    assert (len(encoder), _parameters(encoder)) == text
    assert (len(_unet(placements)), _parameters(_unet(placements))) == unet
    assert (len(with_conv), _parameters(with_conv)) == conv


def test_block_lists() -> None:
    """Acceptance 6: 25 fours are 192 adapters, with conv ranks 278."""
    assert len(_unet(_place(block_dims=[4] * 25))) == 192
    assert len(_unet(_place(block_dims=[4] * 25, conv_block_dims=[4] * 25))) == 278


def test_one_block_alone() -> None:
    """Acceptance 7: how many adapters each block has when it is the only one."""
    expected = [0, 15, 15, 1, 16, 15, 1, 16, 15, 1, 3, 3, 18, 4, 4, 5, 16, 16, 17, 16, 16, 17]
    expected += [16, 16, 16]
    for block, count in enumerate(expected):
        dims = [0] * 25
        dims[block] = 4
        assert len(_unet(_place(block_dims=dims, conv_block_dims=dims))) == count, block


def test_a_block_without_learning_rate_has_no_adapter() -> None:
    """Acceptance 9: zeros on the way down, linear on the way up (whose first is 0)."""
    placements = _unet(_place(down_lr_weight="zeros", up_lr_weight="linear"))
    assert len(placements) == 120
    last = next(p for p in placements if p.site.block == 24)
    assert (last.lr_factor, last.group) == (1.0, "unet_block24")
    assert {p.group for p in placements if p.site.block == 12} == {"unet_block12"}


def test_conv_rank_is_for_three_by_three_only() -> None:
    """Resnets' linear and 1×1 layers take the plain rank (spec: networks 3.2)."""
    by_name = {p.site.name: p for p in _place(rank=16, alpha=8.0, conv_dim=2)}
    conv = by_name["lora_unet_mid_block_resnets_0_conv1"]
    linear = by_name["lora_unet_mid_block_resnets_0_time_emb_proj"]
    assert (conv.rank, conv.alpha, conv.scale) == (2, 1.0, 0.5)
    assert (linear.rank, linear.alpha, linear.group) == (16, 8.0, "unet")


def test_alpha_zero_is_the_rank() -> None:
    """Acceptance 29: scale 1."""
    assert {p.scale for p in _place(alpha=0.0)} == {1.0}
    assert {p.scale for p in _place(alpha=1.0)} == {0.25}


@pytest.mark.parametrize(("train", "count"), [("denoiser", 192), ("text_encoder", 72)])
def test_parts(train: str, count: int) -> None:
    assert len(_place(train=train)) == count


def test_ranks_of_a_file_decide() -> None:
    """Spec networks 1.10: adapters absent from the file are not made, conv ones come along."""
    name, conv = "lora_unet_mid_block_attentions_0_proj_in", "lora_unet_mid_block_resnets_0_conv1"
    placements = place(Network(), sites_of("sd1"), "sd1", {name: (3, 2.0), conv: (2, 0.0)})
    assert {(p.site.name, p.rank, p.alpha) for p in placements} == {(name, 3, 2.0), (conv, 2, 2.0)}
