"""SD3 and SD3.5: joint transformer, 16-channel VAE, two CLIPs and perhaps T5, and how each is fed.

Spec: training-sd-flux 2, 3, 5, 6.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.architectures.architecture import (
    ModelProblem,
    OnStep,
    Part,
    PreviewRequest,
    Text,
)
from engine.architectures.fingerprint import fingerprint
from engine.architectures.running.flow_model import FlowModel
from engine.architectures.running.flow_preview import denoise, guided, noise_levels, start_noise
from engine.architectures.text_encoders.clip_windows import (
    ClipTokenizer,
    encode_hidden,
    windows_of,
    without_weights,
)
from engine.architectures.text_encoders.t5 import encode_t5
from engine.architectures.vae.picture_coder import PictureCoder

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
    from transformers import CLIPTextModelWithProjection, T5EncoderModel

    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site

ENCODING_VERSION = 1  # raise it when encode_text changes what it returns
TIMESTEPS = 1000  # the model's clock: σ·1000
SHIFT = 3.0  # of the noise levels in previews, as the model was made
PATCH_PIXELS = 16  # pixels of a patch's side

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sd3Options:
    """How the model is used: the job's choices."""

    t5_max_tokens: int = 256
    clip_attention_mask: bool = False
    t5_attention_mask: bool = False
    attention: str = "auto"


@dataclass(frozen=True)
class Sd3Encoders:
    """The text encoders with their tokenizers; T5 may be absent."""

    clip_l: CLIPTextModelWithProjection
    clip_g: CLIPTextModelWithProjection
    t5: T5EncoderModel | None
    tokenizer_l: ClipTokenizer
    tokenizer_g: ClipTokenizer
    tokenizer_t5: Any = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Those there are, by role."""
        found: dict[str, nn.Module] = {"text_encoder": self.clip_l, "text_encoder_2": self.clip_g}
        return found if self.t5 is None else found | {"text_encoder_3": self.t5}


class Sd3Model(FlowModel):
    """A loaded SD3 model; a `TrainableModel`.

    Its text is {"clip_l": (b, 77, 768), "clip_g": (b, 77, 1280), "pooled_l": (b, 768),
    "pooled_g": (b, 1280)}, and with T5 "t5": (b, tokens, 4096). The encoders are kept apart so that
    each can be dropped by itself; `context` joins them.
    """

    def __init__(
        self,
        facts: ModelFacts,
        sites: tuple[Site, ...],
        transformer: SD3Transformer2DModel,
        vae: AutoencoderKL,
        encoders: Sd3Encoders,
        options: Sd3Options,
    ) -> None:
        """Take the modules as they are, and freeze them."""
        self.architecture = "sd3"
        self.facts = facts
        self.sites = sites
        self.transformer, self.encoders = transformer, encoders
        self.pictures = PictureCoder(vae)
        self.components: dict[str, nn.Module] = {"denoiser": transformer, **encoders.modules}
        self.options, self.attention = options, options.attention
        self._text_identity: dict[str, Any] | None = None
        self._told_of_weights = False
        for module in self.components.values():
            module.requires_grad_(False).eval()

    # Text

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → the encoders' outputs (see the class); gradients flow if grad mode is on."""
        return self.said_anew({}, captions, self.encoders.modules)

    def said_anew(
        self, text: Text, captions: Sequence[str], encoders: Collection[str]
    ) -> dict[str, Tensor]:
        """The text with what these encoders say of the captions; see `LiveEncoders`."""
        own, said = self.encoders, dict(text)
        for role, name, encoder, tokenizer in (
            ("text_encoder", "l", own.clip_l, own.tokenizer_l),
            ("text_encoder_2", "g", own.clip_g, own.tokenizer_g),
        ):
            if role in encoders:
                windows = windows_of(tokenizer, captions, 1, weighted=False)
                masked = self.options.clip_attention_mask
                output = encode_hidden(encoder, windows, mask_padding=masked)
                said[f"clip_{name}"], said[f"pooled_{name}"] = output.states, output.pooled
        if own.t5 is not None and "text_encoder_3" in encoders:
            said["t5"], _ = encode_t5(
                own.t5,
                own.tokenizer_t5,
                captions,
                self.options.t5_max_tokens,
                masked=self.options.t5_attention_mask,
            )
        return said

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Prompts of one preview → an entry each; weights in parentheses are read past."""
        plain = without_weights(prompts)
        if plain != list(prompts) and not self._told_of_weights:
            self._told_of_weights = True
            log.warning("SD3 knows no weights in prompts; their brackets are left out.")
        text = self.encode_text(plain)
        return [
            {name: tensor[i : i + 1] for name, tensor in text.items()} for i in range(len(plain))
        ]

    def without_encoders(self, text: Text, dropped: Tensor) -> dict[str, Tensor]:
        """Zero what an encoder said of a sample (spec: training-sd-flux 2).

        Args:
            text: of a batch.
            dropped: (b, 3) bool, for CLIP-L, OpenCLIP-G and T5.
        """
        whose = {"clip_l": 0, "pooled_l": 0, "clip_g": 1, "pooled_g": 1, "t5": 2}
        kept = dict(text)
        for name, encoder in whose.items():
            if name in kept:
                rows = dropped[:, encoder].to(kept[name].device)
                shape = (-1,) + (1,) * (kept[name].ndim - 1)
                kept[name] = kept[name].masked_fill(rows.view(shape), 0)
        return kept

    def context(self, text: Text) -> tuple[Tensor, Tensor]:
        """Join the encoders' outputs: (b, 77 + tokens, context width) and pooled (b, pooled width).

        Both CLIPs lie side by side and are padded with zeros; T5 follows, or zeros in its place.
        """
        width = int(self.transformer.config["joint_attention_dim"])
        clip = torch.cat([text["clip_l"], text["clip_g"]], dim=-1)
        clip = functional.pad(clip, (0, width - clip.shape[-1]))
        t5 = text.get("t5")
        if t5 is None:
            t5 = clip.new_zeros(len(clip), self.options.t5_max_tokens, width)
        pooled = torch.cat([text["pooled_l"], text["pooled_g"]], dim=-1)
        return torch.cat([clip, t5.to(clip.dtype)], dim=1), pooled

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights once."""
        if self._text_identity is None:
            encoders, options = self.encoders, self.options
            self._text_identity = {
                "version": ENCODING_VERSION,
                "encoders": {role: fingerprint(m) for role, m in encoders.modules.items()},
                "precision": {role: str(_dtype(m)) for role, m in encoders.modules.items()},
                "vocabulary": len(encoders.tokenizer_l.tokenizer),
                "pad": [encoders.tokenizer_l.pad, encoders.tokenizer_g.pad],
                "masked": [options.clip_attention_mask, options.t5_attention_mask],
                "t5_max_tokens": options.t5_max_tokens,
            }
        return self._text_identity

    # The denoiser

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Noisy latents (b, 16, h, w) at noise levels σ (b,) → n − x, same shape."""
        dtype, device = _dtype(self.transformer), noisy.device
        context, pooled = self.context(text)
        return self.transformer(
            hidden_states=noisy.to(dtype),
            timestep=times * TIMESTEPS,  # pyright: ignore[reportArgumentType]
            encoder_hidden_states=context.to(device, dtype),
            pooled_projections=pooled.to(device, dtype),
            return_dict=False,
        )[0]

    def draw_latents(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Tensor:
        """The scaled latents (1, 16, h, w) of a preview, as diffusers' own pipeline draws them.

        Raises:
            ModelProblem: if the picture is larger than the model has positions for.
        """
        self._check_size(request)
        device = next(self.transformer.parameters()).device
        channels = int(self.transformer.config["in_channels"])
        noise = start_noise(request, channels).to(device)
        shift = SHIFT if request.shift is None else request.shift
        predict = guided(
            lambda latents, times: self.predict(latents, times, text),
            lambda latents, times: self.predict(latents, times, negative),
            request.cfg,
        )
        return denoise(predict, noise, noise_levels(request.steps, shift), on_step)

    def _check_size(self, request: PreviewRequest) -> None:
        limit = int(self.transformer.config["pos_embed_max_size"]) * PATCH_PIXELS
        for field, side in (("width", request.width), ("height", request.height)):
            if side > limit:
                raise ModelProblem(
                    f"This model draws at most {limit} pixels a side; the preview has {side}.",
                    "Choose a smaller preview.",
                    f"samples.{field}",
                )

    # Devices and speed

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part to a device; all text encoders are one."""
        modules: Mapping[str, Sequence[nn.Module]] = {
            "denoiser": [self.transformer],
            "vae": [self.pictures.vae],
            "text_encoder": list(self.encoders.modules.values()),
        }
        for module in modules[part]:
            nn.Module.to(module, device)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute blocks in the backward pass.

        The text encoders do so only in train mode, which changes nothing else there: CLIP has no
        dropout, and T5 is loaded without.
        """
        self.transformer.enable_gradient_checkpointing()
        for encoder in self.encoders.modules.values():
            encoder.activation_checkpointing_enable()  # pyright: ignore[reportCallIssue]
            encoder.train()

    def compile_blocks(self) -> None:
        """Compile the joint blocks, each as one graph."""
        for block in self.transformer.transformer_blocks:
            block.compile(fullgraph=True)


def _dtype(module: nn.Module) -> torch.dtype:
    """The dtype that a module is fed with: of its first parameter in a floating format."""
    wide = (p.dtype for p in module.parameters() if p.dtype.is_floating_point and p.itemsize > 1)
    return next(wide, torch.float32)
