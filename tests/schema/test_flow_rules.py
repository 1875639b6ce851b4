"""Sizes that a model would cut, and chances of text encoders."""

from __future__ import annotations

from typing import Any

import pytest

from engine.schema.check import check


def told(tables: dict[str, Any]) -> dict[str, str]:
    """Path → message of what is wrong, besides the files that the job does not name."""
    data = {"model": {"path": "a.safetensors"}, "dataset": {"folders": [{"path": "b"}]}}
    for name, values in tables.items():
        data[name] = data.get(name, {}) | values
    return {problem.path: problem.message for problem in check(data).errors}


@pytest.mark.parametrize(
    ("architecture", "step", "wrong"),
    [("sd1", 8, False), ("sd3", 8, True), ("sd3", 16, False), ("flux", 24, True),
     ("hunyuan_image", 48, True)],
)  # fmt: skip
def test_buckets_are_multiples_of_what_a_model_sees(
    architecture: str, step: int, wrong: bool
) -> None:
    """training-sd-flux 3: SD3 crops odd latents in silence; here they are refused."""
    found = told({"model": {"architecture": architecture}, "dataset": {"bucket_step": step}})
    assert ("dataset.bucket_step" in found) is wrong


def test_a_size_without_buckets_is_held_to_the_same() -> None:
    dataset = {"buckets": False, "resolution": ["1000x1024"]}
    assert (
        "1000x1024"
        in told({"model": {"architecture": "sd3"}, "dataset": dataset})["dataset.resolution"]
    )
    assert "dataset.resolution" not in told({"dataset": dataset})


@pytest.mark.parametrize(
    ("rates", "words"),
    [([0.5], "needs 3 numbers, for CLIP-L, OpenCLIP-G, T5-XXL; this list has 1"),
     ([0.1, 0.1, 1.5], "not between 0 and 1")],
)  # fmt: skip
def test_chances_of_text_encoders_are_three_numbers_up_to_1(rates: list[float], words: str) -> None:
    objective = {"text_encoder_dropout": rates}
    found = told({"model": {"architecture": "sd3"}, "objective": objective})
    assert words in found["objective.text_encoder_dropout"]
    good = {"text_encoder_dropout": "0.464, 0.464, 0.464"}
    assert told({"model": {"architecture": "sd3"}, "objective": good}) == {}
