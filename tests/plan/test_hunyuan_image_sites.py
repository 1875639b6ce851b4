"""The sites of HunyuanImage-2.1 against the complete name map, and their counts (networks 3, 9)."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.networks.spellings import comfyui_name
from engine.plan.ranks import place
from engine.plan.site import Site
from engine.plan.sites import sites_of
from engine.plan.sites.hunyuan_image import (
    HUNYUAN_IMAGE,
    hunyuan_image_shape,
    hunyuan_image_shape_of_names,
)
from engine.schema.network import Network

PATTERNS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "hunyuan_image.json").read_text("utf-8")
)
BLOCKS = {"lora_unet_double_blocks_": 20, "lora_unet_single_blocks_": 40}
CONFIG = {
    "num_attention_heads": 28, "attention_head_dim": 128, "num_layers": 20, "mlp_ratio": 4.0,
    "num_single_layers": 40, "in_channels": 64, "text_embed_dim": 3584, "text_embed_2_dim": 1472,
    "patch_size": [1, 1], "guidance_embeds": False, "use_meanflow": False,
}  # fmt: skip


def name_map() -> dict[str, dict[str, Any]]:
    """The golden table; `*` stands for the number of a block."""
    table = {}
    for pattern in PATTERNS:
        count = next(n for start, n in BLOCKS.items() if pattern["saved"].startswith(start))
        for block in range(count):
            entry = json.loads(json.dumps(pattern).replace("*", str(block)))
            table[entry["saved"]] = entry | {"to": sorted(entry["to"])}
    return table


def as_entry(site: Site) -> dict[str, Any]:
    to = sorted([f"transformer.{s.module}", *s.target, *s.source] for s in site.segments)
    return {"saved": site.name, "out": site.rows, "in": site.columns, "to": to}


def layers() -> list[Site]:
    return [s for s in sites_of("hunyuan_image") if s.ranked]


def test_sites_equal_the_name_map() -> None:
    """networks 9, check 26."""
    assert {s.name: as_entry(s) for s in layers()} == name_map()


def test_counts() -> None:
    """networks 9, check 23: 320 adapters on 520 layers, none in the text encoders."""
    sites = layers()
    assert len(sites) == 320
    assert sum(len(s.segments) for s in sites) == 520
    assert sum(len(s.segments) > 1 for s in sites) == 80
    assert sum(s.parameters(4) for s in sites) == 23_511_040
    assert {s.component for s in sites} == {"denoiser"}
    assert {s.block for s in sites} == set(range(60))
    assert all(s.default for s in sites)


def test_a_pattern_at_rank_0_leaves_the_single_blocks_out() -> None:
    """networks 9, check 23: 200 are left."""
    network = Network(rank=4, alpha=4, network_reg_dims=["single_blocks=0"])
    assert len(place(network, sites_of("hunyuan_image"), "hunyuan_image")) == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_meanflow": True}, "distilled"),
        ({"guidance_embeds": True}, "distilled"),
        ({"patch_size": [1, 1, 1], "in_channels": 128}, "refiner"),
        ({"text_embed_2_dim": None}, "no input for glyphs"),
    ],
)
def test_other_models_of_the_class_are_called_by_their_names(
    change: dict[str, Any], words: str
) -> None:
    """training-dit 7, check 24."""
    assert hunyuan_image_shape({"denoiser": CONFIG}) == HUNYUAN_IMAGE
    with pytest.raises(ValueError, match=words):
        hunyuan_image_shape({"denoiser": CONFIG | change})


def test_a_checkpoint_that_lacks_a_layer_has_no_shape() -> None:
    names = {"img_in.proj.weight": (3584, 64, 1, 1), "double_blocks.0.img_mlp.fc1.weight": (4, 4)}
    assert hunyuan_image_shape_of_names(names) is None


def test_comfyuis_names_differ_where_it_spells_like_flux() -> None:
    """networks 9, check 43: 80 layers of the MLPs and 80 modulations, and no other layers."""
    renamed = {s.name: comfyui_name(s) for s in layers()}
    changed = {old: new for old, new in renamed.items() if old != new}
    kinds = Counter(
        (re.sub(r"_\d+_(img|txt)?", "_", old), re.sub(r"_\d+_(img|txt)?", "_", new))
        for old, new in changed.items()
    )
    here = "lora_unet_double_blocks__"
    assert kinds == {
        (f"{here}mlp_fc1", f"{here}mlp_0"): 40,
        (f"{here}mlp_fc2", f"{here}mlp_2"): 40,
        (f"{here}mod_linear", f"{here}mod_lin"): 40,
        ("lora_unet_single_blocks_modulation_linear", "lora_unet_single_blocks_modulation_lin"): 40,
    }
    dotted = {s.comfyui for s in layers()}
    assert {"double_blocks.3.txt_attn.qkv", "double_blocks.3.img_attn.proj"} <= dotted
