"""Load Anima from whatever the job names; what is wrong is told before weights are read.

The base model is a diffusers folder, or the denoiser's file with the LLM adapter inside and the
files of Qwen3 and the VAE beside it (spec: training-dit 1.3, 1.4, 4.1).
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage
from diffusers.models.condition_embedders.condition_embedder_anima import AnimaTextConditioner
from diffusers.models.transformers import transformer_cosmos
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel
from torch import Tensor, nn
from torch.nn import functional

from engine.architectures.anima.file import load_conditioner, load_denoiser
from engine.architectures.anima.model import AnimaEncoders, AnimaModel, AnimaOptions
from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.loading.component_source import (
    Source,
    base_source,
    require_parts,
    source_of,
)
from engine.architectures.loading.folder import load_part
from engine.architectures.loading.steps import (
    merge_adapters,
    quiet_libraries,
    refuse_flash,
    refuse_half,
    require_model,
)
from engine.architectures.running.denoiser import (
    check_attention,
    place_denoiser,
    place_text_encoder,
    text_encoder_dtype,
)
from engine.architectures.text_encoders.language_model import (
    QWEN3,
    load_language_model,
    require_language_model,
)
from engine.architectures.text_encoders.qwen_tokenizer import load_qwen_tokenizer
from engine.architectures.text_encoders.t5 import load_t5_tokenizer
from engine.architectures.vae.load import VAE_DTYPES
from engine.architectures.vae.qwen_file import load_qwen_vae
from engine.plan.detect import ModelFacts, look_at, refusal_of
from engine.plan.sites import sites_of
from engine.plan.sites.anima import AnimaShape, anima_shape

PARTS = 4  # Qwen3, picture model and LLM adapter, VAE, merged adapters


def load(loading: Loading) -> AnimaModel:
    """Load and assemble; see `engine.architectures.load`."""
    model, report = loading.model, loading.report
    check_attention(model.attention, loading.device)
    refuse_flash(loading)
    refuse_half(loading)
    quiet_libraries()
    provide_resize()
    base = base_source(loading)
    facts = look_at(str(base.path))
    _require(facts, base, loading)
    require_parts(facts, base, loading)

    report("Loading Qwen3", 0, PARTS)
    encoders = _encoders(base, loading)
    place_text_encoder(encoders.text_encoder, loading)

    report("Loading the picture model", 1, PARTS)
    denoiser = _denoiser(base, loading)
    conditioner = _conditioner(base, loading)
    shape = anima_shape(
        {
            "denoiser": dict(denoiser.config),
            "text_conditioner": dict(conditioner.config),
            "text_encoder": encoders.text_encoder.config.to_dict(),
        }
    )
    _require_fit(shape, conditioner.config["target_dim"])
    place_denoiser(denoiser, loading)
    nn.Module.to(conditioner, loading.device)  # small and sensitive: never in eight bits

    report("Loading the VAE", 2, PARTS)
    vae = _vae(base, loading)
    nn.Module.to(vae, loading.device)

    loaded = AnimaModel(
        replace(facts, shape=shape, refusal=""),
        sites_of("anima", shape),
        denoiser,
        conditioner,
        vae,
        encoders,
        AnimaOptions(
            max_tokens=model.max_tokens,
            t5_max_tokens=model.t5_max_tokens or model.max_tokens,
            attention=model.attention,
        ),
    )
    report("Merging adapters", 3, PARTS)
    merge_adapters(loaded, model)
    report("Model loaded", PARTS, PARTS)
    return loaded


def provide_resize() -> None:
    """Give the library's Cosmos the one function of torchvision that it calls, if it is missing.

    It is asked to resize a padding mask, always to the nearest value.
    """
    if not hasattr(transformer_cosmos, "transforms"):
        nearest = SimpleNamespace(NEAREST="nearest")
        stand_in: Any = SimpleNamespace(
            functional=SimpleNamespace(resize=_resized), InterpolationMode=nearest
        )
        transformer_cosmos.__dict__["transforms"] = stand_in


def _resized(mask: Tensor, size: list[int], interpolation: str) -> Tensor:
    """(b, 1, H, W) → (b, 1, h, w)."""
    return functional.interpolate(mask, size=size, mode=interpolation)


def _require(facts: ModelFacts, base: Source, loading: Loading) -> None:
    refusal = refusal_of(facts, loading.model)
    require_model(replace(facts, refusal=refusal), "anima", base.path)


def _require_fit(shape: AnimaShape, target: int) -> None:
    """Refuse parts that do not speak to each other.

    Raises:
        ModelProblem: naming the one that is probably another model's.
    """
    if shape.text_width != shape.adapter_source:
        raise ModelProblem(
            f"The text encoder's states are {shape.text_width} wide; the LLM adapter reads "
            f"{shape.adapter_source}.",
            QWEN3.mend,
            "model.text_encoder",
        )
    if target != shape.context_width:
        raise ModelProblem(
            f"The LLM adapter writes {target} numbers a token; the picture model reads "
            f"{shape.context_width}.",
            "Choose the adapter that belongs to the model.",
            "model.text_conditioner",
        )


def _encoders(base: Source, loading: Loading) -> AnimaEncoders:
    model = loading.model
    text = source_of("text_encoder", base, loading)
    require_language_model(QWEN3, text)
    own = base.path / "tokenizer"
    folder = own if base.checkpoint is None and own.is_dir() else None
    if model.tokenizer:
        folder = source_of("tokenizer", base, loading).path
    tokenizer = load_qwen_tokenizer(folder)
    t5_tokenizer = load_t5_tokenizer(model.tokenizer_2, base.path, "t5_tokenizer")
    encoder = load_language_model(QWEN3, text, text_encoder_dtype(loading))
    return AnimaEncoders(encoder, tokenizer, t5_tokenizer)


def _denoiser(base: Source, loading: Loading) -> CosmosTransformer3DModel:
    """The job's own picture model, or else the base model's."""
    source = source_of("denoiser", base, loading)
    if source.checkpoint is not None:
        if not source.is_base:
            facts = replace(look_at(str(source.path)), refusal="")
            require_model(facts, "anima", source.path, source.field)
        return load_denoiser(source.checkpoint, loading.dtype, source.field)
    part = "transformer" if (source.path / "transformer").is_dir() else ""
    return load_part(CosmosTransformer3DModel, source.path, part, loading.dtype, source.field)


def _conditioner(base: Source, loading: Loading) -> AnimaTextConditioner:
    """The job's own LLM adapter, or else the base model's; in 16 bits at least."""
    source = source_of("text_conditioner", base, loading)
    dtype: torch.dtype = loading.dtype
    if source.checkpoint is not None:
        return load_conditioner(source.checkpoint, dtype, source.field)
    part = "text_conditioner" if (source.path / "text_conditioner").is_dir() else ""
    return load_part(AnimaTextConditioner, source.path, part, dtype, source.field)


def _vae(base: Source, loading: Loading) -> AutoencoderKLQwenImage:
    """The job's own VAE, or else the model's, in the job's precision."""
    source = source_of("vae", base, loading)
    dtype = VAE_DTYPES[loading.model.vae_precision]
    if source.checkpoint is not None:
        return load_qwen_vae(source.checkpoint, dtype, source.field)
    part = "vae" if (source.path / "vae").is_dir() else ""
    return load_part(AutoencoderKLQwenImage, source.path, part, dtype, source.field)
