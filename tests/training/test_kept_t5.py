"""T5's words are kept while CLIP learns: the same adapter as with all encoders run each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.plan.summary import summarize
from engine.protocol import Finished
from engine.schema.check import check
from tests.tiny_sets import MAKERS
from tests.training.conftest import Train, job_of


@pytest.fixture(params=["flux", "sd3"])
def job(request: pytest.FixtureRequest, job_data: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    path = MAKERS[request.param](tmp_path / "model")
    job_data["model"] = {"architecture": request.param, "path": str(path)}
    job_data["network"]["train"] = "both"
    job_data["dataset"] |= {"cache_text": "memory", "cache_precision": "fp32"}
    job_data["training"] |= {"epochs": None, "steps": 3}
    job_data["samples"]["prompts"] = [{"prompt": "a disc"}]
    return job_data


def test_the_adapter_is_the_same(job: dict[str, Any], train_here: Train) -> None:
    """training-sd-flux 2: CLIP live, T5 kept."""
    kept = train_here(job)
    live = train_here(job, {"dataset.cache_text": "off", "output.name": "live"})
    assert kept.of(Finished)[-1].reason == live.of(Finished)[-1].reason == "done"
    ours = load_file(kept.run.checkpoints / "cat.safetensors")
    theirs = load_file(live.run.checkpoints / "live.safetensors")
    assert any(n.startswith("lora_te1_") and bool(t.any()) for n, t in ours.items() if "up" in n)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, atol=1e-5), name


def test_t5_is_not_kept_when_it_is_trained(job: dict[str, Any]) -> None:
    job["network"]["train_t5xxl"] = True
    assert "dataset.cache_text" in {problem.path for problem in check(job).errors}


def test_the_estimate_lets_t5_leave(job: dict[str, Any]) -> None:
    parts = {part.name: part for part in summarize(job_of(job)).memory.parts}
    assert parts["T5"].phase == "encoding"
    assert parts["text encoder"].phase == "always"
