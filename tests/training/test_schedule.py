"""Schedules: the values of spec data-loop 4.4, and transformers' own (acceptance 14, 15)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.optimization import get_piecewise_constant_schedule
from transformers.optimization import get_scheduler

from engine.networks.groups import GroupSpec
from engine.schema.optimizer import Optimizer
from engine.schema.optimizers import NAMED
from engine.training.optimizer import set_rates
from engine.training.schedule import make_schedule

STEPS = (0, 10, 50, 75, 90, 99)


def options(schedule: str, **values: Any) -> Optimizer:
    return Optimizer.model_validate({"schedule": schedule, "learning_rate": 1.0, **values})


@pytest.mark.parametrize(
    ("schedule", "values", "expected"),
    [
        ("constant", {"warmup": 10}, (0, 1, 1, 1, 1, 1)),
        ("linear", {"warmup": 10}, (0, 1, 0.555556, 0.277778, 0.111111, 0.011111)),
        ("cosine", {"warmup": 10}, (0, 1, 0.586824, 0.178606, 0.030154, 0.000305)),
        ("cosine", {}, (1, 0.975528, 0.5, 0.146447, 0.024472, 0.000247)),
        (
            "cosine_with_restarts",
            {"warmup": 10, "cycles": 3},
            (0, 1, 0.75, 0.933013, 0.25, 0.002739),
        ),
        (
            "polynomial",
            {"warmup": 10, "power": 2.0},
            (0, 1, 0.308642, 0.077161, 0.012346, 0.000124),
        ),
        ("inverse_sqrt", {"warmup": 10}, (0, 1, 0.447214, 0.365148, 0.333333, 0.317821)),
        (
            "cosine_with_min_lr",
            {"warmup": 10, "min_lr_ratio": 0.1},
            (0, 1, 0.628142, 0.260746, 0.127138, 0.100274),
        ),
        ("warmup_stable_decay", {"warmup": 10, "decay": 20}, (0, 1, 1, 1, 0.5, 0.006156)),
        ("rex", {}, (1, 0.947368, 0.666667, 0.4, 0.181818, 0.019802)),
        ("rex", {"rex_d": 0.9}, (1, 0.989011, 0.909091, 0.769231, 0.526316, 0.091743)),
    ],
)
def test_schedule_has_the_values_of_the_table(
    schedule: str, values: dict[str, Any], expected: tuple[float, ...]
) -> None:
    made = make_schedule(options(schedule, warmup_from_zero=True, **values), 100)
    assert [made.factor(step) for step in STEPS] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "values", "name", "arguments"),
    [
        ("linear", {}, "linear", {}),
        ("cosine", {}, "cosine", {}),
        ("cosine_with_restarts", {"cycles": 3}, "cosine_with_restarts", {"num_cycles": 3}),
        ("polynomial", {"power": 2.0}, "polynomial", {"power": 2.0}),
        ("inverse_sqrt", {"timescale": 7}, "inverse_sqrt", {"timescale": 7}),
        ("cosine_with_min_lr", {"min_lr_ratio": 0.1}, "cosine_with_min_lr", {"min_lr_rate": 0.1}),
        (
            "warmup_stable_decay",
            {"decay": 20, "min_lr_ratio": 0.1},
            "warmup_stable_decay",
            {"num_decay_steps": 20, "min_lr_ratio": 0.1},
        ),
    ],
)
def test_every_step_equals_that_of_transformers(
    schedule: str, values: dict[str, Any], name: str, arguments: dict[str, Any]
) -> None:
    made = make_schedule(options(schedule, warmup=10, warmup_from_zero=True, **values), 100)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs: Any = get_scheduler(name, optimizer, 10, 100, scheduler_specific_kwargs=arguments)
    for step in range(10, 100):  # transformers' warm-up has its own start; see the table above
        assert made.factor(step) == pytest.approx(theirs.lr_lambdas[0](step), abs=1e-6), step


def test_piecewise_constant_equals_that_of_diffusers() -> None:
    rules = "1:10,0.1:20,0.01"
    made = make_schedule(options("piecewise_constant", step_rules=rules), 30)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs: Any = get_piecewise_constant_schedule(optimizer, rules)
    assert [made.factor(s) for s in range(30)] == [theirs.lr_lambdas[0](s) for s in range(30)]


def test_warmup_starts_above_zero_and_reaches_the_rate_at_its_last_step() -> None:
    made = make_schedule(options("cosine", warmup=10), 100)
    assert made.factor(0) == pytest.approx(0.1)
    assert made.factor(9) == 1.0
    assert made.factor(10) == 1.0


@pytest.mark.parametrize("warmup", [10, 0.1, "10%"])
def test_warmup_as_steps_share_and_percentage_are_the_same(warmup: int | float | str) -> None:
    made = make_schedule(options("linear", warmup=warmup), 100)
    assert made.warmup == 10
    assert make_schedule(options("linear", warmup=0), 100).factor(0) == 1.0


def group(name: str, lr: float) -> GroupSpec:
    return GroupSpec(name, [torch.nn.Parameter(torch.zeros(2))], lr)


@pytest.mark.parametrize(
    "schedule",
    ["constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "inverse_sqrt",
     "cosine_with_min_lr", "warmup_stable_decay", "rex"],
)  # fmt: skip
def test_groups_keep_the_ratio_of_their_rates(schedule: str) -> None:
    groups = [group("unet", 1e-4), group("textencoder", 1e-5)]
    optimizer = torch.optim.SGD([{"params": g.params, "lr": g.lr} for g in groups])
    made = make_schedule(options(schedule, warmup=10), 100)
    for step in (0, 5, 50, 99):
        rates = set_rates(optimizer, groups, made, step)
        assert rates["unet"] == pytest.approx(10 * rates["textencoder"])
        assert optimizer.param_groups[1]["lr"] == pytest.approx(1e-5 * made.factor(step))


def test_schedule_free_optimizers_keep_a_constant_rate() -> None:
    for kind in NAMED.values():
        if kind.schedule_free:
            made = make_schedule(options("constant", name=kind.name, warmup=10), 100)
            assert made.factor(0) == made.factor(99) == 1.0
