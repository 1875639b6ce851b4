"""`[model]`: the base model the adapter is for, and how it is loaded."""

from __future__ import annotations

from typing import Literal

from engine.schema.architectures import ARCHITECTURES, SD
from engine.schema.field import option
from engine.schema.table import Table

MODEL_FILES = (".safetensors", ".ckpt", ".pt")


class Merge(Table):
    """An adapter merged into the base before training."""

    file: str = option(
        "",
        "Adapter file",
        "A LoRA file that is merged into the base model before training.",
        path="file",
        extensions=(".safetensors",),
        aliases=("base_weights",),
    )
    weight: float = option(
        1.0,
        "Weight",
        "How strongly it is merged; 1 is as trained, 0.5 half of it.",
        aliases=("base_weights_multiplier",),
    )


class Model(Table):
    """The base model: files, prediction type, text length, precision."""

    architecture: Literal["sd1", "sd2"] = option(
        "sd1",
        "Architecture",
        "The family of the base model. It decides which options there are.",
        basic=True,
        choice_labels={a.id: a.label for a in ARCHITECTURES.values()},
    )
    path: str = option(
        "",
        "Base model",
        "The model the adapter will sit on: a .safetensors or .ckpt file, a diffusers folder, or a "
        "hub id such as stable-diffusion-v1-5/stable-diffusion-v1-5. It is read, never changed.",
        basic=True,
        path="model",
        extensions=MODEL_FILES,
        aliases=("pretrained_model_name_or_path",),
    )
    vae: str | None = option(
        None,
        "VAE",
        "Another VAE than the model's own: a file or folder. Leave empty unless the model's author "
        "names one.",
        empty="the one in the model",
        path="model",
        extensions=MODEL_FILES,
        basic=True,
    )
    prediction: Literal["auto", "epsilon", "v"] = option(
        "auto",
        "Prediction",
        "What the model was taught to predict: noise (epsilon) or velocity (v). Read from the "
        "model where it says so; SD 2.x files at 768 px are usually v, at 512 px epsilon.",
        aliases=("v_parameterization",),
        applies_to=("sd1", "sd2", "sdxl"),
        choice_labels={"auto": "from the model", "epsilon": "epsilon", "v": "v"},
    )
    clip_skip: int | None = option(
        None,
        "Clip skip",
        "Which layer of the text encoder is used, counted from the end. Many anime models were "
        "trained with 2. Use the same number in your viewer.",
        ge=1,
        le=12,
        empty="off",
        applies_to=SD,
    )
    max_tokens: Literal[75, 150, 225] = option(
        75,
        "Caption length",
        "How many tokens of a caption are used; longer ones are cut. A word is one to three "
        "tokens. Longer captions cost a little time.",
        unit="tokens",
        aliases=("max_token_length",),
        applies_to=("sd1", "sd2", "sdxl"),
    )
    weights: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto",
        "Weights kept as",
        "Precision in which the frozen base model lies in memory. Automatic follows the training "
        "precision. fp32 needs twice the memory of bf16.",
        section="Precision",
        choice_labels={"auto": "as the training precision"},
    )
    vae_precision: Literal["fp32", "bf16", "fp16"] = option(
        "fp32",
        "VAE precision",
        "Precision of the picture encoder. fp32 is exact and the VAE is small; bf16 halves its "
        "memory at a visible loss; fp16 overflows with some VAEs.",
        section="Precision",
        aliases=("no_half_vae",),
    )
    attention: Literal["auto", "flash", "efficient", "cudnn", "math"] = option(
        "auto",
        "Attention",
        "The kernel for attention. Automatic lets PyTorch choose the fastest that fits; math is "
        "slow and exact.",
        section="Precision",
        aliases=("attn_mode", "sdpa", "xformers"),
    )
    merge: list[Merge] = option(
        list,
        "Merge before training",
        "Adapters merged into the base model in memory before training starts; the file of the "
        "base model is not changed.",
        section="Start from",
    )
