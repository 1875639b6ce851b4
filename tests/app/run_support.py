"""A controller over the fake engine, for the tests of runs."""

from __future__ import annotations

import sys
from pathlib import Path

from app.process import EngineCommand
from app.run_model import RunModel
from app.runs import RunController

FAKE = Path(__file__).resolve().parent.parent / "fake_engine.py"
JOB = {"model": {"architecture": "sd1"}, "output": {"name": "cats"}}


def fake(mode: str) -> EngineCommand:
    return EngineCommand(sys.executable, ("-u", str(FAKE), mode), str(FAKE.parent.parent))


def controller(folder: Path, mode: str = "train") -> RunController:
    return RunController(folder, fake(mode))


def run_to_end(qtbot, runs: RunController, data: dict | None = None) -> RunModel:
    with qtbot.waitSignal(runs.run_ended, timeout=20_000) as signal:
        runs.start(data or JOB)
    return signal.args[0]


def wait_step(qtbot, model: RunModel, step: int) -> None:
    qtbot.waitUntil(lambda: model.state.step >= step, timeout=20_000)


def started(runs: RunController, data: dict | None = None) -> RunModel:
    runs.start(data or JOB)
    assert runs.running is not None
    return runs.running


def directory_of(model: RunModel) -> Path:
    assert model.directory is not None
    return model.directory


def set_up() -> EngineCommand:
    """A program that says the engine is installed."""
    script = Path(__file__).with_name("fake_setup.py")
    return EngineCommand(sys.executable, ("-u", str(script), "there"), str(FAKE.parent.parent))
