"""SD3's transformer out of a file in the original layout, and the encoders that may lie beside it.

Key conversion is diffusers', which takes any width and depth of this architecture; the config is
read off the tensors, so nothing is fetched (spec: training-sd-flux 1.2, 1.4).
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.loaders import single_file_utils
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import assemble, not_whole
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.loading.denoiser_names import denoiser_names
from engine.plan.sites.sd3_shape import PATCH, Sd3Shape, sd3_shape_of_names

CLIP_L_PREFIX = "text_encoders.clip_l.transformer."
CLIP_G_PREFIX = "text_encoders.clip_g.transformer."
WHAT = "picture model (transformer)"
_FIRST = "x_embedder.proj.weight"
_OTHER_PARTS = ("text_encoders.", "first_stage_model.", "vae.")


def load_transformer(
    checkpoint: Checkpoint, dtype: torch.dtype, field: str = "model.path"
) -> SD3Transformer2DModel:
    """Build the transformer from a whole checkpoint, or from a file that holds it alone.

    Raises:
        ModelProblem: if it is not there, not whole, or of another structure.
    """
    names = denoiser_names(checkpoint, (_FIRST,), _OTHER_PARTS)
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no {WHAT} of SD3 in the original layout.",
            "Choose the model's checkpoint file, such as sd3.5_medium.safetensors, or a diffusers "
            "folder.",
            field,
        )
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    shape = sd3_shape_of_names(shapes)
    if shape is None or f"joint_blocks.{shape.layers - 1}.context_block.attn.proj.weight" in shapes:
        raise not_whole(checkpoint, WHAT)  # the last block of a whole one has no such layer
    # The converter takes what it knows out of the dict: what stays is too much.
    tensors = checkpoint.read(names, dtype)
    try:
        converted = single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers(tensors)
    except KeyError as missing:
        raise not_whole(checkpoint, WHAT, map(str, missing.args)) from None
    config = transformer_config(shape)
    return assemble(SD3Transformer2DModel, config, converted, tensors, checkpoint, WHAT, whole=True)


def transformer_config(shape: Sd3Shape) -> dict[str, Any]:
    """The library's config for a file of this shape."""
    head = min(shape.head_width, shape.width)
    return {
        "sample_size": shape.latent_side,
        "patch_size": PATCH,
        "in_channels": shape.latent_channels,
        "out_channels": shape.latent_channels,
        "num_layers": shape.layers,
        "attention_head_dim": head,
        "num_attention_heads": shape.width // head,
        "joint_attention_dim": shape.context_width,
        "caption_projection_dim": shape.width,
        "pooled_projection_dim": shape.pooled_width,
        "pos_embed_max_size": shape.position_side,
        "dual_attention_layers": list(shape.dual),
        "qk_norm": "rms_norm" if shape.normalized else None,
    }
