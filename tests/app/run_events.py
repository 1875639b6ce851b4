"""Runs made of events, for the tests of the pages of a run."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from app.run_model import RunModel
from app.training_views import TrainingViews
from engine.protocol import (
    Checkpoint,
    Event,
    Hello,
    Sample,
    Step,
    encode,
)
from engine.schema.job import Job
from engine.schema.job_file import save_job


def hello(folder: Path, total: int = 50) -> Hello:
    return Hello(
        run_directory=str(folder), name="otter", architecture="sd1", device="CPU",
        total_steps=total, total_epochs=5, steps_per_epoch=10,
    )  # fmt: skip


def step(number: int, loss: float | None = 0.5) -> Step:
    return Step(
        step=number, epoch=1 + (number - 1) // 10, loss=loss, loss_smooth=0.4,
        learning_rates={"unet": 1e-4 / number}, grad_norm=1.5, seconds=2.0, time=1000.0 + number,
        memory_bytes=2_000_000_000, memory_peak_bytes=3_000_000_000,
    )  # fmt: skip


def model_of(events: list[Event], folder: Path) -> RunModel:
    model = RunModel("otter")
    model.directory = folder
    model.state.apply_all(events)
    return model


def write_run(folder: Path, events: list[Event]) -> Path:
    (folder / "samples").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    job = Job().model_dump()
    job["samples"].update(every_steps=10, every_epochs=None)
    save_job(folder / "job.toml", job)
    for event in events:
        if isinstance(event, Sample):
            shade = (event.step * 5 % 256, event.prompt_index * 20, 90)
            Image.new("RGB", (32, 32), shade).save(folder / event.path)
        if isinstance(event, Checkpoint):
            (folder / event.path).write_bytes(b"x")
    (folder / "events.jsonl").write_bytes(b"".join(encode(event) for event in events))
    return folder


def gallery_events(folder: Path, prompts: int, steps: int) -> list[Event]:
    events: list[Event] = [hello(folder, steps * 10)]
    for column in range(steps):
        at = column * 10
        if at:
            events.append(step(at))
        events += [
            Sample(step=at, path=f"samples/{p}_{at}.png", prompt_index=p, prompt=f"cat {p}", seed=p)
            for p in range(prompts)
        ]
        if at and at % 20 == 0:
            events.append(
                Checkpoint(step=at, path=f"checkpoints/otter-{at}.safetensors", size_bytes=1)
            )
    return events


def opened(qtbot, views: TrainingViews, folder: Path) -> RunModel:
    model = views.runs.open_run(folder)
    qtbot.waitSignal(model.reloaded, timeout=5000).wait()
    qtbot.waitUntil(lambda: bool(model.settings), timeout=5000)
    return model
