"""Warnings about the noise levels of flow models: they never block."""

from __future__ import annotations

from typing import Any

import pytest

from engine.schema.check import check


def warnings(architecture: str, **tables: dict[str, Any]) -> dict[str, str]:
    data: dict[str, Any] = {
        "model": {"architecture": architecture, "path": "m"},
        "samples": {"enabled": False},
        **tables,
        "dataset": {"folders": [{"path": "p"}], **tables.get("dataset", {})},
    }
    checked = check(data)
    assert checked.errors == ()
    return {p.path: p.message for p in checked.problems}


@pytest.mark.parametrize(
    ("architecture", "size", "warned"),
    [("flux", "2048", True), ("flux", "1536", False), ("flux", "1024x2048", False),
     ("flux", "1536x2048", True), ("sd3", "2048", False), ("sdxl", "2048", False)],
)  # fmt: skip
def test_the_shift_by_size_has_a_limit(architecture: str, size: str, warned: bool) -> None:
    """training-dit 1.1: e^μ is 25 at 2048 pixels."""
    found = warnings(architecture, dataset={"resolution": [size]})
    assert ("objective.timestep_sampling" in found) == warned


def test_hunyuans_latents_are_small_at_any_size() -> None:
    objective = {"timestep_sampling": "flux_shift"}
    assert warnings("hunyuan_image", dataset={"resolution": "2048"}, objective=objective) == {}


def test_a_weighting_that_says_nothing_to_this_sampling() -> None:
    found = warnings("flux", objective={"weighting": "logit_normal"})
    assert "acts only with the sampling" in found["objective.weighting"]
    assert warnings("sd3", objective={"weighting": "logit_normal"}) == {}
    assert warnings("flux", objective={"weighting": "cosmap"}) == {}
