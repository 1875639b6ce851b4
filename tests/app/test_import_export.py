"""Other trainers' settings in the window: menu, drop, paste, report, export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.drop import look_at_drop
from app.export_settings import ExportCommands
from app.field_text import FieldText, apply_pasted
from app.import_settings import ImportCommands, ImportQuestion
from app.pasted import read_settings
from app.training_room import TrainingRoom
from app.widgets.notice import Notice
from app.window import MainWindow
from tests.app.run_support import controller, set_up
from tests.interop.test_ai_toolkit import CONFIG
from tests.interop.test_kohya_ss import PRESET
from tests.interop.test_lets import FILE


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "my preset.json"
    path.write_text(json.dumps(PRESET))
    return path


def question(qtbot: QtBot, window: MainWindow) -> ImportQuestion:
    def shown() -> bool:
        return bool(window.findChildren(ImportQuestion))

    qtbot.waitUntil(shown, timeout=5000)
    return window.findChildren(ImportQuestion)[0]


def test_a_preset_is_taken_over_after_its_report_was_seen(
    qtbot: QtBot, window: MainWindow, preset: Path
) -> None:
    document = window.document
    former = document.get("network.rank")
    ImportCommands(window).import_path(preset)
    asked = question(qtbot, window)
    assert document.get("network.rank") == former
    branches = [asked.tree.topLevelItem(i) for i in range(asked.tree.topLevelItemCount())]
    heads = [branch.text(0) for branch in branches if branch is not None]
    assert heads[0].startswith("Without a counterpart")
    assert any(head.startswith("Taken as they are") for head in heads)
    asked.buttons[0].click()
    assert (document.architecture, document.get("network.rank")) == ("sdxl", 32)
    assert document.get("dataset.folders")[0]["path"] == "/pictures"
    assert document.path is None
    assert document.undo_stack.count() == 1
    document.undo_stack.undo()
    assert document.get("network.rank") == former


def test_what_is_nobodys_is_told_and_changes_nothing(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text('{"hello": "world"}')
    before = window.document.snapshot()
    ImportCommands(window).import_path(tmp_path / "a.json")
    qtbot.waitUntil(lambda: bool(window.work.findChildren(Notice)), timeout=5000)
    assert not window.findChildren(ImportQuestion)
    assert window.document.snapshot() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", json.dumps(PRESET)), ("a.yaml", CONFIG), ("a.toml", FILE),
     ("a.sh", "accelerate launch train_network.py --network_dim=4")],
)  # fmt: skip
def test_a_drop_of_foreign_settings_is_known(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert look_at_drop([tmp_path / name]).kind == "foreign"


def test_the_menu_and_a_drop_reach_the_import(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, preset: Path
) -> None:
    room = TrainingRoom(window, controller(tmp_path / "state"), set_up())
    assert {"import", "export_sd_scripts", "copy_command"} <= set(room.menus.actions)
    room.files.take_drop([preset])
    dropped = question(qtbot, window)
    assert "my preset.json" in dropped.windowTitle()
    dropped.reject()
    qtbot.waitUntil(lambda: not window.findChildren(ImportQuestion), timeout=5000)
    room.files.open_file(preset)
    question(qtbot, window).buttons[0].click()
    assert window.document.get("network.rank") == 32
    job = tmp_path / "job.toml"
    window.document.save(job)
    window.document.set("network.rank", 8)
    window.document.mark_saved(None)
    room.files.open_file(job)
    qtbot.waitUntil(lambda: window.document.get("network.rank") == 32, timeout=5000)


@pytest.mark.parametrize(("text", "rank"), [(json.dumps(PRESET), 32), (CONFIG, 16), (FILE, 16)])
def test_foreign_settings_are_pasted_too(window: MainWindow, text: str, rank: int) -> None:
    apply_pasted(window.document, read_settings(text, "sd1"))
    assert window.document.get("network.rank") == rank


def test_a_piece_of_a_command_changes_only_what_it_names(window: MainWindow) -> None:
    document = window.document
    document.set("optimizer.learning_rate", 3e-4)
    apply_pasted(document, read_settings("--network_dim 12 --flip_aug", document.architecture))
    assert document.get("network.rank") == 12
    assert document.get("dataset.folders")[0]["flip"] == 0.5
    assert document.get("optimizer.learning_rate") == 3e-4


def test_the_job_is_written_for_sd_scripts_and_comes_back(
    window: MainWindow, tmp_path: Path
) -> None:
    window.document.set("network.rank", 24)
    exports = ExportCommands(window)
    exports.write(tmp_path / "out")
    exports.write(tmp_path / "out")  # into a folder of its own, as there is one already
    assert (tmp_path / "out" / "for sd-scripts" / "train.sh").is_file()
    exports.copy_command()
    copied = QGuiApplication.clipboard().text()
    assert copied == (tmp_path / "out" / "train.sh").read_text()
    assert dict(read_settings(copied).taken)["network.rank"] == 24
    QApplication.processEvents()


def test_a_field_is_copied_as_text_that_pastes_back(window: MainWindow) -> None:
    window.document.set("network.rank", 20)
    text = FieldText(window).toml_of("network.rank")
    assert dict(read_settings(text).taken) == {"network.rank": 20}
