"""Qwen-Image's VAE out of a file, in the original layout or diffusers' (spec: training-dit 4.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import assemble, not_whole
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.loading.resources import RESOURCES
from engine.architectures.vae.load import check_channels

CONFIG = RESOURCES / "models" / "anima" / "vae" / "config.json"
PREFIXES = ("vae.", "first_stage_model.", "")
TELLING = ("encoder.downsamples.0.residual.0.gamma", "encoder.down_blocks.0.norm1.gamma")
LATENT_CHANNELS = 16
MEND = "Choose qwen_image_vae.safetensors, as Anima is published with."

_TOP = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
_SIDES = {
    "conv1": "conv_in", "head.0": "norm_out", "head.2": "conv_out",
    "middle.0": "mid_block.resnets.0", "middle.1": "mid_block.attentions.0",
    "middle.2": "mid_block.resnets.1",
}  # fmt: skip
_RESIDUAL = {"0": "norm1", "2": "conv1", "3": "norm2", "6": "conv2"}
_IN_UP_BLOCK = 4  # three resnets and what enlarges, in a row in the original


def diffusers_stem(stem: str) -> str:
    """The library's name of a module, given the original's."""
    if stem in _TOP:
        return _TOP[stem]
    side, _, rest = stem.partition(".")
    rest = re.sub(r"residual\.(\d)", lambda m: _RESIDUAL[m[1]], rest)
    rest = rest.replace("shortcut", "conv_shortcut")
    for original, ours in _SIDES.items():
        if rest == original or rest.startswith(f"{original}."):
            return f"{side}.{ours}{rest.removeprefix(original)}"
    rest = re.sub(r"^downsamples\.", "down_blocks.", rest)
    rest = re.sub(r"^upsamples\.(\d+)", _up_block, rest)
    return f"{side}.{rest}"


def _up_block(match: re.Match[str]) -> str:
    level, place = divmod(int(match[1]), _IN_UP_BLOCK)
    inside = "upsamplers.0" if place == _IN_UP_BLOCK - 1 else f"resnets.{place}"
    return f"up_blocks.{level}.{inside}"


def load_qwen_vae(checkpoint: Checkpoint, dtype: torch.dtype, field: str) -> AutoencoderKLQwenImage:
    """Build the VAE from a file of its own, or a whole model's file.

    Raises:
        ModelProblem: if it is not there, not whole, or another VAE.
    """
    prefix = next((p for p in PREFIXES if any(p + t in checkpoint.shapes for t in TELLING)), None)
    if prefix is None:
        words = f"{checkpoint.path.name} holds no VAE of Qwen-Image."
        raise ModelProblem(words, MEND, "model.vae" if field == "model.path" else field)
    names = checkpoint.below(prefix)
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    original = TELLING[0] in shapes
    config = _config(shapes, checkpoint, field, original=original)
    source = checkpoint.read(names, dtype)
    converted = source
    if original:
        converted = {}
        for name, tensor in source.items():
            stem, _, leaf = name.rpartition(".")
            converted[f"{diffusers_stem(stem)}.{leaf}"] = tensor
    return assemble(AutoencoderKLQwenImage, config, converted, source, checkpoint, "VAE")


def _config(
    shapes: Mapping[str, tuple[int, ...]], checkpoint: Checkpoint, field: str, *, original: bool
) -> dict[str, Any]:
    """The published configuration with the file's own width."""
    first = "encoder.conv1.weight" if original else "encoder.conv_in.weight"
    last = "conv2.weight" if original else "post_quant_conv.weight"
    if first not in shapes or last not in shapes:
        raise not_whole(checkpoint, "VAE")
    check_channels(shapes[last][0], LATENT_CHANNELS, checkpoint.path, field)
    return json.loads(CONFIG.read_text("utf-8")) | {"base_dim": shapes[first][0]}
