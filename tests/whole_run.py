"""One training through the real engine process; its adapter put on the model anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.architectures import load
from engine.architectures.architecture import Loading
from engine.networks import attach_file
from engine.protocol import Event, Failure, Finished, Sample, Step
from engine.schema.check import require
from engine.schema.job import Job
from engine.schema.job_file import save_job
from engine.training.preview import resolve_prompts
from tests.training.test_train_command import engine, follow

PROMPT = "a disc on a plain ground"


@dataclass(frozen=True)
class WholeRun:
    """A finished run: its job, its folder and what it told."""

    job: Job
    folder: Path
    events: list[Event]

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def pictures(self) -> list[np.ndarray]:
        """The previews in the order in which they were drawn, (h, w, 3)."""
        return [np.asarray(Image.open(self.folder / e.path)) for e in self.of(Sample)]

    @property
    def adapter(self) -> Path:
        """The file that the run ends with."""
        return self.folder / "checkpoints" / f"{self.job.output.name}.safetensors"


def whole_run(model: dict[str, Any], pictures: Path, folder: Path, **tables: Any) -> WholeRun:
    """Train two steps on kept latents and captions, with a preview before and after.

    Args:
        model: the job's `[model]` table.
        pictures: a folder of pictures with captions.
        folder: for the job and the run.
        tables: further values, by table: `network={"rank": 2}`.
    """
    data: dict[str, Any] = {
        "model": model,
        "dataset": {
            "folders": [{"path": str(pictures)}],
            "resolution": ["64"],
            "bucket_step": 32,
            "cache_latents": "memory",
            "cache_text": "memory",
            "cache_precision": "fp32",
        },
        "network": {"rank": 4, "alpha": 4.0, "train": "denoiser"},
        "training": {
            "steps": 2, "batch_size": 2, "workers": 0, "precision": "fp32",
            "gradient_checkpointing": True,
        },
        "optimizer": {"learning_rate": 1e-2},
        "samples": {
            "prompts": [{"prompt": PROMPT, "negative": "blurry"}], "width": 64, "height": 64,
            "steps": 2, "cfg": 3.0, "every_epochs": None,
        },
        "output": {"directory": str(folder / "runs"), "name": "disc", "precision": "fp32"},
        "launch": {"device": "cpu", "cpu_threads": 1},
    }  # fmt: skip
    for name, values in tables.items():
        data[name] = data.get(name, {}) | values
    job = require(data)
    save_job(folder / "job.toml", job.model_dump())
    with engine(folder / "job.toml", "--run-directory", folder / "run") as process:
        events = follow(process)
    return WholeRun(job, folder / "run", events)


def check_whole_run(run: WholeRun) -> None:
    """Hold the run against what a person counts on: it learns, saves, and draws alike again."""
    assert run.of(Failure) == []
    assert run.of(Finished)[-1].reason == "done"
    assert all(np.isfinite(step.loss) and step.grad_norm > 0 for step in run.of(Step))
    before, after = run.pictures()
    assert (before != after).any(), "the adapter changes nothing in the preview"
    assert (before.min(), before.max()) != (0, 0), "the preview is black"
    again = draw_again(run)
    assert np.abs(again.astype(int) - after.astype(int)).max() <= 1


@torch.no_grad()
def draw_again(run: WholeRun, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """Load the base model anew, put the saved adapter on it and draw the first prompt."""
    job = run.job
    model = load(Loading(job.model.architecture, job.model, torch.device("cpu"), dtype))
    handle = attach_file(model.architecture, model.components, run.adapter)
    assert handle.unused == ()
    preview = resolve_prompts(job.samples)[0]
    text, negative = model.encode_prompts([preview.prompt, preview.negative])
    return np.asarray(model.preview(preview.request, text, negative))
