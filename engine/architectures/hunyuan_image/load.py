"""Load HunyuanImage-2.1 from whatever the job names; wrong files are told of before reading much.

The base model is a diffusers folder, or the denoiser's file with the encoders' files beside it. The
small parts are read first, so that a wrong file among them is told of soon.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.hunyuan_image.encoders import (
    load_glyph_encoder,
    load_language_part,
)
from engine.architectures.hunyuan_image.files import VAE_FILE, load_denoiser, load_vae
from engine.architectures.hunyuan_image.model import SCALE, HunyuanImageModel
from engine.architectures.hunyuan_image.text import HunyuanText
from engine.architectures.loading.folder import locate
from engine.architectures.loading.steps import (
    merge_adapters,
    quiet_libraries,
    require_model,
)
from engine.architectures.running.denoiser import (
    check_attention,
    place_denoiser,
    place_text_encoder,
    text_encoder_dtype,
)
from engine.architectures.text_encoders.qwen_tokenizer import load_qwen_tokenizer
from engine.architectures.vae.load import VAE_DTYPES
from engine.plan.detect import ModelFacts, look_at
from engine.plan.parts import MENDS, PARTS, words_on
from engine.plan.sites import sites_of
from engine.plan.sites.hunyuan_image import HunyuanImageShape, hunyuan_image_shape

STEPS = 5  # VAE, ByT5, Qwen2.5-VL, picture model, merged adapters


@dataclass(frozen=True)
class _Part:
    """A part's own folder or file, and the job's field that says where it is."""

    path: Path
    field: str


@dataclass(frozen=True)
class _Parts:
    denoiser: _Part
    text_encoder: _Part
    text_encoder_2: _Part
    vae: _Part


def load(loading: Loading) -> HunyuanImageModel:
    """Load and assemble; see `engine.architectures.load`."""
    model, report = loading.model, loading.report
    check_attention(model.attention, loading.device)
    _check_precision(loading)
    quiet_libraries()
    base = locate(model.path, offline=loading.offline)
    facts = look_at(str(base))
    require_model(facts, "hunyuan_image", base)
    parts = _find_parts(base, loading)
    shape = _shape_of(parts.denoiser, facts)

    report("Loading the VAE", 0, STEPS)
    vae = load_vae(parts.vae.path, VAE_DTYPES[model.vae_precision], parts.vae.field)
    _check_vae(vae, shape, parts.vae)
    nn.Module.to(vae, loading.device)

    report("Loading ByT5", 1, STEPS)
    dtype, part = text_encoder_dtype(loading), parts.text_encoder_2
    glyph_encoder: Any = load_glyph_encoder(part.path, dtype, part.field)
    _check_width("ByT5", glyph_encoder.config.d_model, shape.glyph_width, part)
    place_text_encoder(glyph_encoder, loading)

    report("Loading Qwen2.5-VL", 2, STEPS)
    part = parts.text_encoder
    encoder: Any = load_language_part(part.path, dtype, part.field)
    _check_width("Qwen2.5-VL", encoder.config.hidden_size, shape.text_width, part)
    place_text_encoder(encoder, loading)

    report("Loading the picture model", 3, STEPS)
    denoiser = load_denoiser(parts.denoiser.path, loading.dtype, parts.denoiser.field)
    place_denoiser(denoiser, loading)

    loaded = HunyuanImageModel(
        replace(facts, shape=shape),
        sites_of("hunyuan_image", shape),
        denoiser,
        vae,
        _text(base, encoder, glyph_encoder, loading),
        model.attention,
    )
    report("Merging adapters", 4, STEPS)
    merge_adapters(loaded, model)
    report("Model loaded", STEPS, STEPS)
    return loaded


def _check_precision(loading: Loading) -> None:
    """Refuse what the denoiser cannot be run with."""
    model = loading.model
    if loading.dtype == torch.float16:
        raise ModelProblem(
            "HunyuanImage's numbers are too large for fp16.",
            "Use bf16, or fp32 on a card that has no bf16.",
            "model.weights" if model.weights == "fp16" else "training.precision",
        )
    if model.attention == "flash" and loading.device.type == "cuda":
        raise ModelProblem(
            "The attention kernel 'flash' cannot leave out the padding of short captions.",
            "Set Attention to auto.",
            "model.attention",
        )


def _find_parts(base: Path, loading: Loading) -> _Parts:
    """Find every part: the job's own, or else the base model's.

    Raises:
        ModelProblem: naming every file that is missing; its field is the first one's.
    """
    model = loading.model
    folders = {part.field: part.field for part in PARTS["hunyuan_image"]}
    folders["denoiser"] = "transformer"
    found: dict[str, _Part] = {}
    for name, folder in folders.items():
        field, named = f"model.{name}", getattr(model, name)
        if named:
            chosen = locate(named, offline=loading.offline, field=field)
            inner = chosen / folder
            found[name] = _Part(inner if inner.is_dir() else chosen, field)
        elif (base / folder).is_dir():
            found[name] = _Part(base / folder, "model.path")
        elif name == "denoiser" and base.is_file():
            found[name] = _Part(base, "model.path")
    missing = [part for part in PARTS["hunyuan_image"] if part.field not in found]
    if missing:
        words = words_on(base.name, missing)
        raise ModelProblem(words, MENDS["hunyuan_image"], f"model.{missing[0].field}")
    if "denoiser" not in found:
        raise ModelProblem(f"{base.name} holds no picture model.", "Choose the whole model.")
    return _Parts(**found)


def _shape_of(part: _Part, base: ModelFacts) -> HunyuanImageShape:
    """The sizes of the picture model, read off its config or its header.

    Raises:
        ModelProblem: if the job's own picture model is another one.
    """
    shape = base.shape
    if part.field == "model.denoiser" and part.path.is_file():
        facts = look_at(str(part.path))
        require_model(facts, "hunyuan_image", part.path, part.field)
        shape = facts.shape
    elif part.field == "model.denoiser":
        try:
            config = json.loads((part.path / "config.json").read_text("utf-8"))
            shape = hunyuan_image_shape({"denoiser": config})
        except (OSError, ValueError, KeyError) as error:
            raise ModelProblem(
                f"{part.path.name} holds no picture model of HunyuanImage-2.1: {error}.",
                "Choose the folder 'transformer' of the model.",
                part.field,
            ) from None
    assert isinstance(shape, HunyuanImageShape)
    return shape


def _check_width(label: str, found: int, wanted: int, part: _Part) -> None:
    """Refuse a text encoder whose states the picture model cannot read."""
    if found != wanted:
        raise ModelProblem(
            f"The {label} in {part.path.name} gives states of width {found}; the picture model "
            f"reads {wanted}.",
            "Choose the encoder that is published with the model.",
            part.field,
        )


def _check_vae(vae: Any, shape: HunyuanImageShape, part: _Part) -> None:
    found = vae.config["latent_channels"], vae.config["spatial_compression_ratio"]
    if found != (shape.latent_channels, SCALE):
        raise ModelProblem(
            f"The VAE of {part.path.name} makes {found[0]} channels of {found[1]}×{found[1]} "
            f"pixels; the picture model works on {shape.latent_channels} of {SCALE}×{SCALE}.",
            f"Choose {VAE_FILE}.",
            part.field,
        )


def _text(
    base: Path, encoder: nn.Module, glyph_encoder: nn.Module, loading: Loading
) -> HunyuanText:
    """The encoders with their tokenizers: the job's, the model folder's, or the shipped one."""
    from transformers import ByT5Tokenizer

    folder = base / "tokenizer" if (base / "tokenizer").is_dir() else None
    if loading.model.tokenizer:
        folder = locate(loading.model.tokenizer, offline=True, field="model.tokenizer")
    return HunyuanText(encoder, load_qwen_tokenizer(folder), glyph_encoder, ByT5Tokenizer())
