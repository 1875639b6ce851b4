"""Every variant on every architecture: trains, saves, reloads, merges, resumes.

A cell trains two steps with AdamW on a tiny model of the architecture's real block structure.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.networks import attach_file
from engine.networks.file import save
from engine.plan.adapter_size import numbers_of, total_of
from tests.networks.cells import Base, Training, cells, options_of, training
from tests.networks.parts import error


def check_gradients(run: Training) -> None:
    """All that has a gradient is finite, and something of every adapter learns."""
    params = [p for g in run.optimizer.param_groups for p in g["params"]]
    given = [p.grad for p in params if p.grad is not None]
    assert all(g.isfinite().all() for g in given)
    learning = sum(bool(g.any()) for g in given)
    assert learning >= 0.3 * len(given)  # the first step moves `up` or the scalar alone


@pytest.mark.parametrize(("architecture", "variant"), cells())
def test_a_cell_of_the_matrix(
    architecture: str, variant: str, base: Any, tmp_path: Path, request: Any
) -> None:
    here: Base = base(architecture)
    options = options_of(architecture, variant)
    placements = here.placements(options)
    assert any(p.site.kind == "norm" for p in placements) == options.train_norm
    run = training(here, options)
    request.addfinalizer(run.network.detach)
    counted = total_of([numbers_of(p, options) for p in placements])
    assert counted.held == sum(p.numel() for p in run.network.parameters())
    trained = sum(p.numel() for g in run.optimizer.param_groups for p in g["params"])
    assert counted.trained == trained
    run.network.eval()
    assert error([here.shown()], [here.output]) < 1e-5  # a new adapter adds nothing
    run.network.train()
    run.step(0)
    check_gradients(run)
    run.optimizer.zero_grad()
    kept = run.state()
    run.step(1)
    check_gradients(run)
    run.network.apply_max_norm(50.0)
    weights = run.network.weights()
    alphas = sum(t.numel() for key, t in weights.items() if key.endswith(".alpha"))
    assert counted.stored == sum(t.numel() for t in weights.values()) - alphas
    assert counted.keys == len(weights)
    run.network.eval()
    output = here.shown()
    assert error([output], [here.output]) > 1e-4
    run.network.detach()

    again = training(here, options)  # resumed after the first step
    request.addfinalizer(again.network.detach)
    again.network.load_state_dict(kept["network"])
    again.optimizer.load_state_dict(kept["optimizer"])
    again.step(1)
    again.network.apply_max_norm(50.0)
    assert all(torch.equal(t, weights[key]) for key, t in again.network.weights().items())
    again.network.detach()

    path = tmp_path / "saved.safetensors"
    save(path, weights, {}, "fp32")
    components: dict[str, nn.Module] = {"denoiser": here.model.components["denoiser"]}
    handle = attach_file(architecture, components, path)
    assert handle.unused == ()
    assert error([here.shown()], [output]) < 1e-5
    kept_base = copy.deepcopy(components["denoiser"].state_dict())
    handle.merge()
    assert error([here.shown()], [output]) < 1e-4
    components["denoiser"].load_state_dict(kept_base)
    assert torch.equal(here.shown(), here.output)
