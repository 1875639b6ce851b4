"""The sites of SD 1.x/2.x against the complete name maps, and their counts (networks 3, 9)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from engine.plan.site import Site
from engine.plan.sites import RULES, sites_of

HERE = Path(__file__).parent


def _as_map(site: Site) -> dict[str, object]:
    kernel = list(site.kernel) if site.kind == "conv" else None
    return {
        "saved": site.name,
        "out": site.rows,
        "in": site.columns,
        "k": kernel,
        "attention": site.default,
        "to": [[f"unet.{s.module}", *s.target, *s.source] for s in site.segments],
    }


def _is_layer(site: Site) -> bool:
    return site.component == "denoiser" and site.ranked


@pytest.mark.parametrize(("architecture", "file"), [("sd1", "sd15.json"), ("sd2", "sd21.json")])
def test_unet_sites_equal_the_name_map(architecture: str, file: str) -> None:
    """Acceptance 26: every saved name, shape and module."""
    golden = {entry["saved"]: entry for entry in json.loads((HERE / file).read_text())}
    ours = {s.name: _as_map(s) for s in sites_of(architecture) if _is_layer(s)}
    assert ours.keys() == golden.keys()
    assert [n for n in golden if ours[n] != golden[n]] == []


@pytest.mark.parametrize(("architecture", "layers"), [("sd1", 12), ("sd2", 23)])
def test_text_sites_keep_the_level_that_transformers_dropped(
    architecture: str, layers: int
) -> None:
    """Acceptance 26: the saved name has `text_model`, the module path has it not."""
    text = [s for s in sites_of(architecture) if s.component == "text_encoder"]
    assert len(text) == 6 * layers
    assert all("text_model_encoder_layers" in s.name for s in text)
    assert all(s.segments[0].module.startswith("encoder.layers.") for s in text)
    assert "lora_te_text_model_encoder_layers_0_self_attn_out_proj" in {s.name for s in text}


def test_blocks_hold_the_counts_of_the_table() -> None:
    """The table of networks 4.1: attention, resnet linear and 1×1, and 3×3 layers of each block."""
    counted = Counter((s.block, s.family in ("resnet_linear",), s.kernel != (1, 1))
                      for s in sites_of("sd1") if _is_layer(s))  # fmt: skip
    table = [
        (counted[b, False, False], counted[b, True, False], counted[b, False, True])
        for b in range(25)
    ]
    plain, wide, sampler = (12, 1, 2), (12, 2, 2), (0, 0, 1)
    expected = [(0, 0, 0), plain, plain, sampler, wide, plain, sampler, wide, plain, sampler]
    expected += [(0, 1, 2)] * 2 + [(12, 2, 4), (0, 2, 2), (0, 2, 2), (0, 2, 3)]
    expected += [wide, wide, (12, 2, 3)] * 2 + [wide] * 3
    assert table == expected


def test_other_widths_follow_the_same_rules() -> None:
    """A narrow model without a change of width at a level has no shortcut there."""
    shape = RULES["sd1"].of_configs(
        {
            "denoiser": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 32},
            "text_encoder": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
        }
    )
    names = {s.name for s in sites_of("sd1", shape)}
    assert "lora_unet_down_blocks_1_resnets_0_conv_shortcut" in names
    assert "lora_unet_down_blocks_2_resnets_0_conv_shortcut" not in names
    assert sum(n.startswith("lora_te_") for n in names) == 12


def test_a_unet_of_another_structure_is_refused() -> None:
    with pytest.raises(ValueError, match="25 blocks"):
        RULES["sd1"].of_configs({"denoiser": {"block_out_channels": [320, 640, 1280]}})
