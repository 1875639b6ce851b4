"""Learning rates by part, text encoder, pattern and factor (networks 1.7)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.networks.adapter import Adapter
from engine.networks.groups import GroupSpec, parameter_groups
from engine.plan.ranks import place
from engine.plan.sites import ModelShape, sites_of
from engine.plan.sites.flux import FluxShape
from engine.plan.sites.sd3_shape import Sd3Shape
from engine.plan.sites.text_encoders import ClipSize, T5Size
from engine.schema.network import Network
from engine.schema.optimizer import Optimizer

CLIP, T5 = ClipSize(8, 16, 1), T5Size(8, 8, 16, 1)
SHAPES: dict[str, ModelShape] = {
    "flux": FluxShape(width=8, double=2, single=2, context_width=8, clip=CLIP, t5=T5),
    "sd3": Sd3Shape(width=8, layers=2, context_width=8, clip_l=CLIP, clip_g=CLIP, t5=T5),
}


def groups(architecture: str, optimizer: dict[str, Any], **options: Any) -> list[GroupSpec]:
    network = Network.model_validate({"rank": 2, "train": "both", "train_t5xxl": True, **options})
    placements = place(network, sites_of(architecture, SHAPES[architecture]), architecture)
    chosen = Optimizer.model_validate(optimizer)
    return parameter_groups([Adapter(p) for p in placements], network, chosen)


def rates(architecture: str, optimizer: dict[str, Any], **options: Any) -> dict[str, float]:
    found = groups(architecture, optimizer, **options)
    assert len({g.name for g in found}) == len(found)
    assert len({id(p) for g in found for p in g.params}) == sum(len(g.params) for g in found)
    return {g.name: g.lr for g in found}


@pytest.mark.parametrize(
    ("written", "expected"),
    [([1e-5], [1e-5] * 3), ([1e-5, 2e-5], [1e-5, 2e-5, 2e-5]), ([1e-5, 2e-5, 3e-5], None)],
)
def test_each_text_encoder_has_its_rate(written: list[float], expected: list[float] | None) -> None:
    """Check 32: one rate is for all, of two the second is for T5 too."""
    found = rates("sd3", {"text_encoder_lr": written})
    names = ["textencoder1", "textencoder2", "textencoder3"]
    assert list(found) == [*names, "unet"]
    assert [found[name] for name in names] == (expected or written)
    assert found["unet"] == 1e-4


def test_a_rate_of_zero_leaves_an_encoder_out() -> None:
    """Check 32: [0, b, 0] trains CLIP-G alone."""
    assert rates("sd3", {"text_encoder_lr": [0, 2e-5, 0]}) == {"textencoder2": 2e-5, "unet": 1e-4}


def test_flux_has_one_for_clip_and_one_for_t5() -> None:
    found = rates("flux", {"text_encoder_lr": [1e-5, 0], "denoiser_lr": 3e-4})
    assert found == {"textencoder1": 1e-5, "unet": 3e-4}


def test_loraplus_follows_every_group() -> None:
    """Check 31: the ratio of text encoders is for each of them, and only up factors have it."""
    options = {"loraplus_lr_ratio": 16, "loraplus_text_encoder_lr_ratio": 4}
    found = groups("flux", {"text_encoder_lr": [1e-5, 2e-5]}, **options)
    assert {g.name: g.lr for g in found} == pytest.approx(
        {
            "textencoder1": 1e-5, "textencoder1 plus": 4e-5,
            "textencoder2": 2e-5, "textencoder2 plus": 8e-5,
            "unet": 1e-4, "unet plus": 1.6e-3,
        }
    )  # fmt: skip
    plus = {g.name.removesuffix(" plus"): g for g in found if g.name.endswith(" plus")}
    for group in found:
        if group.name in plus:
            assert len(plus[group.name].params) == len(group.params)
            assert all(p.abs().max() == 0 for p in plus[group.name].params)  # up starts at 0


def test_patterns_have_groups_before_the_rest_of_their_part() -> None:
    """Networks 4.2: the rate replaces the part's; LoRA+ still multiplies it; 0 drops."""
    pairs = ["img_attn=5e-5", "single_blocks=0", "te1_.*mlp=1e-6"]
    found = rates("flux", {}, network_reg_lrs=pairs, loraplus_lr_ratio=2, train_t5xxl=False)
    assert found == pytest.approx(
        {
            "textencoder1_reg_lr_2": 1e-6, "textencoder1_reg_lr_2 plus": 2e-6,
            "textencoder1": 1e-4, "textencoder1 plus": 2e-4,
            "unet_reg_lr_0": 5e-5, "unet_reg_lr_0 plus": 1e-4,
            "unet": 1e-4, "unet plus": 2e-4,
        }
    )  # fmt: skip
    assert list(found).index("unet_reg_lr_0") < list(found).index("unet")
