"""Load SD 1.x/2.x from whatever the job names; what is wrong is told before gigabytes are read."""

from __future__ import annotations

from torch import nn

from engine.architectures import folder, single_file
from engine.architectures.architecture import Loading, ModelProblem, Prediction
from engine.architectures.checkpoint import open_checkpoint
from engine.architectures.clip_encoders import (
    CLIP_L,
    CLIP_TOKENIZER,
    OPEN_CLIP_H,
    Clip,
    clip_in_checkpoint,
    clip_in_folder,
)
from engine.architectures.loader_steps import (
    load_job_vae,
    merge_adapters,
    quiet_libraries,
    require_model,
)
from engine.architectures.running import (
    check_attention,
    place_denoiser,
    place_text_encoder,
    text_encoder_dtype,
)
from engine.architectures.sd import SdModel, SdOptions
from engine.architectures.text import load_tokenizer
from engine.plan.detect import V_BIAS_SPREAD, ModelFacts, look_at
from engine.plan.sites import sites_of
from engine.schema.model import Model

TEXT_PREFIXES = ("cond_stage_model.transformer.", "cond_stage_model.model.")

PARTS = 4  # text encoder, picture model, VAE, merged adapters


def load(loading: Loading) -> SdModel:
    """Load and assemble; see `engine.architectures.load`."""
    architecture, model, device = loading.architecture, loading.model, loading.device
    dtype, offline, report = loading.dtype, loading.offline, loading.report
    check_attention(model.attention, device)
    quiet_libraries()
    source = folder.locate(model.path, offline=offline)
    facts = look_at(str(source))
    require_model(facts, architecture, source)
    if source.is_dir():
        folder.scheduler_config(source)
        checkpoint = None
    else:
        checkpoint = open_checkpoint(source)
    configs = single_file.config_folder(architecture, model.prediction)

    report("Loading the text encoder", 0, PARTS)
    text_dtype = text_encoder_dtype(loading)
    kind = OPEN_CLIP_H if architecture == "sd2" else CLIP_L
    if checkpoint is None:
        text_encoder = clip_in_folder(kind, source / "text_encoder", text_dtype)
        tokenizer = load_tokenizer(source / "tokenizer")
    else:
        text_encoder = clip_in_checkpoint(kind, checkpoint, text_dtype, TEXT_PREFIXES)
        tokenizer = load_tokenizer(CLIP_TOKENIZER)
        if architecture == "sd2":
            tokenizer = tokenizer.padded_with("!")
    _check_clip_skip(model.clip_skip, text_encoder)
    place_text_encoder(text_encoder, loading)

    report("Loading the picture model", 1, PARTS)
    if checkpoint is None:
        unet = folder.load_unet(source, dtype)
    else:
        unet = single_file.load_unet(checkpoint, configs, dtype)
    prediction = _prediction(model, facts, unet)
    place_denoiser(unet, loading)

    report("Loading the VAE", 2, PARTS)
    vae = load_job_vae(loading, source, checkpoint, configs)
    nn.Module.to(vae, device)

    loaded = SdModel(
        architecture,
        facts,
        sites_of(architecture, facts.shape),
        unet,
        vae,
        text_encoder,
        tokenizer,
        SdOptions(
            prediction=prediction,
            zero_terminal_snr=loading.zero_terminal_snr or facts.zero_terminal_snr,
            max_tokens=model.max_tokens,
            clip_skip=model.clip_skip,
            weighted_captions=loading.weighted_captions,
            attention=model.attention,
        ),
    )
    report("Merging adapters", 3, PARTS)
    merge_adapters(loaded, model)
    report("Model loaded", PARTS, PARTS)
    return loaded


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


def _check_clip_skip(clip_skip: int | None, text_encoder: Clip) -> None:
    layers = text_encoder.config.num_hidden_layers
    if clip_skip is not None and clip_skip > layers:
        raise ModelProblem(
            f"Clip skip is {clip_skip}, but the text encoder has only {layers} layers.",
            "2 is usual.",
            "model.clip_skip",
        )
