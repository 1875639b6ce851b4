"""Qwen-Image's VAE, made for video, on single pictures (spec: training-dit 0.11, 4.4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.architectures.vae.picture_coder import PictureCoder


class QwenPictureCoder(PictureCoder):
    """A `PictureCoder` whose pictures are films of one frame, scaled by channel.

    Attributes:
        vae: the library's `AutoencoderKLQwenImage`; its latents are (b, 16, h, w) here.
    """

    def __init__(self, vae: nn.Module) -> None:
        """Take the VAE, freeze it, and let its convolutions work on one frame."""
        super().__init__(vae)
        for module in vae.modules():
            if isinstance(module, nn.Conv3d):
                module.__dict__["forward"] = _OneFrame(module)

    def scaled(self, latents: Tensor) -> Tensor:
        """Unscaled latents (b, 16, h, w) → the denoiser's range, float32."""
        mean, spread = self._statistics(latents)
        return (latents.float() - mean) / spread

    def _unscaled(self, latents: Tensor) -> Tensor:
        mean, spread = self._statistics(latents)
        return latents.float() * spread + mean

    def _for_vae(self, pictures: Tensor) -> Tensor:
        return super()._for_vae(pictures)[:, :, None]

    def _of_vae(self, pictures: Tensor) -> Tensor:
        return super()._of_vae(pictures[:, :, 0])

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each channel, (1, 16, 1, 1)."""
        config = self.vae.config
        mean, spread = (
            torch.tensor(config[name], device=latents.device).view(1, -1, 1, 1)
            for name in ("latents_mean", "latents_std")
        )
        return mean, spread


class _OneFrame:
    """Stands as `forward` on a causal convolution and computes it for one frame.

    Before the first frame there is nothing but zeros, so that only the last slice of the kernel
    ever meets a picture: a convolution in two dimensions, at a third of the work and memory.
    """

    def __init__(self, convolution: Any) -> None:
        self.convolution = convolution
        # The class keeps its padding apart: (left, right, top, bottom, before, after).
        self.padding = (convolution._padding[2], convolution._padding[0])

    def __call__(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        """(b, c, 1, H, W) → (b, c', 1, H', W')."""
        if x.shape[2] != 1 or cache_x is not None:
            raise ValueError(f"the picture encoder takes single pictures, not {x.shape[2]} frames")
        c = self.convolution
        y = functional.conv2d(x[:, :, 0], c.weight[:, :, -1], c.bias, c.stride[1:], self.padding)
        return y[:, :, None]
