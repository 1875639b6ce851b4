"""Lumina-Image 2: one stream of text and picture, Gemma 2, and how each is fed (training-dit 2).

The model's clock is reversed: it is told 1 − σ, and predicts the picture less the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.architectures.architecture import OnStep, Part, Prediction, PreviewRequest, Text
from engine.architectures.fingerprint import fingerprint
from engine.architectures.running.flow_model import FlowModel
from engine.architectures.running.flow_preview import (
    Predict,
    denoise,
    even_levels,
    noise_levels,
    start_noise,
)
from engine.architectures.vae.picture_coder import PictureCoder

if TYPE_CHECKING:
    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site

ENCODING_VERSION = 1  # raise it when encode_text changes what it returns
PREVIEW_SHIFT = 6.0
START = "<Prompt Start>"


@dataclass(frozen=True)
class Lumina2Options:
    """How the model is used: the job's choices."""

    max_tokens: int = 256
    system_prompt: str = ""
    attention: str = "auto"


class Lumina2Model(FlowModel):
    """A loaded Lumina-Image 2; a `TrainableModel`.

    Text is {"states": (b, L, width), "states_mask": (b, L) bool}; what the mask leaves out changes
    nothing.
    """

    zero_terminal_snr = False
    prediction: Prediction = "flow"

    def __init__(
        self,
        facts: ModelFacts,
        sites: tuple[Site, ...],
        denoiser: Any,
        vae: nn.Module,
        text_encoder: Any,
        tokenizer: Any,
        options: Lumina2Options,
    ) -> None:
        """Take the modules as they are, and freeze them."""
        self.architecture = "lumina2"
        self.facts = facts
        self.sites = sites
        self.denoiser, self.text_encoder = denoiser, text_encoder
        self.pictures = PictureCoder(vae)
        self.components: dict[str, nn.Module] = {"denoiser": denoiser, "text_encoder": text_encoder}
        self.tokenizer = tokenizer
        self.options, self.attention = options, options.attention
        self._text_identity: dict[str, Any] | None = None
        for module in (denoiser, text_encoder):
            module.requires_grad_(False).eval()

    # Text

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → states and mask, padded to the longest; gradients flow if grad mode is on."""
        return self._encode([self._with_system(caption) for caption in captions])

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """The prompt of a preview and, after it, its negatives → an entry each, of one length."""
        wanted, *negatives = prompts
        encoded = self._encode([self._with_system(wanted), *negatives])
        return [
            {name: tensor[i : i + 1] for name, tensor in encoded.items()}
            for i in range(len(prompts))
        ]

    def _with_system(self, caption: str) -> str:
        """The caption after the system prompt; an empty one stands alone, as guidance asks it."""
        if not self.options.system_prompt or not caption:
            return caption
        return f"{self.options.system_prompt} {START} {caption}"

    def _encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        batch = self.tokenizer(
            list(texts), padding="longest", max_length=self.options.max_tokens, truncation=True,
            return_tensors="pt",
        )  # fmt: skip
        mask = batch.attention_mask.to(self.text_encoder.device)
        output = self.text_encoder(
            batch.input_ids.to(mask.device),
            attention_mask=mask,
            output_hidden_states=True,
            use_cache=False,
        )
        # Before the last layer and the norm behind it: so the model was taught.
        return {"states": output.hidden_states[-2], "states_mask": mask.bool()}

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights once."""
        if self._text_identity is None:
            self._text_identity = {
                "text_encoder": fingerprint(self.text_encoder),
                "precision": str(self.text_encoder.dtype),
                "vocabulary": len(self.tokenizer),
                "max_tokens": self.options.max_tokens,
                "system_prompt": self.options.system_prompt,
                "version": ENCODING_VERSION,
            }
        return self._text_identity

    # The denoiser

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Noisy latents (b, 16, h, w) at noise levels σ (b,) → n − x, same shape."""
        dtype = self.denoiser.dtype
        mask = text["states_mask"].to(noisy.device)
        longest = max(1, int(mask.sum(dim=1).max()))
        answer = self.denoiser(
            hidden_states=noisy.to(dtype),
            timestep=1 - times.float(),
            encoder_hidden_states=text["states"][:, :longest].to(noisy.device, dtype),
            encoder_attention_mask=mask[:, :longest].int(),
            return_dict=False,
        )[0]
        return -answer

    def draw_latents(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Tensor:
        """From a request's noise to scaled latents (1, 16, h, w), on the denoiser's device."""
        shift = request.shift or PREVIEW_SHIFT
        noise = start_noise(request, self.denoiser.config["in_channels"])
        return denoise(
            self._guided(request, text, negative),
            noise.to(self.denoiser.device),
            noise_levels(request.steps, shift, even_levels(request.steps)),
            on_step,
        )

    def _guided(self, request: PreviewRequest, text: Text, negative: Text) -> Predict:
        """Predict away from the negative, in the first steps only if the request says so.

        With `cfg_renorm` each row of latents keeps the length that it had without guidance
        (spec: training-dit 2.6).
        """
        steps = count(1)

        def predict(latents: Tensor, times: Tensor) -> Tensor:
            wanted = self.predict(latents, times, text).float()
            done = next(steps) / request.steps
            if request.cfg <= 1 or done > request.cfg_until:
                return wanted
            unwanted = self.predict(latents, times, negative).float()
            answer = unwanted + request.cfg * (wanted - unwanted)
            if request.cfg_renorm:
                length = torch.linalg.vector_norm
                answer = answer * (
                    length(wanted, dim=-1, keepdim=True) / length(answer, dim=-1, keepdim=True)
                )
            return answer

        return predict

    # Devices and speed

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part to a device."""
        parts = {
            "denoiser": self.denoiser, "vae": self.pictures.vae, "text_encoder": self.text_encoder
        }  # fmt: skip
        parts[part].to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the layers in the backward pass; Gemma's too, which does so in train mode only.

        Its dropouts are 0, so that train mode changes nothing else.
        """
        self.denoiser.enable_gradient_checkpointing()
        self.text_encoder.activation_checkpointing_enable()
        self.text_encoder.train()
