"""What some encoders say is kept while others learn: the adapter is as with all run each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.plan.summary import summarize
from engine.protocol import Finished, Step
from engine.schema.check import check
from engine.schema.text_encoders import live_encoders
from tests.tiny_sets import MAKERS
from tests.training.conftest import Train, job_of

CASES = {
    # architecture, rates, which learns, what rests
    "flux": ("flux", None, "te1", ("T5-XXL",)),
    "sd3": ("sd3", None, "te1", ("T5-XXL",)),
    "sd3 OpenCLIP-G": ("sd3", [0.0, 1e-3], "te2", ("CLIP-L", "T5-XXL")),
    "sdxl CLIP-L": ("sdxl", [1e-3, 0.0], "te1", ("OpenCLIP-G",)),
    "sdxl OpenCLIP-G": ("sdxl", [0.0, 1e-3], "te2", ("CLIP-L",)),
}


@pytest.fixture
def job(case: str, job_data: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    architecture, rates, *_ = CASES[case]
    path = MAKERS[architecture](tmp_path / "model")
    job_data["model"] = {"architecture": architecture, "path": str(path)}
    job_data["network"]["train"] = "both"
    job_data["optimizer"]["text_encoder_lr"] = rates
    job_data["dataset"] |= {"cache_text": "memory", "cache_precision": "fp32"}
    job_data["training"] |= {"epochs": None, "steps": 3, "batch_size": 1}  # kept one by one
    job_data["samples"]["prompts"] = [{"prompt": "a disc"}]
    return job_data


@pytest.mark.parametrize("case", CASES)
def test_the_adapter_is_the_same(case: str, job: dict[str, Any], train_here: Train) -> None:
    """training-sd-flux 2: CLIP live, T5 kept; of SDXL the CLIP at rate 0."""
    learns = CASES[case][2]
    kept = train_here(job)
    live = train_here(job, {"dataset.cache_text": "off", "output.name": "live"})
    assert kept.of(Finished)[-1].reason == live.of(Finished)[-1].reason == "done"
    losses = [[step.loss for step in run.of(Step)] for run in (kept, live)]
    assert len(losses[0]) == 3
    assert losses[0] == losses[1]
    ours = load_file(kept.run.checkpoints / "cat.safetensors")
    theirs = load_file(live.run.checkpoints / "live.safetensors")
    learned = {n.split("_")[1] for n, t in ours.items() if "lora_up" in n and bool(t.any())}
    assert learned == {learns, "unet"} | ({"te2"} if case == "sd3" else set())
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("case", ["flux", "sd3"])
def test_t5_is_not_kept_when_it_is_trained(case: str, job: dict[str, Any]) -> None:
    job["network"]["train_t5xxl"] = True
    assert "dataset.cache_text" in {problem.path for problem in check(job).errors}


@pytest.mark.parametrize("case", ["sdxl CLIP-L"])
@pytest.mark.parametrize(
    ("path", "value"),
    [("optimizer.text_encoder_lr", [1e-3]), ("network.start_from", "cat.safetensors"),
     ("network.network_reg_lrs", "te2=1e-4")],
)  # fmt: skip
def test_an_encoder_whose_adapters_act_is_not_kept(
    case: str, job: dict[str, Any], path: str, value: object
) -> None:
    """At rate 0 an adapter may still come from a file, or have layers with rates of their own."""
    assert live_encoders(job_of(job)) == (0,)
    table, key = path.split(".")
    job[table][key] = value
    assert "dataset.cache_text" in {problem.path for problem in check(job).errors}


@pytest.mark.parametrize("case", CASES)
def test_the_estimate_lets_them_leave(case: str, job: dict[str, Any]) -> None:
    parts = {part.name: part for part in summarize(job_of(job)).memory.parts}
    for name in CASES[case][3]:
        assert parts[name].phase == "encoding"
        assert parts[name].high > 0
    assert parts["text encoder"].phase == "always"
    assert parts["text encoder"].low > 0
