"""LoRA files and what `inspect` tells of them, made without torch."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.process import EngineCommand

FAKE = Path(__file__).with_name("fake_tools.py")
ATTENTION = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
MIDDLE = "lora_unet_mid_block_attentions_0_proj_in"
RESNET = "lora_unet_mid_block_resnets_0_conv1"


def fake(mode: str) -> EngineCommand:
    return EngineCommand(sys.executable, ("-u", str(FAKE), mode), str(FAKE.parent))


def write_adapter(
    path: Path, ranks: Sequence[int] = (4, 8), metadata: Mapping[str, str] | None = None
) -> Path:
    """A file with one layer for each rank; its numbers are zeros."""
    header: dict[str, Any] = {"__metadata__": dict(metadata or {})}
    end = 0
    for index, rank in enumerate(ranks):
        name = f"lora_unet_x_{index}"
        for ending, shape in (("lora_down", [rank, 8]), ("lora_up", [8, rank])):
            start, end = end, end + 2 * 8 * rank
            header[f"{name}.{ending}.weight"] = {
                "dtype": "F16", "shape": shape, "data_offsets": [start, end],
            }  # fmt: skip
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(end))
    return path


def told(
    architecture: str | None = "sd1", layers: Mapping[str, int] | None = None, **changes: Any
) -> dict[str, Any]:
    """What `inspect --json` tells."""
    ranks = {ATTENTION: 4, MIDDLE: 8} if layers is None else layers
    return {
        "file": "cat.safetensors",
        "size_bytes": 1_500_000,
        "layout": "kohya",
        "dtypes": ["F16"],
        "guess": {"architecture": architecture, "reason": "2 of 2 layers have its names"},
        "adapters": len(ranks),
        "parameters": 1234,
        "groups": [
            {"name": "IN04", "adapters": 1, "parameters": 600, "ranks": [4], "alphas": [2.0],
             "strength": 0.5},
            {"name": "MID", "adapters": 1, "parameters": 634, "ranks": [4, 8],
             "alphas": [2.0], "strength": 0.25},
        ],
        "layers": [{"name": n, "rank": r, "alpha": r / 2} for n, r in ranks.items()],
        "trained": "denoiser",
        "variants": [],
        "without_alpha": 0,
        "unknown_keys": [],
        "model_hash": "ab" * 32,
        "hash_matches": True,
        "metadata": {
            "ss_network_dim": "24", "ss_network_alpha": "12.0", "ss_base_model_version": "sd_v1",
            "ss_seed": "77", "ss_network_args": json.dumps({"conv_dim": "6"}),
            "ss_dataset_dirs": json.dumps({"10_cat": {"n_repeats": 10, "img_count": 12}}),
        },
    } | changes  # fmt: skip
