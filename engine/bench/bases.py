"""Denoisers to measure adapters on, with random weights, and what they are fed.

SD 1.5 is of real size. The others have few of their real blocks at a quarter of the width, on a
quarter of the tokens: how many tokens there are to a width decides what an adapter costs beside its
host, and a CPU can still do a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

TEXT_TOKENS = 77
TEXT = 128


@dataclass(frozen=True)
class Base:
    """A frozen denoiser and the arguments of one forward pass."""

    denoiser: nn.Module
    inputs: dict[str, Any]


@dataclass(frozen=True)
class Narrow:
    """The size of a narrow model: the side of its latents, and its heads of 64 numbers."""

    side: int
    heads: int

    @property
    def width(self) -> int:
        """Numbers in each token."""
        return 64 * self.heads


FULL, TOY = Narrow(64, 12), Narrow(32, 4)


def sd1(quick: bool) -> Base:
    """SD 1.5's U-Net in its real size, or a toy of its structure."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    text, side = (32, 16) if quick else (768, 64)
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(32, 64, 64, 64) if quick else (320, 640, 1280, 1280),
        cross_attention_dim=text,
        attention_head_dim=8,
    )
    return _frozen(
        unet,
        sample=torch.randn(1, 4, side, side),
        timestep=torch.tensor([500]),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, text),
    )


def sdxl(size: Narrow) -> Base:
    """SDXL's U-Net, its depths kept."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    width, side = size.width, size.side // 2  # it has many more blocks than the others
    unet = UNet2DConditionModel(
        sample_size=side,
        block_out_channels=(width // 2, width // 2, width),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),  # pyright: ignore[reportArgumentType]
        cross_attention_dim=TEXT,
        attention_head_dim=(2, size.heads // 2, size.heads),  # pyright: ignore[reportArgumentType]
        use_linear_projection=True,
    )
    return _frozen(
        unet,
        sample=torch.randn(1, 4, side, side),
        timestep=torch.tensor([500]),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, TEXT),
    )


def flux(size: Narrow) -> Base:
    """A double and a single block of FLUX.1."""
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    model = FluxTransformer2DModel(
        num_layers=1, num_single_layers=2, attention_head_dim=64, num_attention_heads=size.heads,
        joint_attention_dim=TEXT, pooled_projection_dim=TEXT, guidance_embeds=True,
        axes_dims_rope=(8, 28, 28),
    )  # fmt: skip
    tokens = (size.side // 2) ** 2
    return _frozen(
        model,
        hidden_states=torch.randn(1, tokens, 64),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, TEXT),
        pooled_projections=torch.randn(1, TEXT),
        timestep=torch.tensor([0.5]),
        guidance=torch.tensor([1.0]),
        img_ids=torch.zeros(tokens, 3),
        txt_ids=torch.zeros(TEXT_TOKENS, 3),
    )


def sd3(size: Narrow) -> Base:
    """Three blocks of SD3; the last has no text output."""
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    model = SD3Transformer2DModel(
        sample_size=size.side, num_layers=3, attention_head_dim=64, num_attention_heads=size.heads,
        joint_attention_dim=TEXT, caption_projection_dim=size.width, pooled_projection_dim=TEXT,
        pos_embed_max_size=size.side,
    )  # fmt: skip
    return _frozen(
        model,
        hidden_states=torch.randn(1, 16, size.side, size.side),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, TEXT),
        pooled_projections=torch.randn(1, TEXT),
        timestep=torch.tensor([500.0]),
    )


def lumina2(size: Narrow) -> Base:
    """Two blocks of Lumina-Image 2 and its refiners."""
    from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel

    heads = size.heads * 2 // 3  # of 96 numbers
    model = Lumina2Transformer2DModel(
        hidden_size=96 * heads, num_layers=2, num_refiner_layers=1, num_attention_heads=heads,
        num_kv_heads=heads // 2, cap_feat_dim=TEXT,
    )  # fmt: skip
    return _frozen(
        model,
        hidden_states=torch.randn(1, 16, size.side, size.side),
        timestep=torch.tensor([0.5]),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, TEXT),
        encoder_attention_mask=torch.ones(1, TEXT_TOKENS, dtype=torch.int32),
    )


def hunyuan_image(size: Narrow) -> Base:
    """A double and two single blocks of HunyuanImage."""
    from diffusers.models.transformers.transformer_hunyuanimage import (
        HunyuanImageTransformer2DModel,
    )

    model = HunyuanImageTransformer2DModel(
        in_channels=64, out_channels=64, num_attention_heads=size.heads, attention_head_dim=64,
        num_layers=1, num_single_layers=2, num_refiner_layers=1, text_embed_dim=TEXT,
        text_embed_2_dim=TEXT, rope_axes_dim=(32, 32),
    )  # fmt: skip
    mask = torch.ones(1, TEXT_TOKENS, dtype=torch.int64)
    return _frozen(
        model,
        hidden_states=torch.randn(1, 64, size.side // 2, size.side // 2),
        timestep=torch.tensor([500.0]),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, TEXT),
        encoder_attention_mask=mask,
        encoder_hidden_states_2=torch.randn(1, TEXT_TOKENS, TEXT),
        encoder_attention_mask_2=mask,
    )


def anima(size: Narrow) -> Base:
    """Two blocks of Anima's Cosmos transformer."""
    from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel

    from engine.architectures.anima.load import provide_resize

    provide_resize()
    model = CosmosTransformer3DModel(
        in_channels=16, out_channels=16, num_attention_heads=size.heads, attention_head_dim=64,
        num_layers=2, mlp_ratio=4.0, text_embed_dim=TEXT, adaln_lora_dim=32,
        max_size=(128, 240, 240), patch_size=(1, 2, 2), rope_scale=(1.0, 4.0, 4.0),
        concat_padding_mask=True, extra_pos_embed_type=None,
    )  # fmt: skip
    return _frozen(
        model,
        hidden_states=torch.randn(1, 16, 1, size.side, size.side),
        timestep=torch.tensor([0.5]),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, TEXT),
        padding_mask=torch.zeros(1, 1, size.side, size.side),
    )


NARROW: dict[str, Callable[[Narrow], Base]] = {
    "sdxl": sdxl,
    "flux": flux,
    "sd3": sd3,
    "lumina2": lumina2,
    "hunyuan_image": hunyuan_image,
    "anima": anima,
}
"""Architecture → its narrow denoiser."""


def _frozen(denoiser: nn.Module, **inputs: Any) -> Base:
    return Base(denoiser.requires_grad_(False).train(), inputs)
