"""Rules of the `[model]` table, and the defaults that an architecture brings."""

from __future__ import annotations

from typing import Any

import pytest

from engine.schema.architectures import ARCHITECTURES, LUMINA_SYSTEM_PROMPTS
from engine.schema.check import Checked, check


def checked(architecture: str, model: dict[str, Any] | None = None, **tables: Any) -> Checked:
    data: dict[str, Any] = {
        "model": {"architecture": architecture, "path": "a.safetensors"} | (model or {}),
        "dataset": {"folders": [{"path": "pictures"}]},
    }
    return check(data | tables)


def errors(found: Checked) -> dict[str, str]:
    return {p.path: p.message for p in found.errors}


def test_what_a_job_leaves_out_is_its_architectures_default() -> None:
    """The same as in the window, where the form begins with them."""
    lumina = checked("lumina2").job
    assert (lumina.objective.timestep_sampling, lumina.objective.flow_shift) == ("nextdit_shift", 6)
    assert (lumina.model.max_tokens, lumina.samples.steps, lumina.samples.cfg) == (256, 30, 4.0)
    assert lumina.model.system_prompt == LUMINA_SYSTEM_PROMPTS[0]
    anima = checked("anima").job
    assert (anima.objective.timestep_sampling, anima.objective.flow_shift) == ("sigmoid", 1)
    assert (anima.model.max_tokens, anima.network.train) == (512, "denoiser")
    assert checked("sd1").job.model.max_tokens == 75


def test_what_a_job_says_stands() -> None:
    found = checked(
        "lumina2",
        {"system_prompt": "", "max_tokens": 128},
        objective={"discrete_flow_shift": 3.0, "timestep_sampling": "shift"},
    )
    assert errors(found) == {}
    assert (found.job.model.system_prompt, found.job.model.max_tokens) == ("", 128)
    assert found.job.objective.flow_shift == 3.0


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_the_defaults_of_every_architecture_are_valid(architecture: str) -> None:
    assert errors(checked(architecture)) == {}


@pytest.mark.parametrize(
    ("architecture", "tokens", "words"),
    [
        ("sd1", 100, "75, 150 or 225 tokens, not 100"),
        ("sdxl", 300, "75, 150 or 225 tokens, not 300"),
        ("lumina2", 297, "places for 296 tokens of text, not 297"),
        ("lumina2", 296, ""),
        ("anima", 4096, ""),
        ("sd2", 225, ""),
    ],
)
def test_captions_have_the_lengths_that_a_model_has_places_for(
    architecture: str, tokens: int, words: str
) -> None:
    """training-dit 7, check 3."""
    found = errors(checked(architecture, {"max_tokens": tokens}))
    assert words in found.get("model.max_tokens", "")
    assert (not words) == (found == {})


def test_t5_is_longer_for_anima_alone() -> None:
    assert errors(checked("anima", {"t5_max_tokens": 1024})) == {}
    assert "at most 512" in errors(checked("flux", {"t5_max_tokens": 1024}))["model.t5_max_tokens"]


@pytest.mark.parametrize("architecture", ["lumina2", "hunyuan_image", "anima"])
def test_fp16_is_refused_where_it_overflows(architecture: str) -> None:
    """training-dit 1.4."""
    found = errors(checked(architecture, {"weights": "fp16"}, training={"precision": "fp16"}))
    assert set(found) == {"model.weights", "training.precision"}
    assert "use bf16" in found["model.weights"]
    assert errors(checked("flux", {"weights": "fp16"})) == {}


def test_an_optimizer_that_breaks_anima_is_warned_of() -> None:
    """training-dit 6."""

    def words(architecture: str) -> list[str]:
        found = checked(architecture, optimizer={"name": "CAME"})
        return [p.message for p in found.problems if p.path == "optimizer.name"]

    assert "stop being finite" in words("anima")[0]
    assert words("lumina2") == []
