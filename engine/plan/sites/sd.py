"""Sites of SD 1.x and 2.x: a U-Net of 25 blocks and one CLIP text encoder.

Spec: networks 3.1, 3.2. Names in the file are the diffusers paths. Everything follows from a few
widths, so that the real models, the demo and the tests' tiny ones share the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engine.plan.site import Site
from engine.plan.sites.norms import unet_norms
from engine.plan.sites.outer import unet_outer_sites
from engine.plan.sites.site_rules import Configs, Names, SiteRules
from engine.plan.sites.text_encoders import ClipSize, clip_sites
from engine.plan.sites.unet import UNet, unet_sites

LEVELS = 4
ATTENTION_LEVELS = 3  # the lowest level of a U-Net has resnets only


@dataclass(frozen=True)
class SdShape:
    """What decides the sites of an SD model; the defaults are SD 1.x.

    `latent_side` is the side of the latent at the architecture's resolution; it only counts tokens
    for estimates.
    """

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    cross_attention_dim: int = 768
    linear_projection: bool = False
    text_width: int = 768
    text_mlp: int = 3072
    text_layers: int = 12
    latent_side: int = 64


SD1 = SdShape()
SD2 = SdShape(
    cross_attention_dim=1024,
    linear_projection=True,
    text_width=1024,
    text_mlp=4096,
    text_layers=23,
    latent_side=96,
)


def sd_shape(published: SdShape, configs: Configs) -> SdShape:
    """Read the shape off the configs of `denoiser` and `text_encoder`; what is absent is published.

    Raises:
        ValueError: if the U-Net has not the block structure of SD 1.x/2.x.
    """
    unet, text = configs.get("denoiser"), configs.get("text_encoder")
    shape = published if unet is None else _of_unet(published, unet)
    if text is None:
        return shape
    return replace(
        shape,
        text_width=int(text["hidden_size"]),
        text_mlp=int(text["intermediate_size"]),
        text_layers=int(text["num_hidden_layers"]),
    )


def _of_unet(published: SdShape, unet: Mapping[str, Any]) -> SdShape:
    channels = tuple(int(c) for c in unet.get("block_out_channels", ()))
    down = list(unet.get("down_block_types", ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]))
    if len(channels) != LEVELS or down != ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]:
        raise ValueError("the U-Net has not the 25 blocks of SD 1.x and 2.x")
    return replace(
        published,
        block_out_channels=channels,
        layers_per_block=int(unet.get("layers_per_block", 2)),
        cross_attention_dim=int(unet.get("cross_attention_dim", 768)),
        linear_projection=bool(unet.get("use_linear_projection", False)),
        text_width=int(unet.get("cross_attention_dim", 768)),
    )


def _of_names(published: SdShape, shapes: Names) -> SdShape | None:
    """Read the shape off a whole checkpoint in the original layout; None if a block is missing."""
    try:
        channels = tuple(
            shapes[f"input_blocks.{i}.0.out_layers.3.weight"][0] for i in (1, 4, 7, 10)
        )
        attention = "input_blocks.1.1"
        cross = shapes[f"{attention}.transformer_blocks.0.attn2.to_k.weight"][1]
        linear = len(shapes[f"{attention}.proj_in.weight"]) == 2
    except KeyError:
        return None
    pattern = re.compile(
        r"cond_stage_model\..*(?:layers|resblocks)\.(\d+)\.mlp\.(?:fc1|c_fc)\.weight"
    )
    found = {int(m[1]): shapes[m[0]] for m in map(pattern.fullmatch, shapes) if m}
    if not found:
        return None
    openclip = any(n.startswith("cond_stage_model.model.") for n in shapes)
    mlp, width = next(iter(found.values()))
    return SdShape(
        block_out_channels=channels,
        cross_attention_dim=cross,
        linear_projection=linear,
        text_width=width,
        text_mlp=mlp,
        # SD 2 reads the layer before the last, so the libraries' model leaves the last one out
        text_layers=len(found) - 1 if openclip else len(found),
        latent_side=published.latent_side,
    )


def sd_sites(shape: SdShape) -> tuple[Site, ...]:
    """All sites: text encoder first, then the U-Net in the order of its blocks."""
    text = ClipSize(shape.text_width, shape.text_mlp, shape.text_layers)
    unet = UNet(
        widths=shape.block_out_channels,
        depths=(1,) * ATTENTION_LEVELS + (0,),
        middle_depth=1,
        layers=shape.layers_per_block,
        text_width=shape.cross_attention_dim,
        linear_projection=shape.linear_projection,
        latent_side=shape.latent_side,
        first_block=1,
        middle=(12, 12, 12),
        original=str,  # patterns and files know SD's layers by diffusers' paths
        named_original=False,
    )
    return (
        *clip_sites(text, "lora_te", "text_encoder", projected=False),
        *unet_sites(unet),
    )


def _with_norms(shape: SdShape) -> tuple[Site, ...]:
    sites = sd_sites(shape)
    outer = unet_outer_sites(shape.block_out_channels[0], shape.latent_side)
    return (*sites, *unet_norms(sites), *outer)


def _rules(published: SdShape) -> SiteRules:
    return SiteRules(
        (published,), _with_norms, partial(sd_shape, published), partial(_of_names, published)
    )


SD1_RULES, SD2_RULES = _rules(SD1), _rules(SD2)
