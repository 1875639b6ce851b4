"""The sites of SDXL against the complete name map, and their counts (networks 3.3, 4.1, 9)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.plan.ranks import place
from engine.plan.site import Placement, Site
from engine.plan.sites import sites_of
from engine.plan.sites.sdxl import SDXL, original_name, sdxl_shape
from engine.plan.sites.text_encoders import CLIP_G, ClipSize
from engine.schema.architectures import ARCHITECTURES
from engine.schema.lr_weights import block_lr_weights
from engine.schema.network import Network

MAP: list[list[Any]] = json.loads((Path(__file__).parent / "sdxl.json").read_text("utf-8"))


def of_unet() -> list[Site]:
    return [s for s in sites_of("sdxl") if s.component == "denoiser" and s.ranked]


def as_map(site: Site) -> list[Any]:
    (segment,) = site.segments
    assert segment.target == segment.source == (0, site.rows)
    kernel = list(site.kernel) if site.kind == "conv" else None
    return [site.name, site.rows, site.columns, kernel, site.default, segment.module]


def placed(**options: object) -> list[Placement]:
    network = Network.model_validate({"rank": 4, "alpha": 1.0, **options})
    return list(place(network, sites_of("sdxl"), "sdxl"))


def parameters(placements: list[Placement]) -> int:
    return sum(p.site.parameters(p.rank) for p in placements)


def test_unet_sites_equal_the_name_map() -> None:
    """networks 9, check 26: every saved name, shape and module."""
    assert {site.name: as_map(site) for site in of_unet()} == {entry[0]: entry for entry in MAP}
    assert len(of_unet()) == len(MAP) == 788


def test_text_sites_keep_the_level_that_one_class_dropped() -> None:
    """networks 9, check 26: CLIPTextModel and CLIPTextModelWithProjection, one spelling."""
    first = [s for s in sites_of("sdxl") if s.component == "text_encoder"]
    second = [s for s in sites_of("sdxl") if s.component == "text_encoder_2"]
    assert (len(first), len(second)) == (72, 192)
    assert all(s.name.startswith("lora_te1_text_model_encoder_layers_") for s in first)
    assert all(s.name.startswith("lora_te2_text_model_encoder_layers_") for s in second)
    assert all(s.segments[0].module.startswith("encoder.layers.") for s in first)
    assert all(s.segments[0].module.startswith("text_model.encoder.layers.") for s in second)


def test_counts_and_parameters() -> None:
    """networks 9, check 5."""
    both = placed(train="both")
    text = [p for p in both if p.site.component != "denoiser"]
    unet = [p for p in both if p.site.component == "denoiser"]
    assert (len(text), parameters(text)) == (264, 3_612_672)
    assert (len(unet), parameters(unet)) == (722, 10_639_360)
    conv = placed(train="denoiser", conv_dim=4)
    assert (len(conv), parameters(conv)) == (788, 12_296_960)


def test_norms_lie_beside_the_layers_that_read_them() -> None:
    """networks 9, check 38: 221 in the transformers, 255 with the resnets'."""
    norms = [s for s in sites_of("sdxl") if s.kind == "norm"]
    assert sum(s.family == "norm" for s in norms) == 221
    assert len(norms) == 255
    by_name = {s.name: s.segments[0].module for s in norms}
    assert by_name["lora_unet_input_blocks_4_0_in_layers_0"] == "down_blocks.1.resnets.0.norm1"
    assert by_name["lora_unet_middle_block_1_norm"] == "mid_block.attentions.0.norm"


def test_one_block_alone() -> None:
    """networks 9, check 8: how many adapters each block has when it is the only one."""
    expected = [0, 0, 3, 3, 1, 26, 25, 1, 106, 105, 3, 102, 3, 106, 106, 107, 26, 26, 27, 4, 4, 4]
    for block, count in enumerate([*expected, 0]):
        dims = [0] * 23
        dims[block] = 4
        only = placed(train="denoiser", block_dims=dims, conv_block_dims=dims)
        assert len(only) == count, block
    blocks = ARCHITECTURES["sdxl"].blocks
    assert Counter(b.part for b in blocks) == {"EMB": 1, "IN": 9, "MID": 3, "OUT": 9, "END": 1}


def test_blocks_hold_the_counts_of_the_table() -> None:
    """The table of networks 4.1: attention, resnet linear and 1×1, and 3×3 layers of each block."""
    counted = Counter((s.block, s.family == "resnet_linear", s.kernel != (1, 1)) for s in of_unet())
    table = [
        (counted[b, False, False], counted[b, True, False], counted[b, False, True])
        for b in range(23)
    ]
    plain, sampler, out = (0, 1, 2), (0, 0, 1), (0, 2, 2)
    expected = [(0, 0, 0)] * 2 + [plain] * 2 + [sampler, (22, 2, 2), (22, 1, 2), sampler]
    expected += [(102, 2, 2), (102, 1, 2), plain, (102, 0, 0), plain]
    expected += [(102, 2, 2)] * 2 + [(102, 2, 3)] + [(22, 2, 2)] * 2 + [(22, 2, 3)] + [out] * 3
    assert table == [*expected, (0, 0, 0)]


def test_learning_rate_weights_span_nine_three_and_nine_blocks() -> None:
    """networks 9, check 10: 1 + 9 + 3 + 9 + 1."""
    network = Network.model_validate(
        {"down_lr_weight": "zeros", "mid_lr_weight": [0.5, 1, 0], "up_lr_weight": "cosine+.25"}
    )
    weights = block_lr_weights(network, ARCHITECTURES["sdxl"])
    assert weights is not None
    assert weights[:13] == [1.0] + [0.0] * 9 + [0.5, 1.0, 0.0]
    assert (weights[13], weights[21], weights[22]) == pytest.approx((1.25, 0.25, 1.0))


def test_other_widths_follow_the_same_rules() -> None:
    down = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    unet = {"block_out_channels": [32, 32, 64], "down_block_types": down,
            "transformer_layers_per_block": [1, 1, 2], "cross_attention_dim": 96}  # fmt: skip
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    shape = sdxl_shape({"denoiser": unet, "text_encoder": text})
    assert (shape.transformer_depths, shape.clip_l, shape.clip_g) == (
        (0, 1, 2), ClipSize(32, 64, 2), CLIP_G,
    )  # fmt: skip
    names = {s.name for s in sites_of("sdxl", shape)}
    assert "lora_unet_middle_block_1_transformer_blocks_1_attn1_to_q" in names
    assert "lora_unet_middle_block_1_transformer_blocks_2_attn1_to_q" not in names
    assert "lora_unet_input_blocks_4_0_skip_connection" not in names
    assert sdxl_shape({}) == SDXL


@pytest.mark.parametrize(
    "wrong",
    [
        {"block_out_channels": [320, 640, 1280, 1280]},
        {"block_out_channels": [320, 640, 1280], "down_block_types": ["DownBlock2D"] * 3},
    ],
)
def test_a_unet_of_another_structure_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="23 blocks"):
        sdxl_shape({"denoiser": wrong})
    with pytest.raises(ValueError, match="no block of SDXL"):
        original_name("encoder_hid_proj")
