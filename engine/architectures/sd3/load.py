"""Load SD3 and SD3.5 from a diffusers folder, one file, or a file and its companions.

Every part may be named by itself; what is not named is taken from the base model. T5 may be absent
(spec: training-sd-flux 1, 2).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import nn
from transformers import T5EncoderModel

from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.folder import load_part, locate
from engine.architectures.loading.resources import RESOURCES
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
from engine.architectures.sd3.file import (
    CLIP_G_PREFIX,
    CLIP_L_PREFIX,
    load_transformer,
)
from engine.architectures.sd3.model import Sd3Encoders, Sd3Model, Sd3Options
from engine.architectures.text_encoders.clip_load import (
    CLIP_L_IDENTITY,
    CLIP_TOKENIZER,
    OPEN_CLIP_G,
    Clip,
    ClipKind,
    clip_in_checkpoint,
    clip_in_folder,
    load_clip,
)
from engine.architectures.text_encoders.clip_windows import ClipTokenizer, load_tokenizer
from engine.architectures.text_encoders.t5 import INSIDE, load_t5, load_t5_tokenizer
from engine.architectures.vae.load import load_job_vae
from engine.plan.detect import ModelFacts, look_at
from engine.plan.parts import MENDS, PARTS, words_on
from engine.plan.sites import sites_of
from engine.plan.sites.sd3_shape import Sd3Shape, sd3_shape, sd3_variant

CONFIGS = RESOURCES / "models" / "sd3"
LATENT_CHANNELS = 16
STEPS = 6  # three text encoders, picture model, VAE, merged adapters
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Base:
    """The base model: its folder, or its file opened."""

    source: Path
    checkpoint: Checkpoint | None

    def holds(self, part: str, prefixes: tuple[str, ...]) -> bool:
        """Whether a part is in it: its folder, or tensors below one of the prefixes."""
        if self.checkpoint is None:
            return (self.source / part).is_dir()
        return any(name.startswith(prefixes) for name in self.checkpoint.shapes)


def load(loading: Loading) -> Sd3Model:
    """Load and assemble; see `engine.architectures.load`."""
    model, report = loading.model, loading.report
    check_attention(model.attention, loading.device)
    quiet_libraries()
    source = locate(model.path, offline=loading.offline)
    facts = look_at(str(source))
    require_model(facts, "sd3", source)
    base = _Base(source, None if source.is_dir() else open_checkpoint(source))
    _require_parts(loading, base)

    encoders = _load_encoders(loading, base)
    report("Loading the picture model", 3, STEPS)
    transformer = _load_transformer(loading, base)
    shape = _whole_shape(transformer, encoders)
    _check_fit(shape, encoders)
    place_denoiser(transformer, loading)

    report("Loading the VAE", 4, STEPS)
    vae = load_job_vae(loading, source, base.checkpoint, CONFIGS, LATENT_CHANNELS)
    nn.Module.to(vae, loading.device)
    loaded = Sd3Model(
        _facts_of(facts, shape),
        sites_of("sd3", shape),
        transformer,
        vae,
        encoders,
        Sd3Options(
            t5_max_tokens=model.t5_max_tokens or 256,
            clip_attention_mask=model.clip_attention_mask,
            t5_attention_mask=model.t5_attention_mask,
            attention=model.attention,
        ),
    )
    report("Merging adapters", 5, STEPS)
    merge_adapters(loaded, model)
    report("Model loaded", STEPS, STEPS)
    return loaded


def _require_parts(loading: Loading, base: _Base) -> None:
    """Say at once which parts a base model lacks, before anything large is read.

    Raises:
        ModelProblem: naming them all, with where they come from; its field is the first one's.
    """
    missing = [
        part
        for part in PARTS["sd3"]
        if not getattr(loading.model, part.field) and not base.holds(part.field, part.prefixes)
    ]
    if missing:
        field = f"model.{missing[0].field}"
        raise ModelProblem(words_on(base.source.name, missing), MENDS["sd3"], field)


def _load_encoders(loading: Loading, base: _Base) -> Sd3Encoders:
    """Load both CLIPs, and T5 if there is one."""
    model, report = loading.model, loading.report
    report("Loading CLIP-L", 0, STEPS)
    clip_l = _load_clip(
        loading, base, CLIP_L_IDENTITY, model.text_encoder, "text_encoder", CLIP_L_PREFIX
    )
    report("Loading OpenCLIP-G", 1, STEPS)
    clip_g = _load_clip(
        loading, base, OPEN_CLIP_G, model.text_encoder_2, "text_encoder_2", CLIP_G_PREFIX
    )
    report("Loading T5-XXL", 2, STEPS)
    t5 = _load_t5(loading, base)
    return Sd3Encoders(
        clip_l,
        clip_g,
        t5,
        _clip_tokenizer(base.source / "tokenizer", "<|endoftext|>"),
        _clip_tokenizer(base.source / "tokenizer_2", "!"),
        None if t5 is None else load_t5_tokenizer(model.tokenizer_2, base.source, "tokenizer_3"),
    )


def _load_clip(
    loading: Loading, base: _Base, kind: ClipKind, named: str | None, part: str, prefix: str
) -> Any:
    """Load a CLIP from the file that the job names for it, or else from the base model."""
    dtype = text_encoder_dtype(loading)
    encoder: Clip
    if named:
        field = f"model.{part}"
        path = locate(named, offline=loading.offline, field=field)
        inside = path / part  # another model's folder may be given for its encoder
        encoder = load_clip(kind, inside if inside.is_dir() else path, dtype, field)
    elif base.checkpoint is None:
        encoder = clip_in_folder(kind, base.source / part, dtype)
    else:
        encoder = clip_in_checkpoint(kind, base.checkpoint, dtype, (prefix,))
    place_text_encoder(encoder, loading)
    return encoder


def _load_t5(loading: Loading, base: _Base) -> T5EncoderModel | None:
    """Load T5, or tell that the model is used without."""
    named, part = loading.model.text_encoder_3, "text_encoder_3"
    if not named and not base.holds(part, (INSIDE,)):
        log.warning("%s holds no T5-XXL: it is used with both CLIPs alone.", base.source.name)
        return None
    encoder = load_t5(
        named,
        base.source,
        base.checkpoint,
        part,
        text_encoder_dtype(loading),
        offline=loading.offline,
        field=f"model.{part}" if named else "model.path",
    )
    place_text_encoder(encoder, loading)
    return encoder


def _clip_tokenizer(own: Path, pad: str) -> ClipTokenizer:
    """The model's own, or the shipped one with the padding that the encoder was trained with."""
    if own.is_dir():
        return load_tokenizer(own)
    return load_tokenizer(CLIP_TOKENIZER).padded_with(pad)


# The picture model


def _load_transformer(loading: Loading, base: _Base) -> SD3Transformer2DModel:
    """Load the transformer that the job names, or else the base model's."""
    named, field = loading.model.denoiser, "model.path"
    source, checkpoint = base.source, base.checkpoint
    if named:
        field = "model.denoiser"
        source = locate(named, offline=loading.offline, field=field)
        checkpoint = None
        if source.is_file():
            require_model(look_at(str(source)), "sd3", source, field)
            checkpoint = open_checkpoint(source, field)
    if checkpoint is not None:
        return load_transformer(checkpoint, loading.dtype, field)
    part = "transformer" if (source / "transformer").is_dir() else ""
    return load_part(SD3Transformer2DModel, source, part, loading.dtype, field)


def _whole_shape(transformer: SD3Transformer2DModel, encoders: Sd3Encoders) -> Sd3Shape:
    """The sizes of what was loaded.

    Raises:
        ModelProblem: if the transformer is not SD3's.
    """
    configs: dict[str, dict[str, Any]] = {"denoiser": dict(transformer.config)}
    for role, encoder in encoders.modules.items():
        config: Any = encoder.config
        configs[role] = config.to_dict()
    try:
        shape = sd3_shape(configs)
    except ValueError as error:
        raise ModelProblem(f"This transformer is not SD3's: {error}.") from None
    return shape if encoders.t5 is not None else replace(shape, t5=None)


def _check_fit(shape: Sd3Shape, encoders: Sd3Encoders) -> None:
    """Refuse text encoders of other widths than the picture model was trained with.

    Raises:
        ModelProblem: naming the one that does not fit.
    """
    pooled = shape.clip_l.width + encoders.clip_g.text_projection.out_features
    if pooled != shape.pooled_width:
        raise ModelProblem(
            f"CLIP-L and OpenCLIP-G give {pooled} numbers for a caption; this model takes "
            f"{shape.pooled_width}.",
            "Choose the text encoders that are published beside the model.",
            "model.text_encoder_2",
        )
    if shape.t5 is not None and shape.t5.width != shape.context_width:
        raise ModelProblem(
            f"This T5 is {shape.t5.width} wide; the picture model takes {shape.context_width}.",
            "Choose a T5-XXL file.",
            "model.text_encoder_3",
        )


def _facts_of(facts: ModelFacts, shape: Sd3Shape) -> ModelFacts:
    return replace(facts, shape=shape, variant=sd3_variant(shape))
