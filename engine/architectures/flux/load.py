"""Load FLUX.1 from whatever the job names; what is wrong is told before gigabytes are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import nn

from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.flux.file import CONFIGS, load_transformer
from engine.architectures.flux.model import FluxEncoders, FluxModel, FluxOptions
from engine.architectures.loading.component_source import (
    Source,
    base_source,
    require_parts,
    source_of,
)
from engine.architectures.loading.folder import load_part, locate
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
from engine.architectures.text_encoders.clip_load import (
    CLIP_L,
    CLIP_TOKENIZER,
    clip_in_checkpoint,
    clip_in_folder,
    load_clip,
)
from engine.architectures.text_encoders.clip_windows import load_tokenizer
from engine.architectures.text_encoders.t5 import load_t5, load_t5_tokenizer
from engine.architectures.vae.load import load_job_vae
from engine.plan.detect import look_at
from engine.plan.sites import sites_of
from engine.plan.sites.flux import flux_shape, variant_of

PARTS = 5  # CLIP-L, T5, picture model, VAE, merged adapters
LATENT_CHANNELS = 16
CLIP_INSIDE = "text_encoders.clip_l.transformer."
TOKENS = {"dev": 512, "schnell": 256}


def load(loading: Loading) -> FluxModel:
    """Load and assemble; see `engine.architectures.load`."""
    model, report = loading.model, loading.report
    check_attention(model.attention, loading.device)
    _check_mask(loading)
    quiet_libraries()
    base = base_source(loading)
    facts = look_at(str(base.path))
    require_model(facts, "flux", base.path)
    require_parts(facts, base, loading)

    report("Loading CLIP-L", 0, PARTS)
    clip = _load_clip(base, loading)
    place_text_encoder(clip, loading)

    report("Loading T5-XXL", 1, PARTS)
    t5 = load_t5(
        model.text_encoder_2, base.path, base.checkpoint, "text_encoder_2",
        text_encoder_dtype(loading), offline=loading.offline, field="model.text_encoder_2",
    )  # fmt: skip
    place_text_encoder(t5, loading)

    report("Loading the picture model", 2, PARTS)
    transformer = _load_transformer(base, loading)
    shape = flux_shape(
        {
            "denoiser": dict(transformer.config),
            "text_encoder": clip.config.to_dict(),
            "text_encoder_2": t5.config.to_dict(),
        }
    )
    place_denoiser(transformer, loading)

    report("Loading the VAE", 3, PARTS)
    vae = load_job_vae(loading, base.path, base.checkpoint, CONFIGS, LATENT_CHANNELS)
    nn.Module.to(vae, loading.device)

    variant = variant_of(shape)
    loaded = FluxModel(
        replace(facts, shape=shape, variant=variant),
        sites_of("flux", shape),
        transformer,
        vae,
        FluxEncoders(clip, t5, *_tokenizers(base, loading)),
        FluxOptions(
            t5_max_tokens=model.t5_max_tokens or TOKENS[variant],
            t5_attention_mask=model.t5_attention_mask,
            guidance=loading.guidance,
            attention=model.attention,
        ),
    )
    report("Merging adapters", 4, PARTS)
    merge_adapters(loaded, model)
    report("Model loaded", PARTS, PARTS)
    return loaded


def _check_mask(loading: Loading) -> None:
    """Refuse the one kernel that takes no mask."""
    model = loading.model
    if model.t5_attention_mask and model.attention == "flash" and loading.device.type == "cuda":
        raise ModelProblem(
            "The attention kernel 'flash' cannot leave T5's padding out.",
            "Set Attention to auto, or switch Leave T5's padding out off.",
            "model.attention",
        )


def _load_clip(base: Source, loading: Loading) -> Any:
    named, dtype = loading.model.text_encoder, text_encoder_dtype(loading)
    if named:
        field = "model.text_encoder"
        return load_clip(CLIP_L, locate(named, offline=loading.offline, field=field), dtype, field)
    if base.checkpoint is not None:
        return clip_in_checkpoint(CLIP_L, base.checkpoint, dtype, (CLIP_INSIDE,))
    return clip_in_folder(CLIP_L, base.path / "text_encoder", dtype)


def _load_transformer(base: Source, loading: Loading) -> FluxTransformer2DModel:
    """The job's own picture model, or else the base model's."""
    source, dtype = source_of("denoiser", base, loading), loading.dtype
    if source.checkpoint is not None:
        if not source.is_base:
            require_model(look_at(str(source.path)), "flux", source.path, source.field)
        return load_transformer(source.checkpoint, dtype, source.field)
    part = "transformer" if (source.path / "transformer").is_dir() else ""
    transformer = load_part(FluxTransformer2DModel, source.path, part, dtype, source.field)
    _check_inputs(transformer.config, source.path, source.field)
    return transformer


def _check_inputs(config: Mapping[str, Any], path: Path, field: str) -> None:
    if config["in_channels"] != (config["out_channels"] or config["in_channels"]):
        raise ModelProblem(
            f"{path.name} takes a second picture (Fill, Depth or Canny), which is not trained.",
            "Use FLUX.1-dev or schnell.",
            field,
        )


def _tokenizers(base: Source, loading: Loading) -> tuple[Any, Any]:
    own = base.path / "tokenizer"
    clip = load_tokenizer(own if own.is_dir() else CLIP_TOKENIZER)
    return clip, load_t5_tokenizer(loading.model.tokenizer_2, base.path, "tokenizer_2")
