"""The sites of SD3 against the complete name maps, and their counts (networks 3.5, 9)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.plan.site import Site
from engine.plan.sites import sites_of
from engine.plan.sites.sd3 import sd3_sites
from engine.plan.sites.sd3_shape import (
    SD3_MEDIUM,
    SD35_MEDIUM,
    VARIANTS,
    Sd3Shape,
    sd3_shape,
    sd3_variant,
)
from engine.plan.sites.text_encoders import T5Size

MAPS: dict[str, list[list[Any]]] = json.loads(
    (Path(__file__).parent / "sd3.json").read_text("utf-8")
)


def of_denoiser(shape: Sd3Shape) -> list[Site]:
    return [s for s in sd3_sites(shape) if s.component == "denoiser" and s.kind != "norm"]


def as_map(site: Site) -> list[Any]:
    kernel = list(site.kernel) if site.kind == "conv" else None
    to = sorted([s.module, *s.target, *s.source] for s in site.segments)
    return [site.name, site.rows, site.columns, kernel, site.default, to]


@pytest.mark.parametrize("variant", VARIANTS)
def test_denoiser_sites_equal_the_name_map(variant: str) -> None:
    """networks 9, check 26: every saved name, shape, module and row."""
    golden = {entry[0]: entry for entry in MAPS[variant]}
    ours = {site.name: as_map(site) for site in of_denoiser(VARIANTS[variant])}
    assert ours == golden


@pytest.mark.parametrize(
    ("variant", "count", "wrapped", "parameters", "with_emb"),
    [
        ("medium", 237, 333, 6_684_672, 245),
        ("3.5-medium", 263, 385, 7_403_520, 271),
        ("3.5-large", 377, 529, 16_848_896, 385),
    ],
)
def test_counts_of_the_published_models(
    variant: str, count: int, wrapped: int, parameters: int, with_emb: int
) -> None:
    """networks 9, checks 19, 20: adapters, wrapped modules and numbers at rank 4."""
    sites = of_denoiser(VARIANTS[variant])
    chosen = [s for s in sites if s.default]
    assert len(chosen) == count
    assert sum(len({seg.module for seg in s.segments}) for s in chosen) == wrapped
    assert sum(s.parameters(4) for s in chosen) == parameters
    assert len(sites) == with_emb


def test_all_embedders_at_rank_4() -> None:
    """networks 9, check 19: emb_dims all 4 makes 6,784,512 numbers of SD3-medium."""
    assert sum(s.parameters(4) for s in of_denoiser(SD3_MEDIUM)) == 6_784_512


@pytest.mark.parametrize(
    ("family", "left"),
    [("context_attn", 190), ("context_mlp", 191), ("context_mod", 213),
     ("x_attn", 189), ("x_mlp", 189), ("x_mod", 213)],
)  # fmt: skip
def test_what_is_left_without_a_family(family: str, left: int) -> None:
    """networks 9, check 19."""
    sites = [s for s in of_denoiser(SD3_MEDIUM) if s.default]
    assert sum(s.family != family for s in sites) == left


def test_the_second_attention_counts_as_the_pictures_attention() -> None:
    """networks 9, check 20: x_attn at 0 leaves 189 of SD3.5-medium; four blocks have 48."""
    sites = [s for s in of_denoiser(SD35_MEDIUM) if s.default]
    assert sum(s.family != "x_attn" for s in sites) == 189
    assert sum(s.block in range(4) for s in sites) == 48
    medium = [s for s in of_denoiser(SD3_MEDIUM) if s.default]
    assert sum(s.block in range(4) for s in medium) == 40


def test_text_encoders_have_three_prefixes() -> None:
    """networks 3.1: 72, 192 and 168 adapters; both CLIPs keep `text_model` in their paths."""
    sites = [s for s in sites_of("sd3") if s.component != "denoiser"]
    by_role = {
        role: [s for s in sites if s.component == role]
        for role in ("text_encoder", "text_encoder_2", "text_encoder_3")
    }
    assert [len(found) for found in by_role.values()] == [72, 192, 168]
    for role, prefix in (("text_encoder", "lora_te1_"), ("text_encoder_2", "lora_te2_")):
        for site in by_role[role]:
            assert site.name.startswith(f"{prefix}text_model_encoder_layers")
            assert site.segments[0].module == site.original
    t5 = by_role["text_encoder_3"]
    assert t5[3].name == "lora_te3_encoder_block_0_layer_0_SelfAttention_o"
    assert t5[6].name == "lora_te3_encoder_block_0_layer_1_DenseReluDense_wo"
    assert sum(s.parameters(4) for s in t5) == 7_274_496
    assert not any(s.default for s in t5)


def test_a_shape_is_read_off_the_configs() -> None:
    transformer = {
        "num_attention_heads": 2, "attention_head_dim": 64, "caption_projection_dim": 128,
        "num_layers": 3, "joint_attention_dim": 32, "pooled_projection_dim": 48,
        "pos_embed_max_size": 8, "qk_norm": "rms_norm", "dual_attention_layers": [0, 1],
    }  # fmt: skip
    t5 = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 2}
    shape = sd3_shape({"denoiser": transformer, "text_encoder_3": t5})
    assert shape.dual == (0, 1)
    assert shape.width == 128
    assert shape.t5 == T5Size(32, 32, 64, 2)
    assert sd3_variant(shape) == "3.5-medium"
    with pytest.raises(ValueError, match="width"):
        sd3_shape({"denoiser": transformer | {"caption_projection_dim": 64}})


@pytest.mark.parametrize(("variant", "count"), [("medium", 0), ("3.5-medium", 122),
                                                 ("3.5-large", 152)])  # fmt: skip
def test_norms_of_queries_and_keys(variant: str, count: int) -> None:
    """networks 5.2: the affine norms of each model, in the original checkpoint's names."""
    norms = [s for s in sd3_sites(VARIANTS[variant]) if s.kind == "norm"]
    assert len(norms) == count
    assert not any(norm.default or norm.norm_bias for norm in norms)
    if count:
        assert norms[0].name == "lora_unet_joint_blocks_0_x_block_attn_ln_q"
        assert norms[3].segments[0].module == "transformer_blocks.0.attn.norm_added_k"
