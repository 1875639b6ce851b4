"""The real engine under the window, on the tiny model (spec: gui 7, checks 3, 18, 19)."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.process import EngineCommand
from app.run_model import RunModel
from app.runs import RunController
from app.training_views import TrainingViews
from engine.schema.job import Job
from tests.app.run_support import directory_of

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN = "import sys; from engine.commands.train import main; sys.exit(main(sys.argv[2:]))"


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> dict:
    from tests.tiny import make_pictures, make_sd1

    folder = tmp_path_factory.mktemp("tiny")
    model, pictures = folder / "model", folder / "pictures"
    model = make_sd1(model) or model
    make_pictures(pictures, 4)
    data = Job().model_dump()
    data["model"].update(architecture="sd1", path=str(model))
    data["dataset"]["folders"] = [{"path": str(pictures)}]
    data["dataset"].update(resolution=["64"], bucket_min=64)
    data["network"].update(rank=2, alpha=2.0)
    data["training"].update(steps=6, epochs=None, batch_size=1, precision="fp32")
    data["launch"].update(device="cpu", cpu_threads=1)
    data["samples"].update(every_steps=3, every_epochs=None, width=64, height=64, steps=2)
    data["samples"]["prompts"] = [{"prompt": "a cat"}]
    data["output"].update(every_steps=3, every_epochs=None, name="tiny", state_at_end=True)
    return data


def make(tmp_path: Path, job: dict) -> tuple[RunController, dict]:
    import sys

    command = EngineCommand(sys.executable, ("-u", "-c", MAIN), str(ROOT))
    data = {**job, "output": {**job["output"], "directory": str(tmp_path / "runs")}}
    return RunController(tmp_path / "state", command), data


def test_check_3_from_train_to_the_file_and_back_into_view(qtbot, tmp_path, job):
    runs, data = make(tmp_path, job)
    views = TrainingViews(runs)
    qtbot.addWidget(views.panel)
    qtbot.addWidget(views.progress)
    views.panel.show()
    with qtbot.waitSignal(runs.run_ended, timeout=120_000) as signal:
        runs.start(data)
    model: RunModel = signal.args[0]
    words = "\n".join(line.text for line in model.log)
    assert model.state.status == "done", words
    assert model.state.columns["step"].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert views.panel.result.isVisible()
    folder = directory_of(model)
    assert folder == tmp_path / "runs" / "tiny"
    files = [model.file(checkpoint.path) for checkpoint in model.state.files()]
    assert all(file is not None and file.stat().st_size > 1000 for file in files)
    assert views.grid.steps == [0, 3, 6]
    # The folder alone tells the same.
    again = runs.open_run(folder)
    qtbot.waitSignal(again.reloaded, timeout=10_000).wait()
    assert again.state.status == "done"
    assert again.state.columns["loss"].values.tolist() == model_losses(model)


def model_losses(model: RunModel) -> list[float]:
    from app.run_folder import state_of

    state, _ = state_of(directory_of(model))
    return state.columns["loss"].values.tolist()


def test_check_19_a_real_run_stops_saves_and_resumes(qtbot, tmp_path, job):
    runs, data = make(tmp_path, job)
    data = {**data, "training": {**data["training"], "steps": 5000}}
    data["samples"] = {**data["samples"], "enabled": False}
    runs.start(data)
    model = runs.running
    assert model is not None
    qtbot.waitUntil(lambda: model.state.step >= 3 or not model.is_live, timeout=120_000)
    with qtbot.waitSignal(runs.run_ended, timeout=60_000):
        runs.send("stop")
    assert model.state.status == "stopped", "\n".join(line.text for line in model.log)
    at = model.state.step
    assert model.state.resume_step == at
    runs.resume(directory_of(model), [("training.steps", at + 2)])
    qtbot.waitSignal(runs.run_ended, timeout=120_000).wait()
    assert model.state.status == "done", "\n".join(line.text for line in model.log)
    assert model.state.columns["step"].values.tolist() == list(range(1, at + 3))
