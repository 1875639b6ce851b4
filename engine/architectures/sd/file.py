"""The U-Net of SD 1.x, SD 2.x and SDXL out of one checkpoint file in the original layout.

Key conversion is diffusers'; configs are ours with the widths read off the file, so nothing is
fetched (spec: training-sd-flux 1.2, 1.4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import single_file_utils
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import assemble, not_whole
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.loading.resources import RESOURCES

UNET_PREFIX = "model.diffusion_model."
HEAD_WIDTH = 64  # of every attention head in SD 2.x and SDXL
FIRST_TEXT_ATTENTION = ".transformer_blocks.0.attn2.to_k.weight"


def config_folder(architecture: str, prediction: str) -> Path:
    """Our diffusers-layout folder of configs for an architecture."""
    name = "sd2_v" if (architecture, prediction) == ("sd2", "v") else architecture
    return RESOURCES / "models" / name


def unet_in_checkpoint(
    checkpoint: Checkpoint, configs: Path, dtype: torch.dtype
) -> UNet2DConditionModel:
    """Build the U-Net from a whole checkpoint, or from a file that holds it alone.

    Raises:
        ModelProblem: if it is not there, not whole, or larger than the architecture.
    """
    names = checkpoint.below(UNET_PREFIX)
    if not names and "input_blocks.0.0.weight" in checkpoint.shapes:
        names = {name: name for name in checkpoint.shapes}
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no picture model (U-Net) in the original layout.",
            "Choose a whole checkpoint file, or a diffusers folder.",
        )
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    config = _unet_config(_config(configs / "unet"), shapes)
    source = checkpoint.read({s: UNET_PREFIX + g for s, g in names.items()}, dtype)
    try:
        converted = single_file_utils.convert_ldm_unet_checkpoint(source, config)
    except (KeyError, AttributeError):
        raise not_whole(checkpoint, "U-Net") from None
    return assemble(UNet2DConditionModel, config, converted, source, checkpoint, "U-Net")


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text("utf-8"))


def _unet_config(config: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Our config with the file's own widths."""
    published = config["block_out_channels"]
    firsts = (f"input_blocks.{3 * i + 1}.0.out_layers.3.weight" for i in range(len(published)))
    widths = [shapes[name][0] for name in firsts if name in shapes]
    if len(widths) == len(published) and widths != published:
        config["block_out_channels"] = widths
        if config["use_linear_projection"]:
            config["attention_head_dim"] = [max(1, width // HEAD_WIDTH) for width in widths]
    first = next((n for n in sorted(shapes) if n.endswith(FIRST_TEXT_ATTENTION)), None)
    if first is not None:
        config["cross_attention_dim"] = shapes[first][1]
    return config
