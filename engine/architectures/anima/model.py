"""Anima: a Cosmos transformer, an LLM adapter and Qwen3, and how each is fed (training-dit 4).

A caption goes in twice: Qwen3's states are the source, T5's token numbers are the questions that
the adapter asks of it. T5 itself is never loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.architectures.architecture import OnStep, Part, Prediction, PreviewRequest, Text
from engine.architectures.fingerprint import fingerprint
from engine.architectures.running.flow_model import FlowModel
from engine.architectures.running.flow_preview import (
    denoise,
    even_levels,
    guided,
    noise_levels,
    start_noise,
)
from engine.architectures.vae.qwen_picture_coder import QwenPictureCoder

if TYPE_CHECKING:
    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site

log = logging.getLogger(__name__)

ENCODING_VERSION = 1  # raise it when encode_text changes what it returns
PREVIEW_SHIFT = 3.0


@dataclass(frozen=True)
class AnimaEncoders:
    """Qwen3 and the two tokenizers."""

    text_encoder: Any
    tokenizer: Any
    t5_tokenizer: Any


@dataclass(frozen=True)
class AnimaOptions:
    """How the model is used: the job's choices."""

    max_tokens: int = 512
    t5_max_tokens: int = 512
    attention: str = "auto"


class AnimaModel(FlowModel):
    """A loaded Anima; a `TrainableModel`.

    Text is {"source": (b, L, width), "source_mask": (b, L) bool, "ids": (b, T) int64, "ids_mask":
    (b, T) bool}. The LLM adapter runs inside `predict`, so that what is kept stays right while it
    is trained; it costs a hundredth of a step.
    """

    zero_terminal_snr = False
    prediction: Prediction = "flow"

    def __init__(
        self,
        facts: ModelFacts,
        sites: tuple[Site, ...],
        denoiser: Any,
        conditioner: Any,
        vae: nn.Module,
        encoders: AnimaEncoders,
        options: AnimaOptions,
    ) -> None:
        """Take the modules as they are, and freeze them."""
        self.architecture = "anima"
        self.facts = facts
        self.sites = sites
        self.denoiser, self.conditioner = denoiser, conditioner
        self.encoders = encoders
        self.pictures = QwenPictureCoder(vae)
        self.components: dict[str, nn.Module] = {
            "denoiser": denoiser,
            "text_encoder": encoders.text_encoder,
            "text_conditioner": conditioner,
        }
        self.options, self.attention = options, options.attention
        self._text_identity: dict[str, Any] | None = None
        self._told_cut: set[str] = set()
        for module in self.components.values():
            module.requires_grad_(False).eval()

    # Text

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → both tokenizations, padded to the longest; gradients flow if grad mode is on.

        An empty caption is one masked place of Qwen3's, and T5's end of text.
        """
        encoders, options = self.encoders, self.options
        ids, mask = self._tokens(encoders.tokenizer, captions, options.max_tokens)
        device = encoders.text_encoder.device
        ids, mask = ids.to(device), mask.to(device)
        states = encoders.text_encoder(ids, attention_mask=mask.long(), use_cache=False)
        questions, asked = self._tokens(encoders.t5_tokenizer, captions, options.t5_max_tokens)
        return {
            "source": states.last_hidden_state * mask[..., None],
            "source_mask": mask,
            "ids": questions.to(device),
            "ids_mask": asked.to(device),
        }

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """The prompts of a preview → an entry each, of one length."""
        encoded = self.encode_text(prompts)
        return [
            {name: tensor[i : i + 1] for name, tensor in encoded.items()}
            for i in range(len(prompts))
        ]

    def _tokens(self, tokenizer: Any, texts: Sequence[str], limit: int) -> tuple[Tensor, Tensor]:
        """Token numbers (b, L ≥ 1), padded on the right, and which are text, bool."""
        rows: list[list[int]] = tokenizer(list(texts)).input_ids
        for text, row in zip(texts, rows, strict=True):
            if len(row) > limit:
                self._tell_cut(text, len(row), limit)
        rows = tokenizer(list(texts), truncation=True, max_length=limit).input_ids
        longest = max(1, *map(len, rows))
        ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[i, : len(row)] = True
        return ids, mask

    def _tell_cut(self, text: str, length: int, limit: int) -> None:
        if text not in self._told_cut:
            self._told_cut.add(text)
            log.warning("A caption of %d tokens is cut to %d: %.60s…", length, limit, text)

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights once."""
        if self._text_identity is None:
            encoders = self.encoders
            self._text_identity = {
                "text_encoder": fingerprint(encoders.text_encoder),
                "precision": str(encoders.text_encoder.dtype),
                "vocabularies": [len(encoders.tokenizer), len(encoders.t5_tokenizer)],
                "max_tokens": [self.options.max_tokens, self.options.t5_max_tokens],
                "version": ENCODING_VERSION,
            }
        return self._text_identity

    def context(self, text: Text) -> Tensor:
        """What the denoiser reads, (b, ≥ 512, width): the adapter's answers, then zeros."""
        device, dtype = self.conditioner.device, self.conditioner.dtype
        return self.conditioner(
            source_hidden_states=text["source"].to(device, dtype),
            target_input_ids=text["ids"].to(device),
            target_attention_mask=text["ids_mask"].to(device),
            source_attention_mask=text["source_mask"].to(device),
        )

    # The denoiser

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Noisy latents (b, 16, h, w) at noise levels σ (b,) → n − x, same shape."""
        return self.predict_in(noisy, times, self.context(text))

    def predict_in(self, noisy: Tensor, times: Tensor, context: Tensor) -> Tensor:
        """The same with the text as the denoiser reads it.

        Raises:
            ValueError: if the zeros behind the text are missing: the denoiser takes no mask, and
                was taught with them.
        """
        least = self.conditioner.config["min_sequence_length"]
        if context.shape[1] < least:
            raise ValueError(
                f"the text has {context.shape[1]} places; with its zeros it has {least}"
            )
        dtype = self.denoiser.dtype
        frames = noisy.to(dtype)[:, :, None]
        answer = self.denoiser(
            hidden_states=frames,
            timestep=times.float(),
            encoder_hidden_states=context.to(noisy.device, dtype),
            # One for the whole batch: it is repeated inside.
            padding_mask=frames.new_zeros(1, 1, *noisy.shape[-2:]),
            return_dict=False,
        )[0]
        return answer[:, :, 0]

    def draw_latents(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Tensor:
        """From a request's noise to scaled latents (1, 16, h, w), on the denoiser's device."""
        wanted, unwanted = self.context(text), self.context(negative)
        shift = request.shift or PREVIEW_SHIFT
        return denoise(
            guided(
                lambda latents, times: self.predict_in(latents, times, wanted),
                lambda latents, times: self.predict_in(latents, times, unwanted),
                request.cfg,
            ),
            start_noise(request, self.denoiser.config["in_channels"]).to(self.denoiser.device),
            noise_levels(request.steps, shift, even_levels(request.steps)),
            on_step,
        )

    # Devices and speed

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part to a device; the LLM adapter goes with the denoiser, which runs it."""
        if part == "denoiser":
            self.conditioner.to(device)
        parts = {
            "denoiser": self.denoiser,
            "vae": self.pictures.vae,
            "text_encoder": self.encoders.text_encoder,
        }
        parts[part].to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the blocks in the backward pass; Qwen3's too, which does so in train mode only.

        Its dropouts are 0, so that train mode changes nothing else.
        """
        self.denoiser.enable_gradient_checkpointing()
        self.conditioner.enable_gradient_checkpointing()
        self.encoders.text_encoder.activation_checkpointing_enable()
        self.encoders.text_encoder.train()
