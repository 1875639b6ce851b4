"""How many adapters every option leaves, and their parameters, at rank 4 (networks 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engine.plan.ranks import place
from engine.plan.site import TEXT_ENCODERS, Placement
from engine.plan.sites import ModelShape, sites_of
from engine.plan.sites.flux import CHROMA, FLUX_SCHNELL
from engine.plan.sites.sd3_shape import VARIANTS
from engine.schema.network import Network

Count = tuple[int, int]


def placed(
    architecture: str, options: Mapping[str, Any], shape: ModelShape | None = None
) -> tuple[Placement, ...]:
    network = Network.model_validate({"rank": 4, "alpha": 1.0, **options})
    return place(network, sites_of(architecture, shape), architecture)


def counted(placements: tuple[Placement, ...], *, text: bool) -> Count:
    """Adapters and parameters of the text encoders, or of everything else."""
    here = [p for p in placements if (p.site.component in TEXT_ENCODERS) == text]
    return len(here), sum(p.site.parameters(p.rank) for p in here)


DEFAULTS: dict[str, tuple[Count, Count]] = {  # architecture: denoiser, text encoders
    "sdxl": ((722, 10_639_360), (264, 3_612_672)),
    "flux": ((304, 19_144_704), (72, 663_552)),
    "sd3": ((237, 6_684_672), (264, 3_612_672)),
    "lumina2": ((180, 6_607_104), (182, 5_191_680)),
    "hunyuan_image": ((320, 23_511_040), (0, 0)),
    "anima": ((280, 5_734_400), (196, 2_523_136)),
}


@pytest.mark.parametrize("architecture", DEFAULTS)
def test_by_default(architecture: str) -> None:
    """Checks 5, 11, 19, 22, 23 and 24; SD 1.x and 2.x are in test_ranks."""
    placements = placed(architecture, {"train": "both"})
    denoiser, text = DEFAULTS[architecture]
    assert counted(placements, text=False) == denoiser
    assert counted(placements, text=True) == text
    assert len({p.site.name for p in placements}) == len(placements)


WRAPPED = {"flux": 494, "sd3": 333, "lumina2": 240, "hunyuan_image": 520, "anima": 280}


@pytest.mark.parametrize("architecture", WRAPPED)
def test_adapted_modules_of_the_library(architecture: str) -> None:
    """Checks 11, 19, 22 and 23: fused layers are several modules there."""
    placements = placed(architecture, {"train": "denoiser"})
    modules = {s.module for p in placements for s in p.site.segments}
    assert len(modules) == WRAPPED[architecture]
    if architecture == "flux":
        assert sum(len(p.site.segments) > 1 for p in placements) == 76


CASES: list[tuple[str, dict[str, Any], int]] = [
    ("sdxl", {"conv_dim": 4}, 788),
    # 13–15, 17
    ("flux", {"train_blocks": "double"}, 190),
    ("flux", {"train_blocks": "single"}, 114),
    ("flux", {"in_dims": [4, 0, 0, 0, 4]}, 306),
    *(("flux", {f"{family}_dim": 0}, 266) for family in
      ("img_attn", "txt_attn", "img_mlp", "txt_mlp", "single_mod")),
    *(("flux", {f"{family}_dim": 0}, 285) for family in ("img_mod", "txt_mod")),
    ("flux", {"single_dim": 0}, 228),
    ("flux", {"train_double_block_indices": "0-3,5"}, 164),
    ("flux", {"train_double_block_indices": "none"}, 114),
    ("flux", {"train_single_block_indices": ""}, 190),
    ("flux", {"train_double_block_indices": "0-18", "train_single_block_indices": "0 - 37"}, 304),
    ("flux", {"train_double_block_indices": [7], "train_single_block_indices": 20}, 13),
    ("flux", {"network_reg_dims": "single_blocks=0"}, 190),
    ("flux", {"network_reg_dims": "double_blocks_0_=8", "train_double_block_indices": "none",
              "train_single_block_indices": "none"}, 10),
    # 19
    ("sd3", {"train_block_indices": "0-3"}, 40),
    ("sd3", {"context_attn_dim": 0}, 190),
    ("sd3", {"context_mlp_dim": 0}, 191),
    *(("sd3", {f"{family}_dim": 0}, 213) for family in ("context_mod", "x_mod")),
    *(("sd3", {f"{family}_dim": 0}, 189) for family in ("x_attn", "x_mlp")),
    ("sd3", {"emb_dims": [0, 0, 4, 0, 0, 0]}, 238),
    # 22
    ("lumina2", {"train_blocks": "transformer"}, 156),
    ("lumina2", {"train_blocks": "refiners"}, 22),
    ("lumina2", {"train_blocks": "noise_refiner"}, 12),
    ("lumina2", {"train_blocks": "context_refiner"}, 10),
    ("lumina2", {"attn_dim": 0}, 120),
    ("lumina2", {"mod_dim": 0}, 151),
    ("lumina2", {"mlp_dim": 0}, 90),
    ("lumina2", {"refiner_dim": 0}, 158),
    ("lumina2", {"refiner_dim": 0, "attn_dim": 8, "mod_dim": 8}, 158),
    ("lumina2", {"embedder_dims": [4, 4, 4]}, 184),
    ("lumina2", {"train_block_indices": "0-1"}, 180 - 24 * 6),
    # 23
    ("hunyuan_image", {"network_reg_dims": "single_blocks=0"}, 200),
    ("hunyuan_image", {"train_single_block_indices": "39", "train_double_block_indices": "0"}, 13),
    ("hunyuan_image", {"img_mod_dim": 0}, 300),
    # 24
    ("anima", {"train_llm_adapter": True}, 340),
    ("anima", {"include_patterns": ".*_modulation.*"}, 450),
    ("anima", {"include_patterns": "['.*']", "train_llm_adapter": True}, 514),
    ("anima", {"exclude_patterns": ".*mlp.*"}, 224),
    ("anima", {"network_reg_dims": "mlp=0, self_attn=8"}, 224),
    ("anima", {"train_block_indices": "0"}, 10),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "options", "count"), CASES, ids=str)
def test_options(architecture: str, options: dict[str, Any], count: int) -> None:
    """Checks 5, 13–17, 19 and 22–24."""
    placements = placed(architecture, {"train": "denoiser", **options})
    assert counted(placements, text=False)[0] == count


PARAMETERS: list[tuple[str, dict[str, Any], Count]] = [
    ("sdxl", {"conv_dim": 4}, (788, 12_296_960)),
    ("flux", {"train_blocks": "double"}, (190, 10_739_712)),
    ("flux", {"train_blocks": "single"}, (114, 8_404_992)),
    ("flux", {"in_dims": [4] * 5}, (312, 19_301_632)),
    ("sd3", {"emb_dims": [4] * 6}, (245, 6_784_512)),
    ("anima", {"train_llm_adapter": True}, (340, 6_373_376)),
    ("anima", {"include_patterns": [".*"]}, (454, 8_751_632)),
]


@pytest.mark.parametrize(("architecture", "options", "count"), PARAMETERS, ids=str)
def test_parameters(architecture: str, options: dict[str, Any], count: Count) -> None:
    """Checks 5, 13, 14, 19 and 24."""
    placements = placed(architecture, {"train": "denoiser", **options})
    assert counted(placements, text=False) == count


SHAPES: list[tuple[str, ModelShape, dict[str, Any], Count]] = [
    ("sd3", VARIANTS["3.5-medium"], {}, (263, 7_403_520)),
    ("sd3", VARIANTS["3.5-large"], {}, (377, 16_848_896)),
    ("flux", CHROMA, {}, (228, 14_008_320)),
]


@pytest.mark.parametrize(("architecture", "shape", "options", "count"), SHAPES, ids=str)
def test_parameters_of_variants(
    architecture: str, shape: ModelShape, options: dict[str, Any], count: Count
) -> None:
    """Checks 20 and 25."""
    placements = placed(architecture, {"train": "denoiser", **options}, shape)
    assert counted(placements, text=False) == count


def test_options_of_variants() -> None:
    """Checks 14 and 20."""
    medium, large = VARIANTS["3.5-medium"], VARIANTS["3.5-large"]

    def count(architecture: str, shape: ModelShape, **options: Any) -> int:
        placements = placed(architecture, {"train": "denoiser", **options}, shape)
        return counted(placements, text=False)[0]

    assert count("sd3", medium, x_attn_dim=0) == 189
    assert count("sd3", medium, train_block_indices="0-3") == 48
    assert count("sd3", medium, emb_dims=[4] * 6) == 271
    assert count("sd3", large, emb_dims=[4] * 6) == 385
    assert count("flux", FLUX_SCHNELL, in_dims=[4] * 5) == 310
    assert len({s.module for p in placed("sd3", {"train": "denoiser"}, medium)
                for s in p.site.segments}) == 385  # fmt: skip
    assert len({s.module for p in placed("sd3", {"train": "denoiser"}, large)
                for s in p.site.segments}) == 529  # fmt: skip


def test_t5_is_trained_when_it_is_asked_for() -> None:
    """Checks 12 and 25."""
    flux = {"train": "text_encoder", "train_t5xxl": True}
    assert counted(placed("flux", flux), text=True) == (240, 7_938_048)
    assert counted(placed("flux", flux, CHROMA), text=True)[0] == 168
    assert counted(placed("sd3", flux), text=True)[0] == 264 + 168
    assert placed("flux", {**flux, "train": "denoiser", "img_attn_dim": 0}) == placed(
        "flux", {"train": "denoiser", "img_attn_dim": 0}
    )


def test_patterns_reach_text_encoders_too() -> None:
    """Check 24: excluding MLPs leaves 112 of Qwen3's adapters."""
    placements = placed("anima", {"train": "both", "exclude_patterns": [".*mlp.*"]})
    assert counted(placements, text=True)[0] == 112
    assert counted(placements, text=False)[0] == 224


def test_one_block_of_sdxl_alone() -> None:
    """Check 8: how many adapters each block has when it is the only one."""
    expected = [0, 0, 3, 3, 1, 26, 25, 1, 106, 105, 3, 102, 3, 106, 106, 107, 26, 26, 27, 4, 4, 4]
    for block, count in enumerate([*expected, 0]):
        dims = [0] * 23
        dims[block] = 4
        options = {"train": "denoiser", "block_dims": dims, "conv_block_dims": dims}
        assert len(placed("sdxl", options)) == count, block
