"""`[network]`: the adapter, what it adapts, and how large it is."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from engine.schema.architectures import UNET
from engine.schema.field import When, option
from engine.schema.network_variants import NetworkVariants
from engine.schema.patterns import PatternList


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


class Network(NetworkVariants):
    """Rank, alpha and everything else of the adapter (spec: networks 4.1)."""

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
    network_reg_lrs: PatternList | None = option(
        None,
        "Rate by pattern",
        "Pairs pattern=learning rate with commas between, such as single_blocks=5e-5. The first "
        "pattern found in a layer's name gives its rate; at 0 it gets no adapter. Patterns are "
        "looked for as in Leave out layers.",
        empty="none",
        section="Learning rates",
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
