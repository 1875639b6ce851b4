"""The picture encoder of a model, for every architecture with a VAE of the usual kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.architectures.fingerprint import fingerprint

ENCODING_VERSION = 1  # raise it when `encode` changes what it returns
TILED_ABOVE = 1536  # pixels of a side; larger pictures go through the VAE in tiles


class PictureCoder:
    """Pixels to latents and back, in the VAE's own precision and without gradient.

    Attributes:
        vae: a VAE of diffusers with `scaling_factor`, and `shift_factor` or none, in its config.
        scale: pixels of a latent's side.
        tiled_encoding: large pictures may be encoded in tiles; not every VAE can.
    """

    def __init__(self, vae: nn.Module, scale: int = 8, *, tiled_encoding: bool = True) -> None:
        """Take the VAE as it is, and freeze it."""
        self.vae: Any = vae.requires_grad_(False).eval()
        self.scale = scale
        self.tiled_encoding = tiled_encoding
        self._identity: dict[str, Any] | None = None
        self.vae.enable_slicing()  # one picture at a time: a batch needs no more memory

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, H, W) in [-1, 1] → the posterior's mean (b, c, h, w), unscaled, float32.

        Raises:
            ValueError: if a latent is not finite, as some VAEs give in fp16.
        """
        self._set_tiling(max(pixels.shape[-2:]) if self.tiled_encoding else 0)
        with torch.autocast(self.vae.device.type, enabled=False):
            encoded: Any = self.vae.encode(self._for_vae(pixels))
        latents = self._of_vae(encoded.latent_dist.mode())
        if not bool(latents.isfinite().all()):
            raise ValueError("the VAE gave numbers that are not finite: set VAE precision to fp32")
        return latents

    def scaled(self, latents: Tensor) -> Tensor:
        """Unscaled latents → the denoiser's range, float32."""
        return (latents.float() - self._shift) * self.vae.config["scaling_factor"]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, c, h, w) → pixels (b, 3, H, W) around [-1, 1], float32."""
        self._set_tiling(self.scale * max(latents.shape[-2:]))
        unscaled = self._unscaled(latents)
        with torch.autocast(self.vae.device.type, enabled=False):
            decoded: Any = self.vae.decode(self._for_vae(unscaled))
        return self._of_vae(decoded.sample)

    def identity(self) -> dict[str, Any]:
        """What decides the latents of a picture; read off the weights once."""
        if self._identity is None:
            self._identity = {
                "vae": fingerprint(self.vae),
                "precision": str(self.vae.dtype),
                "version": ENCODING_VERSION,
            }
        return self._identity

    def _unscaled(self, latents: Tensor) -> Tensor:
        """The inverse of `scaled`, float32."""
        return latents.float() / self.vae.config["scaling_factor"] + self._shift

    def _for_vae(self, pictures: Tensor) -> Tensor:
        """Pixels or latents (b, c, h, w) as the VAE takes them, on its device."""
        return pictures.to(self.vae.device, self.vae.dtype)

    def _of_vae(self, pictures: Tensor) -> Tensor:
        """What the VAE gave as (b, c, h, w), float32."""
        return pictures.float()

    @property
    def _shift(self) -> float:
        return self.vae.config.get("shift_factor") or 0.0

    def _set_tiling(self, side: int) -> None:
        if side > TILED_ABOVE:
            self.vae.enable_tiling()
        else:
            self.vae.disable_tiling()


def picture_of(pixels: Tensor) -> Any:
    """Pixels (1, 3, H, W) around [-1, 1] → a Pillow picture."""
    from diffusers.image_processor import VaeImageProcessor

    pictures: Any = VaeImageProcessor().postprocess(pixels.cpu(), output_type="pil")
    return pictures[0]
