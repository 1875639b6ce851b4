"""One step: short groups and batches weigh right (acceptance 13)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from engine.training import update as module
from engine.training.together import Together
from engine.training.update import update


class _Network:
    def draw(self, *of: object) -> None:
        """A plain adapter trains all of its rank at once."""

    def hand_over_gradients(self) -> None:
        """Its gradients lie where the optimizer looks for them."""

    def measure_noise(self, gradient_scale: float) -> None:
        assert gradient_scale == 1.0

    def noise_norms(self) -> dict[str, float]:
        return {}

    def apply_max_norm(self, limit: float) -> Any:
        return SimpleNamespace(scaled=3)


def session(monkeypatch: pytest.MonkeyPatch, average: str = "sample", clip: float = 0.0) -> Any:
    """A session whose loss is the mean of weight × value: the gradient is the samples' mean."""
    weight = torch.nn.Parameter(torch.tensor(0.0))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    monkeypatch.setattr(module, "losses", lambda s, batch: weight * torch.tensor(batch))
    return SimpleNamespace(
        accelerator=accelerator,
        job=SimpleNamespace(
            training=SimpleNamespace(loss_average=average, seed=1),
            optimizer=SimpleNamespace(max_grad_norm=clip),
            network=SimpleNamespace(max_norm=1.0),
        ),
        device=SimpleNamespace(id="cpu"),
        together=Together(1, 0),
        parameters=[weight],
        optimizer=optimizer,
        stepper=accelerator.prepare_optimizer(optimizer),
        scaler=None,
        network=_Network(),
        ema=None,
        weight=weight,
    )


def gradient(made: Any, micros: list[list[float]]) -> float:
    before = made.weight.item()
    done = update(made, micros, 0, sum(map(len, micros)))  # pyright: ignore[reportArgumentType]
    assert done.applied
    assert done.scaled == 3
    assert done.grad_norm == pytest.approx(abs(made.weight.item() - before))
    return before - made.weight.item()


def test_a_short_last_group_weighs_as_much_as_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = session(monkeypatch)
    assert gradient(made, [[1.0], [1.0], [1.0], [1.0]]) == pytest.approx(1.0)
    assert gradient(made, [[1.0]]) == pytest.approx(1.0)


def test_every_picture_of_a_step_weighs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    micros = [[1.0, 1.0, 1.0], [5.0]]
    assert gradient(session(monkeypatch), micros) == pytest.approx(2.0)
    by_batch = session(monkeypatch, average="batch")
    assert gradient(by_batch, micros) == pytest.approx(3.0)


def test_the_norm_is_told_as_before_clipping(monkeypatch: pytest.MonkeyPatch) -> None:
    made = session(monkeypatch, clip=0.5)
    done = update(made, [[4.0]], 0, 1)  # pyright: ignore[reportArgumentType]
    assert done.grad_norm == pytest.approx(4.0)
    assert made.weight.item() == pytest.approx(-0.5, abs=1e-5)


def test_a_step_that_is_not_finite_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = session(monkeypatch)
    done = update(made, [[float("inf")]], 0, 1)  # pyright: ignore[reportArgumentType]
    assert not done.applied
    assert done.loss is None
    assert made.weight.item() == 0.0
    assert made.weight.grad is None


def test_two_ranks_give_what_one_rank_gives_with_two_micro_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gradients are summed over ranks, and n counts the samples of all of them."""
    one = gradient(session(monkeypatch), [[1.0, 2.0], [9.0]])
    here = session(monkeypatch)
    here.together = Together(2, 0)

    def add_the_other_rank(flat: torch.Tensor) -> None:
        # Its loss, that it has a gradient, and the gradient: one sample of three.
        flat += torch.tensor([0.0, 1.0, 9.0 / 3])

    monkeypatch.setattr(torch.distributed, "all_reduce", add_the_other_rank)
    update(here, [[1.0, 2.0]], 0, 3)  # pyright: ignore[reportArgumentType]
    assert -here.weight.item() == pytest.approx(one, abs=1e-6)
