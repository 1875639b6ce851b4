"""Sites of SD 1.x and 2.x: a U-Net of 25 blocks and one CLIP text encoder.

Spec: networks 3.1, 3.2. Names in the file are the diffusers paths. Everything follows from a few
widths, so that the real models, the demo and the tests' tiny ones share the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.plan.site import Site
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


def sd_shape(
    unet: dict[str, Any], text_encoder: dict[str, Any] | None, latent_side: int
) -> SdShape:
    """Read the shape off the configs of the libraries' U-Net and text encoder.

    Raises:
        ValueError: if the U-Net has not the block structure of SD 1.x/2.x.
    """
    channels = tuple(int(c) for c in unet.get("block_out_channels", ()))
    down = list(unet.get("down_block_types", ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]))
    if len(channels) != LEVELS or down != ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]:
        raise ValueError("the U-Net has not the 25 blocks of SD 1.x and 2.x")
    text = text_encoder or {}
    return SdShape(
        block_out_channels=channels,
        layers_per_block=int(unet.get("layers_per_block", 2)),
        cross_attention_dim=int(unet.get("cross_attention_dim", 768)),
        linear_projection=bool(unet.get("use_linear_projection", False)),
        text_width=int(text.get("hidden_size", unet.get("cross_attention_dim", 768))),
        text_mlp=int(text.get("intermediate_size", 3072)),
        text_layers=int(text.get("num_hidden_layers", 12)),
        latent_side=latent_side,
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
