"""The sites of FLUX.1 and Chroma against the complete name map, and their counts (networks 9)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.plan.site import Site
from engine.plan.sites import sites_of
from engine.plan.sites.flux import (
    CHROMA,
    FLUX_DEV,
    FLUX_SCHNELL,
    IN_LAYERS,
    FluxShape,
    flux_shape,
    flux_sites,
    variant_of,
)
from engine.plan.sites.text_encoders import ClipSize, T5Size

GOLDEN: list[list[Any]] = json.loads((Path(__file__).parent / "flux.json").read_text("utf-8"))
DEV = [s for s in sites_of("flux") if s.component == "denoiser" and s.ranked]
DEFAULT = [s for s in DEV if s.default]


def parameters(sites: list[Site]) -> int:
    return sum(s.parameters(4) for s in sites)


def test_denoiser_sites_equal_the_name_map() -> None:
    """networks 9, check 26: every saved name, shape, module and row."""
    ours = [
        [s.name, s.rows, s.columns, s.default,
         sorted([g.module, *g.target, *g.source] for g in s.segments)]
        for s in DEV
    ]  # fmt: skip
    assert sorted(ours) == sorted(GOLDEN)


def test_the_default_trains_304_adapters_of_494_modules() -> None:
    """networks 9, check 11."""
    assert len(DEFAULT) == 304
    assert parameters(DEFAULT) == 19_144_704
    assert sum(len(s.segments) for s in DEFAULT) == 494
    assert sum(len(s.segments) > 1 for s in DEFAULT) == 76


def test_text_encoders() -> None:
    """networks 9, checks 11, 12, 25, 26: CLIP-L 72; T5 168 more, only if asked for."""
    clip = [s for s in sites_of("flux") if s.component == "text_encoder"]
    t5 = [s for s in sites_of("flux") if s.component == "text_encoder_2"]
    assert len(clip) == 72
    assert len(t5) == 168
    assert parameters(clip) + parameters(t5) == 7_938_048
    assert all(s.name.startswith("lora_te1_text_model_encoder_layers_") for s in clip)
    assert all(s.segments[0].module.startswith("encoder.layers.") for s in clip)
    assert all(s.name.startswith("lora_te3_encoder_block_") and not s.default for s in t5)


def test_double_and_single_blocks() -> None:
    """networks 9, checks 13 and 16: blocks are counted through both lists."""
    double = [s for s in DEFAULT if s.block is not None and s.block < 19]
    single = [s for s in DEFAULT if s.block is not None and s.block >= 19]
    assert (len(double), parameters(double)) == (190, 10_739_712)
    assert (len(single), parameters(single)) == (114, 8_404_992)
    assert {s.block for s in single} == set(range(19, 57))
    assert sum(s.block in (0, 1, 2, 3, 5) for s in double) + len(single) == 164


@pytest.mark.parametrize(
    ("families", "left"),
    [
        (("img_attn",), 266), (("txt_attn",), 266), (("img_mlp",), 266), (("txt_mlp",), 266),
        (("img_mod",), 285), (("txt_mod",), 285), (("single",), 228), (("single_mod",), 266),
    ],
)  # fmt: skip
def test_what_is_left_without_a_family(families: tuple[str, ...], left: int) -> None:
    """networks 9, check 15."""
    assert sum(s.family not in families for s in DEFAULT) == left


def test_embedders_come_in_the_order_of_the_option() -> None:
    """networks 9, check 14: 312 with all, 306 with the first and the last, schnell 310."""
    embedders = [s for s in DEV if s.family == "in"]
    names = [s.original.partition(".")[0] for s in embedders]
    assert list(dict.fromkeys(names)) == list(IN_LAYERS)
    assert len(DEFAULT) + len(embedders) == 312
    assert parameters(DEFAULT) + parameters(embedders) == 19_301_632
    assert len(DEFAULT) + sum(n in ("img_in", "txt_in") for n in names) == 306
    schnell = [s for s in flux_sites(FLUX_SCHNELL) if s.component == "denoiser"]
    assert sum(s.ranked for s in schnell) == 310


def test_chroma_is_the_table_without_modulation_and_clip() -> None:
    """networks 9, check 25."""
    sites = [s for s in flux_sites(CHROMA) if s.default]
    assert (len(sites), parameters(sites)) == (228, 14_008_320)
    assert {s.component for s in flux_sites(CHROMA)} == {"denoiser", "text_encoder_2"}


def test_a_shape_is_read_off_the_configs() -> None:
    transformer = {
        "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1,
        "num_single_layers": 2, "in_channels": 64, "joint_attention_dim": 24,
        "pooled_projection_dim": 12, "guidance_embeds": False,
    }  # fmt: skip
    clip = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1}
    t5 = {"d_model": 24, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 2}
    shape = flux_shape({"denoiser": transformer, "text_encoder": clip, "text_encoder_2": t5})
    assert shape == FluxShape(
        32, 16, 1, 2, 64, 24, 12, guidance=False, clip=ClipSize(12, 20, 1), t5=T5Size(24, 32, 64, 2)
    )
    assert variant_of(shape) == "schnell"
    assert variant_of(replace(shape, guidance=True)) == "dev"
    chroma = {k: v for k, v in transformer.items() if k != "pooled_projection_dim"}
    assert variant_of(flux_shape({"denoiser": chroma | {"approximator_num_channels": 64}})) == (
        "chroma"
    )
    assert flux_shape({}) == FLUX_DEV
    with pytest.raises(ValueError, match="packed"):
        flux_shape({"denoiser": transformer | {"patch_size": 2}})
