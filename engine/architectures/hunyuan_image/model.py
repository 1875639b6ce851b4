"""HunyuanImage-2.1: denoiser, VAE and two text encoders, and how each is fed (training-dit 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.architectures.architecture import OnStep, Part, PreviewRequest, Text
from engine.architectures.fingerprint import fingerprint
from engine.architectures.hunyuan_image.guidance import guided_by_projection
from engine.architectures.hunyuan_image.text import AFTER, BEFORE, MAX_GLYPHS, MAX_TOKENS
from engine.architectures.running.denoiser import preview_precision
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
    from engine.architectures.hunyuan_image.text import HunyuanText
    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site

ENCODING_VERSION = 1  # raise it when encode_text changes what it returns
SCALE = 32  # pixels of a latent's side
CLOCK = 1000.0  # the denoiser is told σ·1000
PREVIEW_SHIFT = 5.0


class HunyuanImageModel(FlowModel):
    """A loaded HunyuanImage-2.1; a `TrainableModel`.

    Text is {"states": (b, L, 3584), "states_mask": (b, L), "glyphs": (b, G, 1472), "glyphs_mask":
    (b, G)}, the masks being bool.
    """

    def __init__(
        self,
        facts: ModelFacts,
        sites: tuple[Site, ...],
        denoiser: Any,
        vae: nn.Module,
        text: HunyuanText,
        attention: str = "auto",
    ) -> None:
        """Take the modules as they are, and freeze them.

        Args:
            facts: what was read off the files.
            sites: where adapters can sit.
            denoiser: diffusers' HunyuanImageTransformer2DModel.
            vae: diffusers' AutoencoderKLHunyuanImage.
            text: the text encoders.
            attention: the job's choice of kernel.
        """
        self.architecture = "hunyuan_image"
        self.facts = facts
        self.sites = sites
        self.denoiser = denoiser.requires_grad_(False).eval()
        # The library's tiled encoding expects videos and fails.
        self.pictures = PictureCoder(vae, SCALE, tiled_encoding=False)
        self.text = text
        self.components: dict[str, nn.Module] = {"denoiser": denoiser}
        self.attention = attention
        self._text_identity: dict[str, Any] | None = None
        for module in (text.encoder, text.glyph_encoder):
            module.requires_grad_(False).eval()

    # Text

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → states and glyphs with their masks; the encoders are never trained."""
        return self.text.encode(captions)

    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Prompts of one preview → an entry each. Parentheses are read as text."""
        encoded = self.text.encode(prompts)
        return [
            {name: tensor[i : i + 1] for name, tensor in encoded.items()}
            for i in range(len(prompts))
        ]

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights once."""
        if self._text_identity is None:
            text = self.text
            self._text_identity = {
                "text_encoder": fingerprint(text.encoder),
                "text_encoder_2": fingerprint(text.glyph_encoder),
                "precision": [
                    str(next(module.parameters()).dtype)
                    for module in (text.encoder, text.glyph_encoder)
                ],
                "vocabulary": len(text.tokenizer),
                "template": BEFORE + AFTER,
                "lengths": [MAX_TOKENS, MAX_GLYPHS],
                "version": ENCODING_VERSION,
            }
        return self._text_identity

    # The denoiser

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Noisy latents (b, 64, h, w) at noise levels σ (b,) float32 → n − x, same shape.

        The clock stays float32: in bf16 it would be up to 2 of 1000 off. With weights in half
        precision that needs autocast, which is opened where the caller has none.
        """
        device, dtype = noisy.device, self.denoiser.dtype
        # Without anything quoted in the batch the glyphs' tokens are all padding.
        glyphs = bool(text["glyphs_mask"].any())
        with preview_precision(self.denoiser):
            return self.denoiser(
                noisy.to(dtype),
                times.float() * CLOCK,
                text["states"].to(device, dtype),
                text["states_mask"].to(device),
                encoder_hidden_states_2=text["glyphs"].to(device, dtype) if glyphs else None,
                encoder_attention_mask_2=text["glyphs_mask"].to(device) if glyphs else None,
                return_dict=False,
            )[0]

    def draw_latents(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Tensor:
        """From the request's noise to scaled latents (1, 64, h, w), float32."""
        device = next(self.denoiser.parameters()).device
        predict = guided_by_projection(
            self._with(text),
            self._with(negative),
            request.cfg,
            request.steps,
            glyphs=bool(text["glyphs_mask"].any()),
        )
        noise = start_noise(request, self.denoiser.config["in_channels"], SCALE, SCALE)
        shift = request.shift if request.shift is not None else PREVIEW_SHIFT
        sigmas = noise_levels(request.steps, shift, even_levels(request.steps))
        return denoise(predict, noise.to(device), sigmas, on_step)

    def _with(self, text: Text) -> Predict:
        return lambda latents, times: self.predict(latents, times, text)

    # Devices and speed

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part to a device; both text encoders go together."""
        parts = {
            "denoiser": (self.denoiser,),
            "vae": (self.pictures.vae,),
            "text_encoder": (self.text.encoder, self.text.glyph_encoder),
        }
        for module in parts[part]:
            module.to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute blocks in the backward pass.

        With a function of ours: the library's own takes no arguments by name, and its model gives
        two of them so.
        """

        def recompute(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return checkpoint(block, *args, use_reentrant=False, **kwargs)

        self.denoiser.enable_gradient_checkpointing(gradient_checkpointing_func=recompute)

    def compile_blocks(self) -> None:
        """Compile the two kinds of blocks, one graph for all of a kind."""
        self.denoiser.compile_repeated_blocks()
