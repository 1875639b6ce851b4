"""Sites of SDXL: a U-Net of three levels, CLIP-L and OpenCLIP-G (spec: networks 3.1, 3.3, 4.1).

Names in the file follow the original checkpoint. The 23 blocks of the job's lists are the time and
label embedding, nine on the way down, three in the middle, nine on the way up, and the output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.plan.site import Site
from engine.plan.sites.norms import unet_norms
from engine.plan.sites.outer import unet_outer_sites
from engine.plan.sites.site_rules import SiteRules
from engine.plan.sites.text_encoders import CLIP_G, CLIP_L, ClipSize, clip_sites, clip_size
from engine.plan.sites.unet import UNet, unet_sites

LEVELS = 3
DOWN = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]

RESNET_NAMES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
"""A resnet's layers: diffusers' name → the original one."""

AROUND = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
"""Layers around the blocks."""


@dataclass(frozen=True)
class SdxlShape:
    """What decides the sites of an SDXL model; the defaults are the published sizes.

    `transformer_depths` says how many transformer blocks an attention of each level has;
    `added_width` is that of the vector of pooled text and sizes; `latent_side` is the latent's at
    1024 pixels and only counts tokens for estimates.
    """

    block_out_channels: tuple[int, ...] = (320, 640, 1280)
    transformer_depths: tuple[int, ...] = (0, 2, 10)
    layers_per_block: int = 2
    cross_attention_dim: int = 2048
    clip_l: ClipSize = CLIP_L
    clip_g: ClipSize = CLIP_G
    added_width: int = 2816
    latent_side: int = 128


SDXL = SdxlShape()


def sdxl_shape(configs: Mapping[str, Mapping[str, Any]]) -> SdxlShape:
    """Read the shape off the configs of the libraries' models by role.

    Roles are `denoiser`, `text_encoder` and `text_encoder_2`; what an absent one would tell is
    taken from the published sizes.

    Raises:
        ValueError: if the U-Net has not the block structure of SDXL.
    """
    shape = SDXL
    if "denoiser" in configs:
        shape = _unet_shape(configs["denoiser"])
    if "text_encoder" in configs:
        shape = replace(shape, clip_l=clip_size(configs["text_encoder"]))
    if "text_encoder_2" in configs:
        shape = replace(shape, clip_g=clip_size(configs["text_encoder_2"]))
    return shape


def _unet_shape(unet: Mapping[str, Any]) -> SdxlShape:
    widths = tuple(int(c) for c in unet.get("block_out_channels", ()))
    if len(widths) != LEVELS or list(unet.get("down_block_types", ())) != DOWN:
        raise ValueError("the U-Net has not the 23 blocks of SDXL")
    depths: Any = unet.get("transformer_layers_per_block", 1)
    depths = [depths] * LEVELS if isinstance(depths, int) else depths
    if len(depths) != LEVELS or not all(isinstance(depth, int) for depth in depths):
        raise ValueError("the U-Net's attentions are not as deep on the way up as down")
    return SdxlShape(
        block_out_channels=widths,
        transformer_depths=(0, *depths[1:]),
        layers_per_block=int(unet.get("layers_per_block", 2)),
        cross_attention_dim=int(unet.get("cross_attention_dim", 2048)),
        added_width=int(unet.get("projection_class_embeddings_input_dim") or SDXL.added_width),
    )


def sdxl_shape_of_names(shapes: Mapping[str, tuple[int, ...]]) -> SdxlShape | None:
    """Read the shape off the tensors of a whole checkpoint; None if a block is missing.

    Names are those of the file, the U-Net's without their prefix.
    """
    try:
        widths = tuple(shapes[f"input_blocks.{i}.0.out_layers.3.weight"][0] for i in (1, 4, 7))
        first = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
        clip_l = _text_size(shapes, r"conditioner\.embedders\.0\..*layers\.(\d+)\.mlp\.fc1\.weight")
        clip_g = _text_size(
            shapes, r"conditioner\.embedders\.1\..*resblocks\.(\d+)\.mlp\.c_fc\.weight"
        )
        text = shapes[first][1]
    except KeyError:
        return None
    depths = (_depth(shapes, f"input_blocks.{i}.1") for i in (4, 7))
    return SdxlShape(
        block_out_channels=widths,
        transformer_depths=(0, *depths),
        cross_attention_dim=text,
        clip_l=clip_l,
        clip_g=clip_g,
        added_width=shapes.get("label_emb.0.0.weight", (0, SDXL.added_width))[1],
    )


def _depth(shapes: Mapping[str, tuple[int, ...]], attention: str) -> int:
    numbers = _numbers(shapes, rf"{re.escape(attention)}\.transformer_blocks\.(\d+)\.norm1\.weight")
    return len(numbers)


def _text_size(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> ClipSize:
    found = _numbers(shapes, pattern)
    if not found:
        raise KeyError(pattern)
    mlp, width = next(iter(found.values()))
    return ClipSize(width, mlp, len(found))


def _numbers(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> dict[int, tuple[int, ...]]:
    """The tensors that a pattern finds, by the number in it."""
    matches = (re.fullmatch(pattern, name) for name in shapes)
    return {int(m[1]): shapes[m[0]] for m in matches if m}


def sdxl_sites(shape: SdxlShape) -> tuple[Site, ...]:
    """All sites: text encoders first, then the U-Net in the order of its blocks."""
    unet = UNet(
        widths=shape.block_out_channels,
        depths=shape.transformer_depths,
        middle_depth=shape.transformer_depths[-1],
        layers=shape.layers_per_block,
        text_width=shape.cross_attention_dim,
        linear_projection=True,
        latent_side=shape.latent_side,
        first_block=2,
        middle=(10, 11, 12),
        original=original_name,
        named_original=True,
    )
    return (
        *clip_sites(shape.clip_l, "lora_te1", "text_encoder", projected=False),
        *clip_sites(shape.clip_g, "lora_te2", "text_encoder_2", projected=True),
        *unet_sites(unet),
    )


def original_name(module: str) -> str:
    """The original path of a diffusers U-Net layer (spec: networks 3.3).

    Raises:
        ValueError: for a layer that SDXL has not.
    """
    if module in AROUND:
        return AROUND[module]
    match = re.fullmatch(r"(down_blocks|up_blocks)\.(\d)\.(\w+)\.(\d)\.(.+)", module)
    if match:
        side, level, part, layer, rest = match.groups()
        down = side == "down_blocks"
        here = "input_blocks" if down else "output_blocks"
        number = 3 * int(level) + int(layer) + down
        if part == "resnets":
            return f"{here}.{number}.0.{RESNET_NAMES[rest]}"
        if part == "attentions":
            return f"{here}.{number}.1.{rest}"
        number = 3 * int(level) + 2 + down
        return f"{here}.{number}.0.op" if down else f"{here}.{number}.2.conv"
    match = re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", module)
    if not match:
        raise ValueError(f"{module} lies in no block of SDXL")
    part, layer, rest = match.groups()
    if part == "attentions":
        return f"middle_block.1.{rest}"
    return f"middle_block.{2 * int(layer)}.{RESNET_NAMES[rest]}"


def _with_norms(shape: SdxlShape) -> tuple[Site, ...]:
    sites = sdxl_sites(shape)
    outer = unet_outer_sites(
        shape.block_out_channels[0], shape.latent_side, shape.added_width, original_name
    )
    return (*sites, *unet_norms(sites), *outer)


RULES = SiteRules((SDXL,), _with_norms, sdxl_shape, sdxl_shape_of_names)
