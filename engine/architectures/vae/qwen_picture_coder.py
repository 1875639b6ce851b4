"""Qwen-Image's VAE, made for video, on single pictures (spec: training-dit 0.11, 4.4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.architectures.fingerprint import fingerprint

ENCODING_VERSION = 1  # raise it when `encode` changes what it returns
TILED_ABOVE = 1536  # pixels of a side; larger pictures go through the VAE in tiles
SCALE = 8  # pixels of a latent's side


class QwenPictureCoder:
    """Pixels to latents and back, in the VAE's own precision and without gradient.

    Attributes:
        vae: the library's `AutoencoderKLQwenImage`.
    """

    def __init__(self, vae: nn.Module) -> None:
        """Take the VAE, freeze it, and let its convolutions work on one frame."""
        self.vae: Any = vae.requires_grad_(False).eval()
        self._identity: dict[str, Any] | None = None
        self.vae.enable_slicing()  # one picture at a time: a batch needs no more memory
        for module in vae.modules():
            if isinstance(module, nn.Conv3d):
                module.__dict__["forward"] = _OneFrame(module)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, H, W) in [-1, 1] → the posterior's mode (b, 16, h, w), unscaled, float32.

        Raises:
            ValueError: if a latent is not finite.
        """
        self._set_tiling(max(pixels.shape[-2:]))
        frames = pixels.to(self.vae.device, self.vae.dtype)[:, :, None]
        with torch.autocast(self.vae.device.type, enabled=False):
            encoded: Any = self.vae.encode(frames)
        latents = encoded.latent_dist.mode()[:, :, 0].float()
        if not bool(latents.isfinite().all()):
            raise ValueError("the VAE gave numbers that are not finite: set VAE precision to fp32")
        return latents

    def scaled(self, latents: Tensor) -> Tensor:
        """Unscaled latents (b, 16, h, w) → the denoiser's range, float32."""
        mean, spread = self._statistics(latents)
        return (latents.float() - mean) / spread

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, 16, h, w) → pixels (b, 3, H, W) around [-1, 1], float32."""
        self._set_tiling(SCALE * max(latents.shape[-2:]))
        mean, spread = self._statistics(latents)
        frames = (latents.float() * spread + mean)[:, :, None]
        with torch.autocast(self.vae.device.type, enabled=False):
            decoded: Any = self.vae.decode(frames.to(self.vae.device, self.vae.dtype))
        return decoded.sample[:, :, 0].float()

    def identity(self) -> dict[str, Any]:
        """What decides the latents of a picture; read off the weights once."""
        if self._identity is None:
            self._identity = {
                "vae": fingerprint(self.vae),
                "precision": str(self.vae.dtype),
                "version": ENCODING_VERSION,
            }
        return self._identity

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each channel, (1, 16, 1, 1)."""
        config = self.vae.config
        mean, spread = (
            torch.tensor(config[name], device=latents.device).view(1, -1, 1, 1)
            for name in ("latents_mean", "latents_std")
        )
        return mean, spread

    def _set_tiling(self, side: int) -> None:
        if side > TILED_ABOVE:
            self.vae.enable_tiling()
        else:
            self.vae.disable_tiling()


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
