"""Which part of a model a file is, told from its tensors: a VAE, CLIP, T5 or a language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]

_PREFIXES = ("first_stage_model.", "vae.", "transformer.")
_T5 = "encoder.block.0.layer.0.SelfAttention.q.weight"
_T5_TABLES = ("shared.weight", "encoder.embed_tokens.weight")
_PLAIN_BYTES, _GLYPH_BYTES = 384, 1510  # rows of ByT5, plain and trained on glyphs
_MANY_ROWS = 100_000  # T5s of many languages have more; the usual one has 32,128
_CLIPS = {768: ("clip_l", "CLIP-L"), 1024: ("clip_h", "CLIP-H"), 1280: ("clip_g", "CLIP-G")}
_CLIP_TABLES = ("text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight")
_OPEN_CLIP = ("token_embedding.weight", "transformer.resblocks.0.ln_1.weight")
_LANGUAGE_MODELS = (
    (("self_attn.q_norm.weight", "pre_feedforward_layernorm.weight"), "gemma3", "Gemma 3"),
    (("pre_feedforward_layernorm.weight",), "gemma", "Gemma"),
    (("self_attn.q_norm.weight",), "qwen3", "Qwen3"),
    (("self_attn.q_proj.bias",), "qwen2.5", "Qwen2.5"),
)
"""Tensors of a first layer that tell a language model, the most particular first."""


@dataclass(frozen=True)
class PartKind:
    """A part that was recognized.

    Attributes:
        id: vae_sd, vae_flux, vae_hunyuan_image, vae_qwen, vae, clip_l, clip_g, clip_h, clip (of an
            unusual width), t5, byt5, plain_byt5, other_t5, gemma, gemma3, qwen3, qwen2.5.
        words: what a person calls it, with its article.
        reason: how it was told.
        width: of the text states it gives; 0 for a VAE.
    """

    id: str
    words: str
    reason: str
    width: int = 0

    @property
    def is_vae(self) -> bool:
        """It encodes pictures, not text."""
        return self.id.startswith("vae")


def part_kind(shapes: Shapes) -> PartKind | None:
    """Say which part a file with these tensors is; None if it is none that is known."""
    bare = {_bare(name): shape for name, shape in shapes.items()}
    return _vae(bare) or _t5(bare) or _language_model(bare) or _clip(bare, shapes)


def vae_by_channels(channels: int, *, deep: bool = False) -> PartKind:
    """The VAE with so many latent channels; a deep one has more than four levels."""
    reason = f"its latents have {channels} channels"
    if channels == 64 or deep:
        return PartKind("vae_hunyuan_image", "a VAE of HunyuanImage-2.1", reason)
    kinds = {4: ("vae_sd", "SD or SDXL"), 16: ("vae_flux", "FLUX or SD3")}
    found, words = kinds.get(channels, ("vae", "another model"))
    return PartKind(found, f"a VAE of {words}", reason)


def clip_by_width(width: int) -> PartKind:
    """The CLIP text encoder of this width."""
    found, words = _CLIPS.get(width, ("clip", "CLIP"))
    return PartKind(found, f"a {words} text encoder", f"its width is {width}", width)


def t5_by_table(rows: int, width: int, *, large: bool = False) -> PartKind:
    """The T5 whose table of tokens has this size."""
    if rows == _GLYPH_BYTES:
        return PartKind("byt5", "a ByT5 text encoder", f"it reads {rows} kinds of bytes", width)
    if rows == _PLAIN_BYTES:
        words = "the plain ByT5, which was not trained on glyphs"
        return PartKind("plain_byt5", words, f"it reads {rows} kinds of bytes", width)
    if rows > _MANY_ROWS:
        words = "a T5 text encoder of many languages"
        return PartKind("other_t5", words, f"it has {rows} tokens", width)
    words = f"a T5{'-XXL' if large else ''} text encoder"
    return PartKind("t5", words, "it has T5's blocks", width)


def _bare(name: str) -> str:
    if name.startswith("transformer.resblocks."):
        return name
    return next((name.removeprefix(p) for p in _PREFIXES if name.startswith(p)), name)


def _vae(names: Shapes) -> PartKind | None:
    if "encoder.downsamples.0.residual.0.gamma" in names or _is_qwen_vae(names):
        return PartKind("vae_qwen", "a VAE of Qwen-Image, as Anima has it", "it works on frames")
    latents = names.get("decoder.conv_in.weight")
    if latents is None or len(latents) < 2:
        return None
    deep = any(name.startswith(("decoder.up.4.", "decoder.up_blocks.4.")) for name in names)
    return vae_by_channels(latents[1], deep=deep)


def _is_qwen_vae(names: Shapes) -> bool:
    """The library's names of the same: a VAE whose norms are of frames."""
    return "decoder.conv_in.weight" in names and "decoder.norm_out.gamma" in names


def _t5(names: Shapes) -> PartKind | None:
    last = _T5.replace("0", "23", 1)  # which XXL has, and no smaller one
    if _T5 not in names and last not in names:
        return None
    table = next((names[name] for name in _T5_TABLES if name in names), (0, 0))
    return t5_by_table(table[0], table[-1], large=last in names)


def _language_model(names: Shapes) -> PartKind | None:
    for prefix in ("", "model.", "language_model.", "model.language_model."):
        first = f"{prefix}layers.0."
        width = names.get(f"{prefix}embed_tokens.weight", (0, 0))[-1]
        for signs, found, words in _LANGUAGE_MODELS:
            if all(first + sign in names for sign in signs):
                reason = f"it has {signs[0]}"
                return PartKind(found, f"a {words} text encoder", reason, width)
    return None


def _clip(names: Shapes, stored: Shapes) -> PartKind | None:
    table = next((names[name] for name in _CLIP_TABLES if name in names), None)
    if table is None and all(name in stored for name in _OPEN_CLIP):
        table = stored[_OPEN_CLIP[0]]
    if table is not None:
        return clip_by_width(table[-1])
    inner = names.get("text_model.encoder.layers.0.mlp.fc1.weight")
    return clip_by_width(inner[1]) if inner is not None and len(inner) > 1 else None
