"""`[network]`: the adapter, what it adapts, and how large it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from engine.schema.architectures import UNET
from engine.schema.field import When, option
from engine.schema.table import FloatList, IntList, Table


def _weights(value: Any) -> Any:
    """Keep a shape's name as text; turn a number or "1, 0.5" into a list of numbers."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [float(value)]
    if not isinstance(value, str):
        return value
    text = value.strip().removeprefix("[").removesuffix("]")
    items = [item.strip() or "0" for item in text.split(",")]
    try:
        return [float(item) for item in items]
    except ValueError:
        return text.strip()


LrWeights = Annotated[list[float] | str, BeforeValidator(_weights)]
"""Numbers, or a shape's name with an optional addition: "sine", "cosine+.25"."""

LR_SHAPES = ("sine", "cosine", "linear", "reverse_linear", "zeros")
_CONV = When("network.conv_dim", is_set=True)


class Network(Table):
    """Rank, alpha and everything else of the adapter (spec: networks 4.1)."""

    kind: Literal["lora"] = option(
        "lora",
        "Kind",
        "The kind of adapter. LoRA is read by every program.",
        basic=True,
        aliases=("network_module",),
        choice_labels={"lora": "LoRA"},
    )
    rank: int = option(
        16,
        "Rank",
        "How many directions each layer may learn. Twice the rank, twice the file and optimizer "
        "memory. Try 8–16 for a subject, 32 for a rich style; lower it when pictures look copied.",
        ge=1,
        le=1024,
        scale="double",
        basic=True,
        aliases=("network_dim",),
    )
    alpha: float = option(
        8.0,
        "Alpha",
        "What is learned is multiplied by alpha ÷ rank. Half the rank is a calm start; if you "
        "halve it, raise the learning rate. 0 means equal to rank.",
        ge=0,
        basic=True,
        aliases=("network_alpha",),
    )
    train: Literal["both", "denoiser", "text_encoder"] = option(
        "both",
        "Train",
        "Which parts get adapters: the picture model, the text encoder, or both. The picture model "
        "alone is calmer and lets the text encoder leave memory.",
        section="What is trained",
        basic=True,
        aliases=("network_train_unet_only", "network_train_text_encoder_only"),
        choice_labels={
            "both": "both",
            "denoiser": "picture model",
            "text_encoder": "text encoder",
        },
    )
    conv_dim: int | None = option(
        None,
        "3×3 conv rank",
        "Also adapts the U-Net's 3×3 convolutions and resnet layers, where texture lives. Off is "
        "fine for subjects; try 4–8 for styles.",
        ge=1,
        le=1024,
        scale="double",
        empty="off",
        section="What is trained",
        applies_to=UNET,
    )
    conv_alpha: float | None = option(
        None,
        "3×3 conv alpha",
        "Alpha of the 3×3 layers; 1 if left empty.",
        ge=0,
        empty="1",
        section="What is trained",
        applies_to=UNET,
        only_if=_CONV,
    )
    block_dims: IntList | None = option(
        None,
        "Rank per block",
        "Own rank for each block, drawn at the right or typed as a list. 0 leaves a block "
        "untouched.",
        empty="the same everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    block_alphas: FloatList | None = option(
        None,
        "Alpha per block",
        "Own alpha for each block.",
        empty="the same everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    conv_block_dims: IntList | None = option(
        None,
        "Conv rank per block",
        "The same for the 3×3 layers; turns them on by itself.",
        empty="3×3 conv rank everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    conv_block_alphas: FloatList | None = option(
        None,
        "Conv alpha per block",
        "Own alpha of the 3×3 layers for each block.",
        empty="3×3 conv alpha everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    down_lr_weight: LrWeights | None = option(
        None,
        "LR weight, down",
        "Multiplies the learning rate block by block on the way down: numbers, or a shape (sine, "
        "cosine, linear, reverse_linear, zeros, with +x). A block at 0 gets no adapter.",
        empty="1 everywhere",
        section="Learning rates",
        applies_to=UNET,
        suggestions=LR_SHAPES,
    )
    mid_lr_weight: LrWeights | None = option(
        None,
        "LR weight, mid",
        "The same for the middle block.",
        empty="1",
        section="Learning rates",
        applies_to=UNET,
    )
    up_lr_weight: LrWeights | None = option(
        None,
        "LR weight, up",
        "The same on the way up.",
        empty="1 everywhere",
        section="Learning rates",
        applies_to=UNET,
        suggestions=LR_SHAPES,
    )
    block_lr_zero_threshold: float = option(
        0.0,
        "LR weight cut-off",
        "Weights at or below this count as 0.",
        ge=0,
        section="Learning rates",
        applies_to=UNET,
    )
    loraplus_lr_ratio: float | None = option(
        None,
        "LoRA+ ratio",
        "Learning rate of the up matrices as a multiple of the down ones; 4–16 learns faster. Not "
        "with Prodigy or D-Adaptation.",
        gt=0,
        empty="off",
        section="Learning rates",
    )
    loraplus_unet_lr_ratio: float | None = option(
        None,
        "LoRA+ ratio, picture model",
        "Overrides the LoRA+ ratio for the picture model.",
        gt=0,
        empty="LoRA+ ratio",
        section="Learning rates",
    )
    loraplus_text_encoder_lr_ratio: float | None = option(
        None,
        "LoRA+ ratio, text encoder",
        "Overrides the LoRA+ ratio for the text encoder.",
        gt=0,
        empty="LoRA+ ratio",
        section="Learning rates",
    )
    dropout: float = option(
        0.0,
        "Neuron dropout",
        "Chance that a value inside an adapter is switched off for a step. 0.1–0.3 slows "
        "memorising in small sets.",
        ge=0,
        lt=1,
        section="Regularization",
        aliases=("network_dropout",),
    )
    rank_dropout: float = option(
        0.0,
        "Rank dropout",
        "The same for whole directions of the rank; the rest is scaled up.",
        ge=0,
        lt=1,
        section="Regularization",
    )
    module_dropout: float = option(
        0.0,
        "Module dropout",
        "Chance that a layer's adapter is skipped for a step; helps it not to lean on one layer.",
        ge=0,
        lt=1,
        section="Regularization",
    )
    max_norm: float | None = option(
        None,
        "Max weight norm",
        "Shrinks any adapter that grows above this after a step; 1 is usual against over-training.",
        gt=0,
        empty="off",
        section="Regularization",
        aliases=("scale_weight_norms",),
    )
    start_from: str | None = option(
        None,
        "Start from a file",
        "Continue from an adapter file instead of from nothing. Its strength is kept when alpha or "
        "rank differ from yours.",
        empty="from nothing",
        section="Start from",
        path="file",
        extensions=(".safetensors",),
        aliases=("network_weights",),
    )
    rank_from_file: bool = option(
        False,
        "Ranks of that file",
        "Take each layer's rank and alpha from the file instead of from the fields above.",
        section="Start from",
        aliases=("dim_from_weights",),
        only_if=When("network.start_from", is_set=True),
    )
