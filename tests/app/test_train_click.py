"""The whole way, as a person goes it: from a click on Train to the finished adapter."""

from __future__ import annotations

import sys
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.process import EngineCommand
from app.runs import RunController
from app.training_room import TrainingRoom
from app.window import MainWindow
from engine.schema.job import Job
from tests.tiny import make_pictures, make_sd1

ROOT = Path(__file__).resolve().parents[2]
# `main.py` without its look at .venv, which the tests do not need to be in.
MAIN = """
import sys
if sys.argv[1] == "setup":
    sys.exit(0)
from engine.commands.train import main
sys.exit(main(sys.argv[2:]))
"""


def test_from_a_click_on_train_to_the_finished_adapter(
    window: MainWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    command = EngineCommand(sys.executable, ("-u", "-c", MAIN), str(ROOT))
    runs = RunController(tmp_path / "state", command, window)
    room = TrainingRoom(window, runs, command)
    assert not window.tool_bar.train.isEnabled()
    model = tmp_path / "model"
    model = make_sd1(model) or model
    make_pictures(tmp_path / "pictures", 4)
    data = Job().model_dump()
    data["model"]["path"] = str(model)
    data["dataset"]["folders"] = [{"path": str(tmp_path / "pictures")}]
    data["dataset"].update(resolution=["64"], bucket_min=64, validation_share=0.25)
    data["network"].update(rank=2, alpha=2.0)
    data["training"].update(steps=4, precision="fp32", validate_every_steps=2)
    data["launch"].update(device="cpu", cpu_threads=1)
    data["samples"].update(width=64, height=64, steps=2, prompts=[{"prompt": "a cat"}])
    data["output"].update(name="tiny", directory=str(tmp_path / "runs"))
    window.document.replace(data, "tiny")
    qtbot.waitUntil(lambda: room.setup.is_ready, timeout=20_000)
    qtbot.waitUntil(lambda: window.tool_bar.train.isEnabled(), timeout=20_000)
    with qtbot.waitSignal(runs.run_ended, timeout=180_000) as ended:
        QTest.mouseClick(window.tool_bar.train, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: runs.is_busy, timeout=20_000)
        assert window.plan_bar.standing.kind == "training"
    run = ended.args[0]  # pyright: ignore[reportOptionalSubscript]
    log = "\n".join(line.text for line in run.log)
    assert run.state.status == "done", log
    adapter = tmp_path / "runs" / "tiny" / "checkpoints" / "tiny.safetensors"
    assert adapter.stat().st_size > 1000
    assert run.state.columns["step"].values.tolist() == [1, 2, 3, 4]
    assert window.work.current == "progress"
    assert room.views.panel.result.isVisible()
    assert window.tool_bar.train.isEnabled()  # ready for the next one
    room.dataset.close_down()
