"""Load SDXL: what it shares with SD 1.x and 2.x, and its two text encoders."""

from __future__ import annotations

from pathlib import Path

from engine.architectures.architecture import Loading
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.running.denoiser import place_text_encoder, text_encoder_dtype
from engine.architectures.sd.load import check_clip_skip, load_sd, text_options
from engine.architectures.sd.model import SdModel
from engine.architectures.sdxl.text import SdxlText
from engine.architectures.text_encoders.clip_load import (
    CLIP_L,
    CLIP_TOKENIZER,
    OPEN_CLIP_G,
    clip_in_checkpoint,
    clip_in_folder,
)
from engine.architectures.text_encoders.clip_windows import load_tokenizer

CLIP_L_PREFIXES = ("conditioner.embedders.0.transformer.", "conditioner.embedders.0.model.")
CLIP_G_PREFIXES = ("conditioner.embedders.1.model.", "conditioner.embedders.1.transformer.")


def load(loading: Loading) -> SdModel:
    """Load and assemble; see `engine.architectures.load`."""
    return load_sd(loading, _load_texts)


def _load_texts(loading: Loading, source: Path, checkpoint: Checkpoint | None) -> SdxlText:
    dtype = text_encoder_dtype(loading)
    if checkpoint is None:
        clip_l = clip_in_folder(CLIP_L, source / "text_encoder", dtype)
        clip_g = clip_in_folder(OPEN_CLIP_G, source / "text_encoder_2", dtype)
        tokenizer_l = load_tokenizer(source / "tokenizer")
        tokenizer_g = load_tokenizer(source / "tokenizer_2")
    else:
        clip_l = clip_in_checkpoint(CLIP_L, checkpoint, dtype, CLIP_L_PREFIXES)
        clip_g = clip_in_checkpoint(OPEN_CLIP_G, checkpoint, dtype, CLIP_G_PREFIXES)
        tokenizer_l = load_tokenizer(CLIP_TOKENIZER)
        tokenizer_g = tokenizer_l.padded_with("!")
    for encoder in (clip_l, clip_g):
        check_clip_skip(loading.model.clip_skip, encoder)
        place_text_encoder(encoder, loading)
    return SdxlText(clip_l, clip_g, tokenizer_l, tokenizer_g, text_options(loading))
