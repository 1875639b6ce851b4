"""A tiny model, a few pictures and a job on them, for tests that train."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState

from engine.protocol import Event
from engine.schema.check import require
from engine.schema.job import Job
from engine.schema.options import set_at
from engine.training.control import Control
from engine.training.events import Events, ListSink
from engine.training.run import Run, create_run, open_run
from tests.tiny import make_pictures, make_sd1


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model` and seven `pictures` of two shapes."""
    folder = tmp_path_factory.mktemp("tiny")
    make_sd1(folder / "model")
    make_pictures(folder / "pictures", 7, ((64, 64), (96, 48)))
    return folder


@pytest.fixture
def job_data(tiny_set: Path, tmp_path: Path) -> dict[str, Any]:
    """A small job: 3 epochs of 2 steps, the second with a short batch; nothing drawn."""
    return {
        "model": {"path": str(tiny_set / "model")},
        "dataset": {
            "folders": [{"path": str(tiny_set / "pictures")}],
            "resolution": ["64"],
            "bucket_step": 16,
        },
        "network": {"rank": 4, "alpha": 4.0},
        "training": {
            "epochs": 3,
            "batch_size": 2,
            "gradient_accumulation": 2,
            "workers": 0,
            "precision": "fp32",
        },
        "optimizer": {"learning_rate": 1e-3},
        "output": {"directory": str(tmp_path / "runs"), "name": "cat", "precision": "fp32"},
        "samples": {"width": 64, "height": 64, "steps": 2},
        "launch": {"device": "cpu", "cpu_threads": 1},
    }


@pytest.fixture(autouse=True)
def _own_accelerate() -> Iterator[None]:
    """Each training of a test begins as in a process of its own."""
    threads = torch.get_num_threads()
    yield
    AcceleratorState._reset_state()
    PartialState._reset_state()
    torch.set_num_threads(threads)


class Trained:
    """One training in this process: its run folder and what it told."""

    def __init__(self, run: Run, events: list[Event]) -> None:
        self.run, self.events = run, events

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


Train = Callable[..., Trained]


@pytest.fixture
def train_here() -> Train:
    """Train in this process: `train_here(data, {"training.ema": 0.9}, resume=..., on_event=...)`.

    `on_event(event, control)` sees every event as it is told.
    """
    from engine.training.loop import train

    def run_training(
        data: dict[str, Any],
        changes: dict[str, Any] | None = None,
        *,
        resume: Path | None = None,
        on_event: Callable[[Event, Control], None] | None = None,
    ) -> Trained:
        job = job_of(data, changes)
        run = create_run(job) if resume is None else open_run(resume, "cat")
        control, kept = Control(), ListSink()

        class Watcher:
            def write(self, event: Event) -> None:
                if on_event is not None:
                    on_event(event, control)

            def close(self) -> None:
                return

        try:
            finished = train(job, run, Events(kept, Watcher()), control)
        finally:
            run.close()
            AcceleratorState._reset_state()
            PartialState._reset_state()
        return Trained(run, [*kept.events, finished])

    return run_training


def job_of(data: dict[str, Any], changes: dict[str, Any] | None = None) -> Job:
    """The job with some values changed by path."""
    import copy

    tree = copy.deepcopy(data)
    for path, value in (changes or {}).items():
        set_at(tree, path, value)
    return require(tree)
