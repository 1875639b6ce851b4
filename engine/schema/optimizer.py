"""`[optimizer]`: the optimizer with its own arguments, learning rates and their schedule."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from engine.schema.field import When, option
from engine.schema.optimizers import NAMED
from engine.schema.table import FloatList, StepsOrShare, Table, split_items


def _rates(value: Any) -> Any:
    """Take one number, or a list of them in any form."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    return split_items(value)


Rates = Annotated[list[float], BeforeValidator(_rates)]
"""One learning rate, or one for each of several parts."""

_NAME = "optimizer.name"
_BETAS = (
    "AdamW",
    "AdamW8bit",
    "PagedAdamW8bit",
    "Lion8bit",
    "AdEMAMix8bit",
    "Prodigy",
    "Lion",
    "CAME",
    "StableAdamW",
    "AdEMAMix",
    "Adan",
    "SOAP",
    "DAdaptAdam",
    "DAdaptAdan",
    "DAdaptLion",
    "AdamWScheduleFree",
    "RAdamScheduleFree",
)
_EPS = tuple(
    n
    for n in NAMED
    if n
    not in (
        "Lion",
        "Lion8bit",
        "SGD",
        "CAME",
        "Adafactor",
        "DAdaptLion",
        "DAdaptSGD",
        "SGDScheduleFree",
    )
)
_D0 = ("Prodigy", "DAdaptAdam", "DAdaptAdaGrad", "DAdaptAdan", "DAdaptLion", "DAdaptSGD")


def _for(*names: str) -> When:
    return When(_NAME, equals=names)


class OptimizerArguments(Table):
    """`[optimizer.args]`: arguments of the optimizer's constructor; empty means its own default."""

    weight_decay: float | None = option(
        None,
        "Weight decay",
        "Pulls the adapter towards zero; 0.01 is usual.",
        ge=0,
        empty="the optimizer's",
        basic=True,
    )
    betas: FloatList | None = option(
        None,
        "Betas",
        "How long gradients are remembered, such as 0.9, 0.999.",
        empty="the optimizer's",
        only_if=_for(*_BETAS),
    )
    eps: float | None = option(
        None,
        "Epsilon",
        "Keeps divisions away from zero.",
        gt=0,
        scale="log",
        empty="the optimizer's",
        only_if=_for(*_EPS),
    )
    momentum: float | None = option(
        None,
        "Momentum",
        "How much of the last step is kept.",
        ge=0,
        lt=1,
        empty="the optimizer's",
        only_if=_for("SGD", "DAdaptSGD", "SGDScheduleFree"),
    )
    d0: float | None = option(
        None,
        "First guess of the rate",
        "Where it starts to search its learning rate.",
        gt=0,
        scale="log",
        empty="1e-6",
        only_if=_for(*_D0),
    )
    d_coef: float | None = option(
        None,
        "Rate multiplier",
        "Multiplies the rate it finds: 0.5 is calmer, 2 is bolder.",
        gt=0,
        empty="1",
        only_if=_for("Prodigy"),
    )
    decouple: bool | None = option(
        None,
        "Decoupled decay",
        "Weight decay as in AdamW.",
        empty="the optimizer's",
        only_if=_for("Prodigy"),
    )
    use_bias_correction: bool | None = option(
        None,
        "Bias correction",
        "Corrects the first steps; usual for adapters.",
        empty="off",
        only_if=_for("Prodigy"),
    )
    safeguard_warmup: bool | None = option(
        None,
        "Guard the warm-up",
        "Keeps the warm-up from misleading the search; on with warm-up.",
        empty="off",
        only_if=_for("Prodigy"),
    )
    slice_p: int | None = option(
        None,
        "Search on every n-th value",
        "11 halves Prodigy's memory at the same result.",
        ge=1,
        empty="1",
        only_if=_for("Prodigy"),
    )
    growth_rate: float | None = option(
        None,
        "Growth limit",
        "How fast the rate may grow in one step, such as 1.02.",
        gt=1,
        empty="no limit",
        only_if=_for("Prodigy", "DAdaptAdam", "DAdaptAdaGrad", "DAdaptAdan", "DAdaptSGD"),
    )
    warmup_steps: int | None = option(
        None,
        "Its own warm-up",
        "Steps over which it raises the rate by itself.",
        ge=0,
        unit="steps",
        empty="the warm-up",
        only_if=_for("AdamWScheduleFree", "SGDScheduleFree"),
    )
    max_precondition_dim: int | None = option(
        None,
        "Largest preconditioner",
        "Sides above this are not preconditioned; without a limit a step can take minutes.",
        ge=1,
        empty="1024",
        only_if=_for("SOAP"),
    )


class Optimizer(Table):
    """Optimizer, learning rates and schedule (spec: data-loop 4.4, 4.5)."""

    name: str = option(
        "AdamW",
        "Optimizer",
        "AdamW is the calm standard. Prodigy finds its rate by itself (set the learning rate to "
        "1). 8-bit kinds need less memory on NVIDIA cards. Any optimizer of the pytorch-optimizer "
        "package can be named.",
        basic=True,
        suggestions=tuple(NAMED),
        aliases=("optimizer_type",),
    )
    learning_rate: float = option(
        1e-4,
        "Learning rate",
        "How far each step moves the adapter. Too high and pictures burn or turn to noise; try "
        "half. Typed as 1e-4 or 0.0001.",
        ge=0,
        le=10,
        scale="log",
        basic=True,
    )
    denoiser_lr: float | None = option(
        None,
        "Picture model's rate",
        "Own learning rate of the picture model's adapters.",
        ge=0,
        le=10,
        scale="log",
        empty="learning rate",
        aliases=("unet_lr",),
    )
    text_encoder_lr: Rates | None = option(
        None,
        "Text encoder's rate",
        "Own learning rate of the text encoder's adapters; half of the learning rate is usual. "
        "Where there are several encoders, one number each: the last is for the rest too, and 0 "
        "trains none of it.",
        empty="learning rate",
        only_if=When("network.train", not_equals=("denoiser",)),
    )
    max_grad_norm: float = option(
        1.0,
        "Gradient clipping",
        "Limits the size of one step's gradient; 0 is off.",
        ge=0,
    )
    args: OptimizerArguments = option(
        OptimizerArguments,
        "Arguments",
        "The optimizer's own settings.",
        aliases=("optimizer_args",),
    )
    extra_args: dict[str, bool | int | float | str | list[float]] = option(
        dict,
        "Other arguments",
        "Further arguments of the optimizer's constructor by name, checked against it before "
        "anything loads.",
    )
    schedule: Literal[
        "constant",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
        "cosine_with_min_lr",
        "warmup_stable_decay",
        "piecewise_constant",
        "rex",
    ] = option(
        "constant",
        "Schedule",
        "How the learning rate changes over the run. Constant is safe when you stop by eye; cosine "
        "ends softly.",
        section="Schedule",
        basic=True,
        aliases=("lr_scheduler",),
    )
    warmup: StepsOrShare = option(
        0,
        "Warm-up",
        "Steps over which the rate rises from nothing: a number, a share such as 0.05, or 5%.",
        section="Schedule",
        aliases=("lr_warmup_steps",),
    )
    warmup_from_zero: bool = option(
        False,
        "First step at rate 0",
        "Begin the warm-up at 0 as sd-scripts does; its first step then changes nothing.",
        section="Schedule",
        only_if=When("optimizer.warmup", is_set=True),
    )
    cycles: int = option(
        1,
        "Restarts",
        "How many cycles of the cosine.",
        ge=1,
        le=1000,
        section="Schedule",
        aliases=("lr_scheduler_num_cycles",),
        only_if=When("optimizer.schedule", equals=("cosine_with_restarts",)),
    )
    power: float = option(
        1.0,
        "Power",
        "Power of the polynomial; 1 is a straight line.",
        gt=0,
        section="Schedule",
        aliases=("lr_scheduler_power",),
        only_if=When("optimizer.schedule", equals=("polynomial",)),
    )
    timescale: int | None = option(
        None,
        "Time scale",
        "After how many steps the rate has fallen by a root of two.",
        ge=1,
        section="Schedule",
        empty="the warm-up",
        aliases=("lr_scheduler_timescale",),
        only_if=When("optimizer.schedule", equals=("inverse_sqrt",)),
    )
    min_lr_ratio: float = option(
        0.0,
        "Lowest rate",
        "Where the schedule ends, as a share of the learning rate.",
        ge=0,
        le=1,
        section="Schedule",
        aliases=("lr_scheduler_min_lr_ratio",),
        only_if=When("optimizer.schedule", equals=("cosine_with_min_lr", "warmup_stable_decay")),
    )
    decay: StepsOrShare = option(
        0.1,
        "Decay over",
        "Length of the fall at the end: steps, a share, or a percentage.",
        section="Schedule",
        aliases=("lr_decay_steps",),
        only_if=When("optimizer.schedule", equals=("warmup_stable_decay",)),
    )
    step_rules: str = option(
        "",
        "Steps of the rate",
        "Factor and until which step, last the factor of the rest, such as 1:500,0.1:800,0.01.",
        section="Schedule",
        only_if=When("optimizer.schedule", equals=("piecewise_constant",)),
    )
    rex_d: float = option(
        0.5,
        "Bend",
        "How long REX stays high: 0.5 as in its paper, 0.9 falls late.",
        gt=0,
        lt=1,
        section="Schedule",
        only_if=When("optimizer.schedule", equals=("rex",)),
    )


def text_encoder_rate(optimizer: Optimizer, number: int) -> float | None:
    """The own learning rate of a text encoder, counted from 0; None without one.

    The last rate given is for the encoders after it too (spec: networks 1.7).
    """
    rates = optimizer.text_encoder_lr
    return rates[min(number, len(rates) - 1)] if rates else None
