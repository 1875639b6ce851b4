"""SD 1.x and 2.x: U-Net, VAE and one CLIP text encoder, and how each is fed (spec: 2, 3, 5, 6)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.architectures.architecture import (
    OnStep,
    Part,
    Prediction,
    PreviewRequest,
    Text,
)
from engine.architectures.identity import fingerprint
from engine.architectures.picture_coder import PictureCoder, picture_of
from engine.architectures.running import attention_context, preview_precision
from engine.architectures.text import ClipTokenizer, encode_windows, windows_of

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from PIL.Image import Image

    from engine.architectures.clip_encoders import Clip
    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site

ENCODING_VERSION = 1  # raise it when encode_text changes what it returns


@dataclass(frozen=True)
class SdOptions:
    """How the model is used: the job's choices, and what was read off the files."""

    prediction: Prediction = "epsilon"
    zero_terminal_snr: bool = False
    max_tokens: int = 75
    clip_skip: int | None = None
    weighted_captions: bool = False
    attention: str = "auto"


class SdModel:
    """A loaded SD 1.x/2.x model; a `TrainableModel`. Text is {"states": (b, tokens, width)}."""

    def __init__(
        self,
        architecture: str,
        facts: ModelFacts,
        sites: tuple[Site, ...],
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: Clip,
        tokenizer: ClipTokenizer,
        options: SdOptions,
    ) -> None:
        """Take the modules as they are, and freeze them."""
        self.architecture = architecture
        self.facts = facts
        self.sites = sites
        self.unet, self.text_encoder = unet, text_encoder
        self.pictures = PictureCoder(vae)
        self.components: dict[str, nn.Module] = {"denoiser": unet, "text_encoder": text_encoder}
        self.tokenizer = tokenizer
        self.options = options
        self.prediction: Prediction = options.prediction
        self.zero_terminal_snr = options.zero_terminal_snr
        self._text_identity: dict[str, Any] | None = None
        for module in (unet, text_encoder):
            module.requires_grad_(False).eval()

    # Pictures

    @property
    def vae(self) -> nn.Module:
        """The picture encoder, in its own precision."""
        return self.pictures.vae

    def encode_pictures(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, H, W) in [-1, 1] → latents (b, 4, H/8, W/8), the mean, unscaled, float32.

        Raises:
            ValueError: if a latent is not finite, as some VAEs give in fp16.
        """
        return self.pictures.encode(pixels)

    def scale_latents(self, latents: Tensor) -> Tensor:
        """Unscaled latents → the denoiser's range, float32."""
        return self.pictures.scaled(latents)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, 4, h, w) → pixels (b, 3, 8h, 8w) around [-1, 1], float32."""
        return self.pictures.decode(latents)

    def picture_identity(self) -> dict[str, Any]:
        """What decides the latents of a picture; read off the weights once."""
        return self.pictures.identity()

    # Text

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → {"states": (b, tokens, width)}; gradients flow if grad mode is on."""
        weighted = self.options.weighted_captions
        count = self.options.max_tokens // 75
        windows = windows_of(self.tokenizer, captions, count, weighted=weighted)
        return {"states": self._encode(windows, use_weights=weighted, keep_mean=False)}

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Prompts of one preview → an entry each, all of the longest one's length."""
        windows = windows_of(self.tokenizer, prompts, None, weighted=True)
        states = self._encode(windows, use_weights=True, keep_mean=True)
        return [{"states": row[None]} for row in states]

    def _encode(self, windows: Any, *, use_weights: bool, keep_mean: bool) -> Tensor:
        return encode_windows(
            self.text_encoder,
            windows,
            self.options.clip_skip,
            use_weights=use_weights,
            keep_mean=keep_mean,
        )

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights once."""
        if self._text_identity is None:
            self._text_identity = {
                "text_encoder": fingerprint(self.text_encoder),
                "precision": str(self.text_encoder.dtype),
                "vocabulary": len(self.tokenizer.tokenizer),
                "pad": self.tokenizer.pad,
                "max_tokens": self.options.max_tokens,
                "clip_skip": self.options.clip_skip or 1,
                "weighted": self.options.weighted_captions,
                "version": ENCODING_VERSION,
            }
        return self._text_identity

    # The denoiser

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Noisy latents (b, 4, h, w) at timesteps `times` (b,) → the prediction, same shape."""
        dtype = self.unet.dtype
        return self.unet(
            noisy.to(dtype),
            times,
            encoder_hidden_states=text["states"].to(noisy.device, dtype),
            return_dict=False,
        )[0]

    @torch.no_grad()
    def preview(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Image:
        """Draw one picture; `on_step` may raise to stop."""
        from engine.architectures.sd_preview import denoise

        with preview_precision(self.unet), self.attention_context():
            latents = denoise(
                self.unet,
                request,
                text["states"].float(),
                negative["states"].float(),
                prediction=self.prediction,
                zero_terminal_snr=self.zero_terminal_snr,
                on_step=on_step,
            )
        return picture_of(self.decode_latents(latents))

    # Devices and speed

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part to a device."""
        {"denoiser": self.unet, "vae": self.vae, "text_encoder": self.text_encoder}[part].to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute blocks in the backward pass.

        CLIP does so only in train mode, which changes nothing else there: its dropouts are 0.
        """
        self.unet.enable_gradient_checkpointing()
        self.text_encoder.activation_checkpointing_enable()
        self.text_encoder.train()

    def attention_context(self) -> AbstractContextManager[object]:
        """The kernel choice, by context: the U-Net's processors take no back-end of their own."""
        return attention_context(self.options.attention)

    def compile_blocks(self) -> None:
        """Compile the transformer blocks, one graph for all of a kind."""
        self.unet.compile_repeated_blocks()
