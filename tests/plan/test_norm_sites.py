"""The norms of the transformers: how many, what they are called, when they are trained (5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.plan.ranks import place
from engine.plan.site import Site
from engine.plan.sites import sites_of
from engine.plan.summary import summarize
from engine.schema.job import Job
from engine.schema.network import Network

COUNTS = {"flux": 152, "lumina2": 180, "hunyuan_image": 160, "anima": 112}
"""Norms within the blocks of the picture model (networks 5.2, less those outside of blocks)."""


def trained(architecture: str, **options: Any) -> list[Site]:
    network = Network(rank=4, train_norm=True, **options)
    placements = place(network, sites_of(architecture), architecture)
    return [p.site for p in placements if p.site.kind == "norm"]


@pytest.mark.parametrize("architecture", COUNTS)
def test_train_norm_adds_the_norms_of_the_blocks(architecture: str) -> None:
    """networks 9, check 38, for transformers: weights alone, and only on demand."""
    norms = trained(architecture)
    assert len(norms) == COUNTS[architecture]
    assert {s.component for s in norms} == {"denoiser"}
    assert not any(s.norm_bias or s.default for s in norms)
    plain = place(Network(rank=4), sites_of(architecture), architecture)
    assert not any(p.site.kind == "norm" for p in plain)


def test_the_plan_counts_norms_where_they_are_trained() -> None:
    def counted(**network: Any) -> tuple[int, int, int]:
        data = {"model": {"architecture": "flux"}, "network": {"train": "denoiser", **network}}
        plan = summarize(Job.model_validate(data))
        return plan.modules, plan.modules_of, plan.parameters

    of_all = 72 + 168 + 312  # CLIP-L, T5, and the picture model with its embedders
    assert counted(rank=4)[:2] == (304, of_all)
    assert counted(rank=4, train_norm=True) == (304 + 152, of_all + 152, 19_144_704 + 152 * 128)


NAMED = [
    ("flux", "double_blocks_0_img_attn_norm_query_norm", "transformer_blocks.0.attn.norm_q", 128),
    ("flux", "double_blocks_18_txt_attn_norm_key_norm",
     "transformer_blocks.18.attn.norm_added_k", 128),
    ("flux", "single_blocks_37_norm_key_norm", "single_transformer_blocks.37.attn.norm_k", 128),
    ("hunyuan_image", "double_blocks_2_txt_attn_q_norm",
     "transformer_blocks.2.attn.norm_added_q", 128),
    ("hunyuan_image", "single_blocks_3_k_norm", "single_transformer_blocks.3.attn.norm_k", 128),
    ("lumina2", "layers_25_attention_q_norm", "layers.25.attn.norm_q", 96),
    ("lumina2", "layers_0_attention_norm1", "layers.0.norm1.norm", 2304),
    ("lumina2", "context_refiner_1_attention_norm1", "context_refiner.1.norm1", 2304),
    ("lumina2", "noise_refiner_0_ffn_norm2", "noise_refiner.0.ffn_norm2", 2304),
    ("anima", "blocks_27_cross_attn_k_norm", "transformer_blocks.27.attn2.norm_k", 128),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "name", "module", "channels"), NAMED)
def test_names_are_the_originals_module_paths(
    architecture: str, name: str, module: str, channels: int
) -> None:
    site = next(s for s in trained(architecture) if s.name == f"lora_unet_{name}")
    assert (site.segments[0].module, site.rows) == (module, channels)
    assert f"lora_unet_{site.original.replace('.', '_')}" == site.name


def test_comfyui_spells_hunyuans_norms_as_fluxs() -> None:
    named = {s.original: s.comfyui for s in trained("hunyuan_image")}
    assert named["double_blocks.3.img_attn_k_norm"] == "double_blocks.3.img_attn.norm.key_norm"
    assert named["single_blocks.0.q_norm"] == "single_blocks.0.norm.query_norm"


@pytest.mark.parametrize(
    ("architecture", "options", "left"),
    [
        ("flux", {"img_attn_dim": 0}, 152 - 38),
        ("flux", {"train_blocks": "single"}, 76),
        ("flux", {"network_reg_dims": ["single_blocks=0"]}, 76),
        ("flux", {"train_double_block_indices": "0-1"}, 8 + 76),
        ("flux", {"exclude_patterns": ["key_norm"]}, 76),
        ("lumina2", {"mlp_dim": 0}, 180 - 2 * 30),
        ("lumina2", {"refiner_dim": 0}, 26 * 6),
        ("sd1", {"network_reg_dims": ["down_blocks_0=0"]}, 64 - 8),
        ("anima", {"train_llm_adapter": True}, 112 + 42),
        ("flux", {"train": "text_encoder"}, 0),
    ],
)
def test_where_no_layer_is_trained_no_norm_beside_it_is(
    architecture: str, options: dict[str, Any], left: int
) -> None:
    assert len(trained(architecture, **options)) == left
