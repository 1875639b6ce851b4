"""Load Lumina-Image 2 from whatever the job names; what is wrong is told before weights are read.

The base model is a diffusers folder, a file with everything inside, or the denoiser's file with
those of Gemma 2 and the VAE beside it (spec: training-dit 1.3, 1.4, 2.1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
from torch import nn

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
from engine.architectures.lumina2.file import CONFIGS, load_denoiser
from engine.architectures.lumina2.model import Lumina2Model, Lumina2Options
from engine.architectures.running.denoiser import (
    check_attention,
    place_denoiser,
    place_text_encoder,
    text_encoder_dtype,
)
from engine.architectures.text_encoders.gemma_tokenizer import load_gemma_tokenizer
from engine.architectures.text_encoders.language_model import (
    GEMMA2,
    load_language_model,
    require_language_model,
)
from engine.architectures.vae.load import load_job_vae
from engine.plan.detect import look_at
from engine.plan.sites import sites_of
from engine.plan.sites.lumina2 import lumina2_shape

PARTS = 4  # Gemma 2, picture model, VAE, merged adapters
LATENT_CHANNELS = 16


def load(loading: Loading) -> Lumina2Model:
    """Load and assemble; see `engine.architectures.load`."""
    model, report = loading.model, loading.report
    check_attention(model.attention, loading.device)
    refuse_flash(loading)
    refuse_half(loading)
    quiet_libraries()
    base = base_source(loading)
    facts = look_at(str(base.path))
    require_model(facts, "lumina2", base.path)
    require_parts(facts, base, loading)

    report("Loading Gemma 2", 0, PARTS)
    text = source_of("text_encoder", base, loading)
    require_language_model(GEMMA2, text)
    tokenizer = _tokenizer(base, text, loading)
    text_encoder = load_language_model(GEMMA2, text, text_encoder_dtype(loading))
    place_text_encoder(text_encoder, loading)

    report("Loading the picture model", 1, PARTS)
    denoiser = _denoiser(base, loading)
    shape = lumina2_shape(
        {"denoiser": dict(denoiser.config), "text_encoder": text_encoder.config.to_dict()}
    )
    if shape.text_width != shape.caption_width:
        raise ModelProblem(
            f"The text encoder's states are {shape.text_width} wide; the picture model reads "
            f"{shape.caption_width}.",
            GEMMA2.mend,
            "model.text_encoder",
        )
    place_denoiser(denoiser, loading)

    report("Loading the VAE", 2, PARTS)
    vae = load_job_vae(loading, base.path, base.checkpoint, CONFIGS, LATENT_CHANNELS)
    nn.Module.to(vae, loading.device)

    loaded = Lumina2Model(
        replace(facts, shape=shape),
        sites_of("lumina2", shape),
        denoiser,
        vae,
        text_encoder,
        tokenizer,
        Lumina2Options(
            max_tokens=model.max_tokens,
            system_prompt=model.system_prompt.strip(),
            attention=model.attention,
        ),
    )
    report("Merging adapters", 3, PARTS)
    merge_adapters(loaded, model)
    report("Model loaded", PARTS, PARTS)
    return loaded


def _tokenizer(base: Source, text: Source, loading: Loading) -> Any:
    sources = (base, text)
    return load_gemma_tokenizer(
        loading.model.tokenizer,
        tuple(source.path for source in sources if source.checkpoint is None),
        tuple(source.checkpoint for source in sources if source.checkpoint is not None),
    )


def _denoiser(base: Source, loading: Loading) -> Lumina2Transformer2DModel:
    """The job's own picture model, or else the base model's."""
    source = source_of("denoiser", base, loading)
    if source.checkpoint is not None:
        if not source.is_base:
            require_model(look_at(str(source.path)), "lumina2", source.path, source.field)
        return load_denoiser(source.checkpoint, loading.dtype, source.field)
    part = "transformer" if (source.path / "transformer").is_dir() else ""
    return load_part(Lumina2Transformer2DModel, source.path, part, loading.dtype, source.field)
