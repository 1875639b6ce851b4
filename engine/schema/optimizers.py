"""The optimizers on offer, as data: name, where it comes from, what it asks of the other fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Library = Literal["torch", "pytorch_optimizer", "prodigyopt", "schedulefree", "bitsandbytes"]


@dataclass(frozen=True)
class OptimizerKind:
    """An optimizer: the class is `getattr(library, class_name)`."""

    name: str
    library: Library
    class_name: str
    single_lr: bool = False  # finds its own rate: one learning rate for all groups
    schedule_free: bool = False  # wants a constant schedule, and eval() before saving
    cuda_only: bool = False
    state_bytes: float = 8.0  # kept for each trained number (measured: spec libraries)


_P: Library = "pytorch_optimizer"

NAMED: dict[str, OptimizerKind] = {
    kind.name: kind
    for kind in (
        OptimizerKind("AdamW", "torch", "AdamW"),
        OptimizerKind("AdamW8bit", "bitsandbytes", "AdamW8bit", cuda_only=True, state_bytes=2.07),
        OptimizerKind(
            "PagedAdamW8bit", "bitsandbytes", "PagedAdamW8bit", cuda_only=True, state_bytes=2.07
        ),
        OptimizerKind("Lion8bit", "bitsandbytes", "Lion8bit", cuda_only=True, state_bytes=1.04),
        OptimizerKind(
            "AdEMAMix8bit", "bitsandbytes", "AdEMAMix8bit", cuda_only=True, state_bytes=3.09
        ),
        OptimizerKind("Adafactor", "torch", "Adafactor", state_bytes=0.25),
        OptimizerKind("SGD", "torch", "SGD", state_bytes=4),
        OptimizerKind("Prodigy", "prodigyopt", "Prodigy", single_lr=True, state_bytes=16),
        OptimizerKind("DAdaptAdam", _P, "DAdaptAdam", single_lr=True, state_bytes=12),
        OptimizerKind("DAdaptAdaGrad", _P, "DAdaptAdaGrad", single_lr=True, state_bytes=16),
        OptimizerKind("DAdaptAdan", _P, "DAdaptAdan", single_lr=True, state_bytes=16),
        OptimizerKind("DAdaptLion", _P, "DAdaptLion", single_lr=True, state_bytes=8),
        OptimizerKind("DAdaptSGD", _P, "DAdaptSGD", single_lr=True),
        OptimizerKind("Lion", _P, "Lion", state_bytes=4),
        OptimizerKind("CAME", _P, "CAME", state_bytes=4.5),
        OptimizerKind("StableAdamW", _P, "StableAdamW"),
        OptimizerKind("AdEMAMix", _P, "AdEMAMix", state_bytes=12),
        OptimizerKind("Adan", _P, "Adan", state_bytes=12),
        OptimizerKind("SOAP", _P, "SOAP", state_bytes=24),
        OptimizerKind("AdamWScheduleFree", "schedulefree", "AdamWScheduleFree", schedule_free=True),
        OptimizerKind("RAdamScheduleFree", "schedulefree", "RAdamScheduleFree", schedule_free=True),
        OptimizerKind("SGDScheduleFree", "schedulefree", "SGDScheduleFree", schedule_free=True),
    )
}

FURTHER: tuple[str, ...] = (
    "a2grad",
    "accsgd",
    "adabelief",
    "adabound",
    "adadelta",
    "adagc",
    "adai",
    "adalite",
    "adam",
    "adamax",
    "adamc",
    "adamg",
    "adamod",
    "adamp",
    "adams",
    "adamwsn",
    "adanorm",
    "adapnm",
    "adasmooth",
    "adatam",
    "adopt",
    "aggmo",
    "aida",
    "alice",
    "amos",
    "ano",
    "apollo",
    "apollodqn",
    "asgd",
    "avagrad",
    "bcos",
    "dash",
    "diffgrad",
    "dualadam",
    "emofact",
    "emolynx",
    "emonavi",
    "exadam",
    "fadam",
    "fira",
    "flashadamw",
    "focus",
    "fromage",
    "ftrl",
    "galore",
    "grams",
    "gravity",
    "grokfastadamw",
    "kate",
    "lamb",
    "laprop",
    "lars",
    "lorarite",
    "madgrad",
    "magma",
    "mars",
    "msvag",
    "nadam",
    "nero",
    "novograd",
    "padam",
    "pid",
    "pnm",
    "qhadam",
    "qhm",
    "radam",
    "ranger",
    "rmsprop",
    "rose",
    "sara",
    "sgdp",
    "sgdsai",
    "sgdw",
    "shampoo",
    "signsgd",
    "simplifiedademamix",
    "sm3",
    "spam",
    "spectralsphere",
    "splus",
    "srmm",
    "stablespam",
    "swats",
    "tam",
    "tiger",
    "vsgd",
    "yogi",
)
"""Further names of the pytorch-optimizer package, taken by its `load_optimizer`.

Left out are those that need more than a gradient (a closure, the model, roles of parameters, the
number of steps), whose state is no plain data, or that do not move both factors of an adapter.
"""


def kind_of(name: str) -> OptimizerKind | None:
    """Find an optimizer by name, whatever its capitals; None if there is no such one."""
    lowered = name.lower()
    for kind in NAMED.values():
        if kind.name.lower() == lowered:
            return kind
    if lowered in FURTHER:
        return OptimizerKind(lowered, "pytorch_optimizer", lowered)
    return None
