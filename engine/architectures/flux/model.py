"""FLUX.1: transformer over packed latents, 16-channel VAE, CLIP-L and T5, and how each is fed.

Spec: training-sd-flux 2, 3, 5, 6.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.architectures.architecture import OnStep, Part, PreviewRequest, Text
from engine.architectures.fingerprint import fingerprint
from engine.architectures.running.flow_model import FlowModel
from engine.architectures.running.flow_preview import (
    denoise,
    even_levels,
    guided,
    noise_levels,
    picture_shift,
    start_noise,
)
from engine.architectures.text_encoders.clip_windows import (
    ClipTokenizer,
    encode_hidden,
    weighted_pieces,
    windows_of,
)
from engine.architectures.text_encoders.t5 import encode_t5
from engine.architectures.vae.picture_coder import PictureCoder

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
    from transformers import CLIPTextModel, T5EncoderModel

    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site

ENCODING_VERSION = 1  # raise it when encode_text changes what it returns
PATCH = 2  # latents of a token's side
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FluxOptions:
    """How the model is used: the job's choices, and what the variant decides.

    `guidance` is the number told in training to a model that takes one; previews have their own.
    """

    t5_max_tokens: int = 512
    t5_attention_mask: bool = False
    guidance: float = 1.0
    attention: str = "auto"


@dataclass(frozen=True)
class FluxEncoders:
    """The two text encoders with their tokenizers."""

    clip: CLIPTextModel
    t5: T5EncoderModel
    clip_tokenizer: ClipTokenizer
    t5_tokenizer: Any


class FluxModel(FlowModel):
    """A loaded FLUX.1 model; a `TrainableModel`.

    Its text is {"pooled": (b, 768), "states": (b, tokens, 4096)}, of CLIP-L and T5. With T5's
    attention mask there is "states_mask" (b, tokens) too, and padding is left out everywhere.
    """

    def __init__(
        self,
        facts: ModelFacts,
        sites: tuple[Site, ...],
        transformer: FluxTransformer2DModel,
        vae: AutoencoderKL,
        encoders: FluxEncoders,
        options: FluxOptions,
    ) -> None:
        """Take the modules as they are, and freeze them."""
        self.architecture = "flux"
        self.facts = facts
        self.sites = sites
        self.transformer, self.encoders = transformer, encoders
        self.pictures = PictureCoder(vae)
        self.components: dict[str, nn.Module] = {
            "denoiser": transformer,
            "text_encoder": encoders.clip,
            "text_encoder_2": encoders.t5,
        }
        self.options, self.attention = options, options.attention
        self._text_identity: dict[str, Any] | None = None
        self._told_of_weights = False
        for module in self.components.values():
            module.requires_grad_(False).eval()

    # Text

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → the encoders' outputs (see the class); gradients flow if grad mode is on."""
        return self.said_anew({}, captions, ("text_encoder", "text_encoder_2"))

    def said_anew(
        self, text: Text, captions: Sequence[str], encoders: Collection[str]
    ) -> dict[str, Tensor]:
        """The text with what CLIP, T5 or both say of the captions; see `LiveEncoders`."""
        said = dict(text)
        if "text_encoder" in encoders:
            windows = windows_of(self.encoders.clip_tokenizer, captions, 1, weighted=False)
            said["pooled"] = encode_hidden(self.encoders.clip, windows).pooled
        if "text_encoder_2" in encoders:
            masked = self.options.t5_attention_mask
            said["states"], mask = encode_t5(
                self.encoders.t5,
                self.encoders.t5_tokenizer,
                captions,
                self.options.t5_max_tokens,
                masked=masked,
            )
            if masked:
                said["states_mask"] = mask
        return said

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Prompts of one preview → an entry each; weights in parentheses are read past."""
        plain = ["".join(piece for piece, _ in weighted_pieces(prompt)) for prompt in prompts]
        if plain != list(prompts) and not self._told_of_weights:
            self._told_of_weights = True
            log.warning("FLUX.1 knows no weights in prompts; their brackets are left out.")
        text = self.encode_text(plain)
        return [
            {name: tensor[i : i + 1] for name, tensor in text.items()} for i in range(len(plain))
        ]

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights once."""
        if self._text_identity is None:
            encoders, options = self.encoders, self.options
            self._text_identity = {
                "version": ENCODING_VERSION,
                "clip": fingerprint(encoders.clip),
                "t5": fingerprint(encoders.t5),
                "precision": [str(encoders.clip.dtype), str(encoders.t5.dtype)],
                "vocabulary": [len(encoders.clip_tokenizer.tokenizer), len(encoders.t5_tokenizer)],
                "t5_max_tokens": options.t5_max_tokens,
                "masked": options.t5_attention_mask,
            }
        return self._text_identity

    # The denoiser

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Noisy latents (b, 16, h, w) at noise levels σ (b,) → n − x, same shape."""
        return self._velocity(noisy, times, text, self.options.guidance)

    def _velocity(self, noisy: Tensor, times: Tensor, text: Text, guidance: float) -> Tensor:
        height, width = noisy.shape[-2:]
        # In the blocks some weights may lie in eight bits; the embedders never do.
        dtype, device = self.transformer.x_embedder.weight.dtype, noisy.device
        states = text["states"].to(device, dtype)
        mask = _attention_mask(text, height * width // PATCH**2, device)
        packed = self.transformer(
            hidden_states=pack(noisy.to(dtype)),
            encoder_hidden_states=states,
            pooled_projections=text["pooled"].to(device, dtype),
            timestep=times,  # pyright: ignore[reportArgumentType]
            img_ids=picture_positions(height, width, device),
            txt_ids=torch.zeros(states.shape[1], 3, device=device),
            guidance=torch.full_like(times, guidance) if self.takes_guidance else None,
            joint_attention_kwargs=None if mask is None else {"attention_mask": mask},
            return_dict=False,
        )[0]
        return unpack(packed, height, width)

    @property
    def takes_guidance(self) -> bool:
        """The guidance is an input of the model (dev), or it knows none (schnell)."""
        return bool(self.transformer.config["guidance_embeds"])

    def draw_latents(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Tensor:
        """The scaled latents (1, 16, h, w) of a preview, as diffusers' own pipeline draws them.

        Without a shift of the request, dev's is that of the picture's size and schnell has none.
        """
        channels = int(self.transformer.config["in_channels"]) // PATCH**2
        noise = start_noise(request, channels).to(self.transformer.x_embedder.weight.device)
        shift = request.shift
        if shift is None:
            tokens = noise[0, 0].numel() // PATCH**2
            shift = picture_shift(tokens) if self.takes_guidance else 1.0
        predict = guided(
            lambda latents, times: self._velocity(latents, times, text, request.guidance),
            lambda latents, times: self._velocity(latents, times, negative, request.guidance),
            request.cfg,
        )
        sigmas = noise_levels(request.steps, shift, even_levels(request.steps))
        return denoise(predict, noise, sigmas, on_step)

    # Devices and speed

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part to a device; both text encoders are one."""
        modules: dict[Part, tuple[nn.Module, ...]] = {
            "denoiser": (self.transformer,),
            "vae": (self.pictures.vae,),
            "text_encoder": (self.encoders.clip, self.encoders.t5),
        }
        for module in modules[part]:
            module.to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute blocks in the backward pass.

        The text encoders do so only in train mode, which changes nothing else there: CLIP has no
        dropout, and T5 is loaded without.
        """
        self.transformer.enable_gradient_checkpointing()
        for encoder in (self.encoders.clip, self.encoders.t5):
            encoder.activation_checkpointing_enable()
            encoder.train()

    def compile_blocks(self) -> None:
        """Compile the double and the single blocks, one graph for all of a kind."""
        self.transformer.compile_repeated_blocks()


def pack(latents: Tensor) -> Tensor:
    """Latents (b, c, h, w) → tokens (b, h/2 · w/2, 4c): a 2×2 patch each, channels outermost."""
    b, c, h, w = latents.shape
    patches = latents.view(b, c, h // PATCH, PATCH, w // PATCH, PATCH).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(b, (h // PATCH) * (w // PATCH), c * PATCH**2)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens (b, h/2 · w/2, 4c) → latents (b, c, h, w)."""
    b, _, packed = tokens.shape
    rows, columns = height // PATCH, width // PATCH
    patches = tokens.view(b, rows, columns, packed // PATCH**2, PATCH, PATCH)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(b, packed // PATCH**2, height, width)


def picture_positions(height: int, width: int, device: torch.device) -> Tensor:
    """Where each token of a latent (height, width) lies: (tokens, 3), 0, row and column."""
    rows = torch.arange(height // PATCH, device=device, dtype=torch.float32)
    columns = torch.arange(width // PATCH, device=device, dtype=torch.float32)
    return torch.cartesian_prod(rows.new_zeros(1), rows, columns)


def _attention_mask(text: Text, picture_tokens: int, device: torch.device) -> Tensor | None:
    """Which keys may be seen: (b, 1, 1, text + picture), or None where all may."""
    mask = text.get("states_mask")
    if mask is None:
        return None
    mask = mask.to(device, torch.bool)
    picture = mask.new_ones(len(mask), picture_tokens)
    return torch.cat([mask, picture], dim=1)[:, None, None]
