"""What saves memory changes a run by nothing, or by its rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.protocol import Step
from tests.training.conftest import Train

CHECKPOINTED = {"training.gradient_checkpointing": True, "training.epochs": 1}


def losses(trained: Any) -> list[float]:
    return [step.loss for step in trained.of(Step)]


def adapter(trained: Any) -> dict[str, torch.Tensor]:
    return load_file(trained.run.checkpoints / "cat.safetensors")


def test_checkpoints_in_main_memory_change_no_bit(
    train_here: Train, job_data: dict[str, Any]
) -> None:
    wanted = train_here(job_data, CHECKPOINTED | {"output.name": "plain"})
    found = train_here(job_data, CHECKPOINTED | {"training.offload_activations": True})
    assert losses(found) == losses(wanted)
    plain = load_file(wanted.run.checkpoints / "plain.safetensors")
    assert all(torch.equal(tensor, plain[name]) for name, tensor in adapter(found).items())


@pytest.mark.parametrize(("kept_as", "away"), [("int8", 0.02), ("fp8_scaled", 0.06), ("fp8", 0.15)])
def test_eight_bits_stay_near(
    train_here: Train, job_data: dict[str, Any], kept_as: str, away: float
) -> None:
    wanted = train_here(job_data, {"training.epochs": 1, "output.name": "plain"})
    eight = {"model.weights": kept_as, "model.text_encoder_weights": kept_as}
    found = train_here(job_data, {"training.epochs": 1} | eight)
    assert losses(found) != losses(wanted)
    assert losses(found) == pytest.approx(losses(wanted), rel=away)


def test_four_bits_say_what_they_need(train_here: Train, job_data: dict[str, Any]) -> None:
    from engine.schema.problem import JobError

    with pytest.raises(JobError) as caught:
        train_here(job_data, {"model.weights": "nf4"})
    (problem,) = (p for p in caught.value.problems if p.severity == "error")
    assert problem.path == "model.weights"
    assert "NVIDIA card" in problem.message
