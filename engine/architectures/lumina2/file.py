"""Lumina-Image 2's denoiser out of a file in the original layout (spec: training-dit 2.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
from torch import Tensor

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import assemble, not_whole
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.loading.denoiser_names import denoiser_names, renamed
from engine.architectures.loading.resources import RESOURCES
from engine.plan.sites.lumina2 import Lumina2Shape, lumina2_shape_of_names

CONFIGS = RESOURCES / "models" / "lumina2"
TELLING = ("cap_embedder.1.weight", "time_caption_embed.caption_embedder.1.weight")
UNUSED = ("norm_final.",)  # the original never reads it
HEAD_WIDTH = 96  # of an attention head; the axes of its positions add up to it

RENAMES = (
    (r"^cap_embedder\.", "time_caption_embed.caption_embedder."),
    (r"^t_embedder\.mlp\.0\.", "time_caption_embed.timestep_embedder.linear_1."),
    (r"^t_embedder\.mlp\.2\.", "time_caption_embed.timestep_embedder.linear_2."),
    (r"^final_layer\.adaLN_modulation\.1\.", "norm_out.linear_1."),
    (r"^final_layer\.linear\.", "norm_out.linear_2."),
    (r"\.attention\.out\.", ".attn.to_out.0."),
    (r"\.attention\.([qk])_norm\.", r".attn.norm_\1."),
    (r"\.feed_forward\.w(\d)\.", r".feed_forward.linear_\1."),
    # Without modulation the norm is a plain one, and so it is called.
    (r"^(context_refiner\.\d+)\.attention_norm1\.", r"\1.norm1."),
    (r"\.attention_norm1\.", ".norm1.norm."),
    (r"\.attention_norm2\.", ".norm2."),
    (r"\.adaLN_modulation\.1\.", ".norm1.linear."),
)
_FUSED = re.compile(r"^(.+)\.attention\.qkv\.weight$")


def to_diffusers(source: Mapping[str, Tensor], key_rows: int) -> dict[str, Tensor]:
    """Give the original layout's tensors the names of the library's class; q, k and v are views.

    Args:
        source: tensors by bare name, those the class has no use for left out.
        key_rows: rows of the keys, and of the values, in a fused attention.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in source.items():
        fused = _FUSED.match(name)
        if fused is None:
            converted[renamed(name, RENAMES)] = tensor
            continue
        rows = (tensor.shape[0] - 2 * key_rows, key_rows, key_rows)
        for part, piece in zip("qkv", tensor.split(rows), strict=True):
            converted[f"{fused[1]}.attn.to_{part}.weight"] = piece
    return converted


def load_denoiser(
    checkpoint: Checkpoint, dtype: torch.dtype, field: str = "model.path"
) -> Lumina2Transformer2DModel:
    """Build the denoiser from a file of its own or a whole model's file, in either layout.

    Raises:
        ModelProblem: if it is not there, not whole, or of another build.
    """
    names = denoiser_names(checkpoint, TELLING, UNUSED)
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no picture model of Lumina-Image 2.",
            "Choose the model's file, or a diffusers folder.",
            field,
        )
    shape = lumina2_shape_of_names({g: checkpoint.shapes[s] for s, g in names.items()})
    if shape is None:
        raise not_whole(checkpoint, "picture model")
    config = _config(shape, checkpoint, field)
    source = checkpoint.read(names, dtype)
    converted = to_diffusers(source, shape.kv_width) if TELLING[0] in source else source
    what = "picture model"
    return assemble(Lumina2Transformer2DModel, config, converted, source, checkpoint, what)


def _config(shape: Lumina2Shape, checkpoint: Checkpoint, field: str) -> dict[str, Any]:
    """The published configuration with the file's own sizes."""
    if shape.width // shape.heads != HEAD_WIDTH:
        raise ModelProblem(
            f"The attention heads in {checkpoint.path.name} are {shape.width // shape.heads} wide; "
            f"those of Lumina-Image 2 are {HEAD_WIDTH}.",
            "Choose Lumina-Image 2.0 or a finetune of it.",
            field,
        )
    config = json.loads((CONFIGS / "transformer" / "config.json").read_text("utf-8"))
    return config | {
        "hidden_size": shape.width,
        "num_layers": shape.layers,
        "num_refiner_layers": shape.refiner_layers,
        "num_attention_heads": shape.heads,
        "num_kv_heads": shape.kv_heads,
        "cap_feat_dim": shape.caption_width,
        "in_channels": shape.patch_values // config["patch_size"] ** 2,
    }
