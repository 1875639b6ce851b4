"""The models of Stable Diffusion's family: a U-Net, a VAE, and the text side that feeds the U-Net.

`SdModel` is SD 1.x, SD 2.x and SDXL alike; what differs is the text side: `ClipText` here, with one
encoder, and `engine.architectures.sdxl.text.SdxlText` with two (spec: training-sd-flux 2, 3, 5, 6).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from engine.architectures.architecture import (
    OnStep,
    Part,
    Prediction,
    PreviewRequest,
    Text,
)
from engine.architectures.fingerprint import fingerprint
from engine.architectures.running.denoiser import attention_context, preview_precision
from engine.architectures.text_encoders.clip_windows import (
    WINDOW,
    ClipTokenizer,
    encode_windows,
    windows_of,
)
from engine.architectures.vae.picture_coder import PictureCoder, picture_of

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from PIL.Image import Image

    from engine.architectures.text_encoders.clip_load import Clip
    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site

ENCODING_VERSION = 1  # raise it when `ClipText.encode` changes what it returns


@dataclass(frozen=True)
class TextOptions:
    """How captions are read: the job's choices."""

    max_tokens: int = WINDOW
    clip_skip: int | None = None
    weighted_captions: bool = False

    @property
    def windows(self) -> int:
        """How many windows of 75 tokens a caption has in training."""
        return max(1, -(-self.max_tokens // WINDOW))


class TextSide(Protocol):
    """The text encoders of a model, and what its U-Net is told of the captions.

    Attributes:
        encoders: by role: `text_encoder`, `text_encoder_2`.
    """

    encoders: Mapping[str, nn.Module]

    def encode(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Encode captions for training; gradients flow if grad mode is on."""
        ...

    def said_anew(
        self, text: Text, captions: Sequence[str], encoders: Collection[str]
    ) -> dict[str, Tensor]:
        """The text with what these encoders say of the captions; see `LiveEncoders`."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Encode the prompts of one preview: an entry each, all of the longest one's length."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights."""
        ...

    def conditions(self, text: Text, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """The U-Net's arguments for encoded captions."""
        ...


class ClipText:
    """One CLIP encoder; text is {"states": (b, tokens, width)}."""

    def __init__(self, encoder: Clip, tokenizer: ClipTokenizer, options: TextOptions) -> None:
        """Take the parts as they are."""
        self.encoder, self.tokenizer, self.options = encoder, tokenizer, options
        self.encoders: Mapping[str, nn.Module] = {"text_encoder": encoder}

    def encode(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → {"states": (b, tokens, width)}; gradients flow if grad mode is on."""
        weighted = self.options.weighted_captions
        windows = windows_of(self.tokenizer, captions, self.options.windows, weighted=weighted)
        return {"states": self._encode(windows, use_weights=weighted, keep_mean=False)}

    def said_anew(
        self, text: Text, captions: Sequence[str], encoders: Collection[str]
    ) -> dict[str, Tensor]:
        """The only encoder says all, or nothing."""
        return self.encode(captions) if "text_encoder" in encoders else dict(text)

    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Prompts of one preview → an entry each, all of the longest one's length."""
        windows = windows_of(self.tokenizer, prompts, None, weighted=True)
        states = self._encode(windows, use_weights=True, keep_mean=True)
        return [{"states": row[None]} for row in states]

    def _encode(self, windows: Any, *, use_weights: bool, keep_mean: bool) -> Tensor:
        return encode_windows(
            self.encoder,
            windows,
            self.options.clip_skip,
            use_weights=use_weights,
            keep_mean=keep_mean,
        )

    def identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights."""
        return {
            "text_encoder": fingerprint(self.encoder),
            "precision": str(self.encoder.dtype),
            "vocabulary": len(self.tokenizer.tokenizer),
            "pad": self.tokenizer.pad,
            "max_tokens": self.options.max_tokens,
            "clip_skip": self.options.clip_skip or 1,
            "weighted": self.options.weighted_captions,
            "version": ENCODING_VERSION,
        }

    def conditions(self, text: Text, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """The U-Net's arguments for encoded captions."""
        return {"encoder_hidden_states": text["states"].to(device, dtype)}


@dataclass(frozen=True)
class SdOptions:
    """How the model is used: the job's choices, and what was read off the files."""

    prediction: Prediction = "epsilon"
    zero_terminal_snr: bool = False
    attention: str = "auto"


class SdModel:
    """A loaded SD 1.x, SD 2.x or SDXL model; a `TrainableModel`."""

    def __init__(
        self,
        architecture: str,
        facts: ModelFacts,
        sites: tuple[Site, ...],
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        texts: TextSide,
        options: SdOptions,
    ) -> None:
        """Take the modules as they are, and freeze them."""
        self.architecture = architecture
        self.facts = facts
        self.sites = sites
        self.unet, self.texts = unet, texts
        self.pictures = PictureCoder(vae)
        self.components: dict[str, nn.Module] = {"denoiser": unet, **texts.encoders}
        self.options = options
        self.prediction: Prediction = options.prediction
        self.zero_terminal_snr = options.zero_terminal_snr
        self._text_identity: dict[str, Any] | None = None
        for module in self.components.values():
            module.requires_grad_(False).eval()

    # Text

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Encode captions for training; gradients flow if grad mode is on."""
        return self.texts.encode(captions)

    def said_anew(
        self, text: Text, captions: Sequence[str], encoders: Collection[str]
    ) -> dict[str, Tensor]:
        """The text with what these encoders say of the captions; see `LiveEncoders`."""
        return self.texts.said_anew(text, captions, encoders)

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Prompts of one preview → an entry each, all of the longest one's length."""
        return self.texts.encode_prompts(prompts)

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights once."""
        if self._text_identity is None:
            self._text_identity = self.texts.identity()
        return self._text_identity

    # The denoiser

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Noisy latents (b, 4, h, w) at timesteps `times` (b,) → the prediction, same shape."""
        dtype = self.unet.dtype
        conditions = self.texts.conditions(text, noisy.device, dtype)
        return self.unet(noisy.to(dtype), times, **conditions, return_dict=False)[0]

    @torch.no_grad()
    def preview(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Image:
        """Draw one picture; `on_step` may raise to stop."""
        from engine.architectures.sd.preview import denoise

        with preview_precision(self.unet), self.attention_context():
            latents = denoise(
                self.unet,
                request,
                text,
                negative,
                prediction=self.prediction,
                zero_terminal_snr=self.zero_terminal_snr,
                on_step=on_step,
            )
        return picture_of(self.pictures.decode(latents))

    # Devices and speed

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part to a device."""
        parts: dict[Part, Sequence[nn.Module]] = {
            "denoiser": [self.unet],
            "vae": [self.pictures.vae],
            "text_encoder": list(self.texts.encoders.values()),
        }
        for module in parts[part]:
            module.to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute blocks in the backward pass.

        CLIP does so only in train mode, which changes nothing else there: its dropouts are 0.
        """
        self.unet.enable_gradient_checkpointing()
        for encoder in self.texts.encoders.values():
            clip: Any = encoder
            clip.activation_checkpointing_enable()
            clip.train()

    def attention_context(self) -> AbstractContextManager[object]:
        """The kernel choice, by context: the U-Net's processors take no back-end of their own."""
        return attention_context(self.options.attention)

    def compile_blocks(self) -> None:
        """Compile the transformer blocks, one graph for all of a kind."""
        self.unet.compile_repeated_blocks()
