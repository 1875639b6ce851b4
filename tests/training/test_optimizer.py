"""Optimizers: arguments checked early, both factors moved, resumed bit for bit (acceptance 16)."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from engine.networks.groups import GroupSpec
from engine.schema.optimizer import Optimizer
from engine.schema.optimizers import FURTHER, NAMED, kind_of
from engine.schema.problem import JobError
from engine.training.optimizer import (
    SOAP_LARGEST_SIDE,
    averaged,
    check_optimizer,
    is_schedule_free,
    make_optimizer,
)

HERE = [kind.name for kind in NAMED.values() if not kind.cuda_only]


def options(name: str, **values: Any) -> Optimizer:
    kind = kind_of(name)
    rate = 1.0 if kind is not None and kind.single_lr else 1e-2
    return Optimizer.model_validate({"name": name, "learning_rate": rate, **values})


def fit(chosen: Optimizer, steps: int, interrupt: int | None = None) -> tuple[list, list, Any]:
    """Fit a rank-4 product for some steps; with `interrupt` go on with a new optimizer there."""
    torch.manual_seed(0)
    x, y = torch.randn(16, 24), torch.randn(16, 12)
    down, up = Parameter(torch.randn(4, 24) * 0.2), Parameter(torch.zeros(12, 4))
    start = [down.detach().clone(), up.detach().clone()]

    def make(params: list[Parameter]) -> torch.optim.Optimizer:
        made = make_optimizer(chosen, [GroupSpec("unet", params, chosen.learning_rate)], 30, "cpu")
        if is_schedule_free(chosen):
            made.train()  # pyright: ignore[reportAttributeAccessIssue]
        return made

    optimizer = make([down, up])
    for step in range(steps):
        if step == interrupt:
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            down, up = Parameter(down.detach().clone()), Parameter(up.detach().clone())
            optimizer = make([down, up])
            optimizer.load_state_dict(torch.load(file, weights_only=True))
        torch.manual_seed(step)  # as the loop does before each micro-batch
        (x @ down.T @ up.T - y).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return start, [down.detach().clone(), up.detach().clone()], optimizer


@pytest.mark.parametrize("name", [*HERE, *FURTHER])
def test_moves_both_factors_and_resumes_bit_for_bit(name: str) -> None:
    start, moved, _ = fit(options(name), 20)
    assert not torch.equal(start[0], moved[0])
    assert not torch.equal(start[1], moved[1])
    _, whole, _ = fit(options(name), 30)
    _, resumed, _ = fit(options(name), 30, interrupt=13)
    assert torch.equal(whole[0], resumed[0])
    assert torch.equal(whole[1], resumed[1])


@pytest.mark.parametrize("name", HERE)
def test_every_offered_optimizer_passes_its_own_check(name: str) -> None:
    check_optimizer(options(name), "cpu")


def test_unknown_argument_names_the_field_and_a_near_one() -> None:
    with pytest.raises(JobError) as caught:
        check_optimizer(options("Prodigy", extra_args={"d_coeff": 2.0}), "cpu")
    problem = caught.value.problems[0]
    assert problem.path == "optimizer.extra_args.d_coeff"
    assert "Did you mean d_coef?" in problem.message


def test_wrong_value_is_told_before_anything_loads() -> None:
    with pytest.raises(JobError) as caught:
        check_optimizer(options("AdamW", args={"betas": [0.9, 1.5]}), "cpu")
    assert caught.value.problems[0].path == "optimizer.args"
    assert "beta" in caught.value.problems[0].message


def test_cuda_optimizer_on_the_processor_offers_adamw() -> None:
    with pytest.raises(JobError) as caught:
        check_optimizer(options("AdamW8bit"), "cpu")
    assert caught.value.problems[0].fix == (("optimizer.name", "AdamW"),)


def test_adamw_is_fused_and_soap_has_a_limit() -> None:
    _, _, adamw = fit(options("AdamW", args={"weight_decay": 0.3}), 1)
    assert adamw.defaults["fused"] is True
    assert adamw.defaults["weight_decay"] == 0.3
    _, _, soap = fit(options("SOAP"), 1)
    assert soap.param_groups[0]["max_precondition_dim"] == SOAP_LARGEST_SIDE


def test_schedule_free_takes_the_warm_up_and_shows_another_point() -> None:
    chosen = options("AdamWScheduleFree", warmup="10%")
    _, trained, optimizer = fit(chosen, 20)
    assert optimizer.param_groups[0]["warmup_steps"] == 3
    parameters = optimizer.param_groups[0]["params"]
    with averaged(optimizer, chosen):
        assert not torch.equal(parameters[0], trained[0])
    assert torch.equal(parameters[0], trained[0])  # a preview more or less changes nothing
