"""Every typed argument of `[optimizer.args]` is taken by every optimizer that shows it."""

from __future__ import annotations

import pytest

from engine.schema.optimizer import Optimizer
from engine.schema.optimizers import NAMED
from engine.schema.options import options
from engine.training.optimizer import check_optimizer

VALUES = {
    "weight_decay": 0.01, "betas": [0.9, 0.99], "eps": 1e-7, "momentum": 0.5, "d0": 1e-5,
    "d_coef": 0.5, "decouple": True, "use_bias_correction": True, "safeguard_warmup": True,
    "slice_p": 11, "growth_rate": 1.02, "warmup_steps": 5, "max_precondition_dim": 64,
}  # fmt: skip
THREE_BETAS = {"AdEMAMix": [0.9, 0.99, 0.999], "CAME": [0.9, 0.99, 0.999], "Adan": [0.9, 0.9, 0.99],
               "DAdaptAdan": [0.9, 0.9, 0.99]}  # fmt: skip
ENTRIES = [o for p, o in options().items() if p.startswith("optimizer.args.")]


def names_showing(entry) -> list[str]:
    shown = [when.equals for when in entry.hints.only_if if when.path == "optimizer.name"]
    names = shown[0] if shown else tuple(NAMED)
    return [name for name in names if not NAMED[name].cuda_only]


CASES = [(entry.key, name) for entry in ENTRIES for name in names_showing(entry)]


def test_every_argument_has_a_value_to_try():
    assert {entry.key for entry in ENTRIES} == set(VALUES)


@pytest.mark.parametrize(("key", "name"), CASES, ids=lambda value: str(value))
def test_the_optimizer_takes_it(key, name):
    value = THREE_BETAS.get(name, VALUES[key]) if key == "betas" else VALUES[key]
    check_optimizer(Optimizer(name=name, args={key: value}), "cpu")  # pyright: ignore[reportArgumentType]
