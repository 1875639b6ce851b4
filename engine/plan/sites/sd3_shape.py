"""What decides the structure of an SD3 model, read off configs or a file's names (networks 3.5).

SD3-medium, SD3.5-medium and SD3.5-large differ in depth, width, a second attention in some blocks
and norms of queries and keys; everything else follows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.plan.sites.text_encoders import (
    CLIP_G,
    CLIP_L,
    T5_XXL,
    ClipSize,
    T5Size,
    clip_inside,
    clip_size,
    t5_inside,
    t5_size,
)

Shapes = Mapping[str, tuple[int, ...]]

PATCH = 2  # latents of a patch's side
HEAD_WIDTH = 64  # of an attention head, where no norm tells it
TIME_WIDTH = 256  # of the sinusoids that a timestep becomes


@dataclass(frozen=True)
class Sd3Shape:
    """What decides the sites of an SD3 model; the defaults are SD3-medium.

    Attributes:
        width: of a token, picture's and text's alike.
        layers: joint blocks; the last one leaves the text as it is.
        dual: the blocks with a second attention among the picture's own tokens.
        normalized: queries and keys have a norm in each head.
        head_width: of an attention head.
        context_width: of a text token before it is embedded.
        pooled_width: of the pooled text.
        latent_channels: of the VAE.
        position_side: of the table of positions; larger pictures than 16 times it are refused.
        clip_l, clip_g: the sizes of the CLIP encoders.
        t5: the size of the third one, None where there is none.
        latent_side: of the latent at 1024 pixels; it only counts tokens for estimates.
    """

    width: int = 1536
    layers: int = 24
    dual: tuple[int, ...] = ()
    normalized: bool = False
    head_width: int = HEAD_WIDTH
    context_width: int = 4096
    pooled_width: int = 2048
    latent_channels: int = 16
    position_side: int = 192
    clip_l: ClipSize = CLIP_L
    clip_g: ClipSize = CLIP_G
    t5: T5Size | None = T5_XXL
    latent_side: int = 128


SD3_MEDIUM = Sd3Shape()
SD35_MEDIUM = Sd3Shape(dual=tuple(range(13)), normalized=True, position_side=384)
SD35_LARGE = Sd3Shape(width=2432, layers=38, normalized=True)
VARIANTS = {"medium": SD3_MEDIUM, "3.5-medium": SD35_MEDIUM, "3.5-large": SD35_LARGE}
"""The published sizes by the variant's name."""


def sd3_shape(configs: Mapping[str, Mapping[str, Any]]) -> Sd3Shape:
    """Read the shape off the libraries' configs by role; what is absent counts as published.

    Raises:
        ValueError: if the transformer is not built as SD3's.
    """
    shape = SD3_MEDIUM
    if "denoiser" in configs:
        shape = _transformer_shape(configs["denoiser"])
    if "text_encoder" in configs:
        shape = replace(shape, clip_l=clip_size(configs["text_encoder"]))
    if "text_encoder_2" in configs:
        shape = replace(shape, clip_g=clip_size(configs["text_encoder_2"]))
    if "text_encoder_3" in configs:
        shape = replace(shape, t5=t5_size(configs["text_encoder_3"]))
    return shape


def _transformer_shape(config: Mapping[str, Any]) -> Sd3Shape:
    if config.get("patch_size", PATCH) != PATCH:
        raise ValueError(f"its patches are not {PATCH} latents wide")
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    if int(config["caption_projection_dim"]) != width:
        raise ValueError("its text and its picture tokens differ in width")
    return Sd3Shape(
        width=width,
        layers=int(config["num_layers"]),
        dual=tuple(int(i) for i in config.get("dual_attention_layers") or ()),
        normalized=config.get("qk_norm") is not None,
        head_width=int(config["attention_head_dim"]),
        context_width=int(config["joint_attention_dim"]),
        pooled_width=int(config["pooled_projection_dim"]),
        latent_channels=int(config.get("in_channels", 16)),
        position_side=int(config["pos_embed_max_size"]),
    )


def sd3_variant(shape: Sd3Shape) -> str:
    """The name of the published model with this structure, whatever its widths."""
    if shape.dual:
        return "3.5-medium"
    return "3.5-large" if shape.normalized else "medium"


def sd3_shape_of_names(names: Shapes) -> Sd3Shape | None:
    """Read the shape off an original file's tensors, the denoiser's without prefix.

    Returns:
        None if the transformer is not whole. Text encoders that the file lacks count as published.
    """
    depth = 1 + max((int(m[1]) for m in map(_JOINT.match, names) if m), default=-1)
    try:
        width, channels = names["x_embedder.proj.weight"][:2]
        return Sd3Shape(
            width=width,
            layers=depth,
            dual=tuple(
                i for i in range(depth) if f"joint_blocks.{i}.x_block.attn2.qkv.weight" in names
            ),
            normalized=_NORM in names,
            head_width=names.get(_NORM, (HEAD_WIDTH,))[0],
            context_width=names["context_embedder.weight"][1],
            pooled_width=names["y_embedder.mlp.0.weight"][1],
            latent_channels=channels,
            position_side=math.isqrt(names["pos_embed"][1]),
            clip_l=clip_inside(names, "clip_l") or CLIP_L,
            clip_g=clip_inside(names, "clip_g") or CLIP_G,
            t5=t5_inside(names) or T5_XXL,
        )
    except (KeyError, IndexError, ValueError):
        return None


_NORM = "joint_blocks.0.x_block.attn.ln_q.weight"
_JOINT = re.compile(r"joint_blocks\.(\d+)\.")
