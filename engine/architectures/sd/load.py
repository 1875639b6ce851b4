"""Load SD 1.x, 2.x or SDXL from whatever the job names.

What is wrong is told before gigabytes are read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from engine.architectures.architecture import Loading, ModelProblem, Prediction
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
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
from engine.architectures.sd.file import config_folder, unet_in_checkpoint
from engine.architectures.sd.folder import scheduler_config, unet_in_folder
from engine.architectures.sd.model import ClipText, SdModel, SdOptions, TextOptions, TextSide
from engine.architectures.text_encoders.clip_load import (
    CLIP_L,
    CLIP_TOKENIZER,
    OPEN_CLIP_H,
    Clip,
    clip_in_checkpoint,
    clip_in_folder,
)
from engine.architectures.text_encoders.clip_windows import load_tokenizer
from engine.architectures.vae.load import load_job_vae
from engine.plan.detect import ModelFacts, look_at
from engine.plan.prediction import V_BIAS_SPREAD
from engine.plan.sites import sites_of
from engine.schema.model import Model

TEXT_PREFIXES = ("cond_stage_model.transformer.", "cond_stage_model.model.")

PARTS = 4  # text encoder, picture model, VAE, merged adapters

LoadTexts = Callable[[Loading, Path, Checkpoint | None], TextSide]
"""Loads the text side from a folder, or from the file that is given open."""


def load(loading: Loading) -> SdModel:
    """Load and assemble SD 1.x or 2.x; see `engine.architectures.load`."""
    return load_sd(loading, _load_text)


def load_sd(loading: Loading, load_texts: LoadTexts) -> SdModel:
    """Load a model of Stable Diffusion's family with its own kind of text side.

    Raises:
        ModelProblem: with what is wrong, what to do, and the field it concerns.
    """
    architecture, model, report = loading.architecture, loading.model, loading.report
    check_attention(model.attention, loading.device)
    quiet_libraries()
    source = locate(model.path, offline=loading.offline)
    facts = look_at(str(source))
    require_model(facts, architecture, source)
    checkpoint = None if source.is_dir() else open_checkpoint(source)
    if checkpoint is None:
        scheduler_config(source)
    configs = config_folder(architecture, model.prediction)

    report("Loading the text encoder", 0, PARTS)
    texts = load_texts(loading, source, checkpoint)

    report("Loading the picture model", 1, PARTS)
    if checkpoint is None:
        unet = unet_in_folder(source, loading.dtype)
    else:
        unet = unet_in_checkpoint(checkpoint, configs, loading.dtype)
    prediction = _prediction(model, facts, unet)
    place_denoiser(unet, loading)

    report("Loading the VAE", 2, PARTS)
    vae = load_job_vae(loading, source, checkpoint, configs)
    nn.Module.to(vae, loading.device)

    options = SdOptions(
        prediction=prediction,
        zero_terminal_snr=loading.zero_terminal_snr or facts.zero_terminal_snr,
        attention=model.attention,
    )
    sites = sites_of(architecture, facts.shape)
    loaded = SdModel(architecture, facts, sites, unet, vae, texts, options)
    report("Merging adapters", 3, PARTS)
    merge_adapters(loaded, model)
    report("Model loaded", PARTS, PARTS)
    return loaded


def _load_text(loading: Loading, source: Path, checkpoint: Checkpoint | None) -> ClipText:
    second = loading.architecture == "sd2"
    kind = OPEN_CLIP_H if second else CLIP_L
    dtype = text_encoder_dtype(loading)
    if checkpoint is None:
        encoder = clip_in_folder(kind, source / "text_encoder", dtype)
        tokenizer = load_tokenizer(source / "tokenizer")
    else:
        encoder = clip_in_checkpoint(kind, checkpoint, dtype, TEXT_PREFIXES)
        tokenizer = load_tokenizer(CLIP_TOKENIZER)
        if second:
            tokenizer = tokenizer.padded_with("!")
    check_clip_skip(loading.model.clip_skip, encoder)
    place_text_encoder(encoder, loading)
    return ClipText(encoder, tokenizer, text_options(loading))


def text_options(loading: Loading) -> TextOptions:
    """How the job wants captions to be read."""
    model = loading.model
    return TextOptions(model.max_tokens, model.clip_skip, loading.weighted_captions)


def _prediction(model: Model, facts: ModelFacts, unet: nn.Module) -> Prediction:
    """The job's word, then the file's, then the spread of one bias (spec: 1.3).

    Raises:
        ModelProblem: if nothing tells it.
    """
    if model.prediction != "auto":
        return model.prediction
    if facts.prediction is not None:
        return facts.prediction
    name = "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias"
    if unet.get_parameter(name).float().std(correction=0) > V_BIAS_SPREAD:
        return "v"
    raise ModelProblem(
        "The file does not say whether the model predicts noise or velocity.",
        "Set Prediction: SD 2.x files made for 768 px are usually v, those for 512 px epsilon.",
        "model.prediction",
    )


def check_clip_skip(clip_skip: int | None, text_encoder: Clip) -> None:
    """Refuse a layer that the encoder has not.

    Raises:
        ModelProblem: naming the field.
    """
    layers = text_encoder.config.num_hidden_layers
    if clip_skip is not None and clip_skip > layers:
        raise ModelProblem(
            f"Clip skip is {clip_skip}, but the text encoder has only {layers} layers.",
            "2 is usual.",
            "model.clip_skip",
        )
