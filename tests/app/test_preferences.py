"""Preferences, what a preset changes, the machine's figures, and the menus' room."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app import optimizer_needs
from app.device import Device, Machine, cards_in
from app.dialogs import Question
from app.menus import Entry
from app.optimizer_needs import unusable_optimizers
from app.plan_tiles import tiles_of
from app.preferences import PreferencesDialog
from app.run_defaults import with_run_defaults
from app.settings import Settings
from app.theme import switch
from app.training_room import TrainingRoom
from app.widgets.changes_table import ChangesTable
from app.widgets.check import CheckBox
from app.widgets.number import NumberEdit
from app.widgets.path import PathEdit
from app.widgets.segmented import Segmented
from app.widgets.text import TextEdit
from app.window import MainWindow
from tests.app.run_support import controller, set_up

CARD = Device("RTX 4090", 24 * 10**9, is_nvidia=True)
HOST = Device("CPU", 32 * 10**9)


@pytest.fixture
def room(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> TrainingRoom:
    made = TrainingRoom(window, controller(tmp_path / "state"), set_up())
    qtbot.waitUntil(lambda: made.setup.status.state != "unknown", timeout=10_000)
    return made


def test_every_preference_counts_at_once_and_is_kept(room: TrainingRoom, tmp_path: Path) -> None:
    window = room.window
    dialog = room.show_preferences()
    theme, side = dialog.editors["theme"], dialog.editors["thumbnail_side"]
    assert isinstance(theme, Segmented)
    theme.edited.emit("dark")
    assert switch().tokens.dark
    side.edited.emit(240)  # pyright: ignore[reportAttributeAccessIssue]
    assert room.dataset.grid.side == 240
    assert room.dataset.grid.gridSize().width() > 240
    folder, threads = dialog.editors["run/folder"], dialog.editors["run/threads"]
    assert isinstance(folder, PathEdit)
    folder.edited.emit(str(tmp_path / "runs"))
    assert isinstance(threads, NumberEdit)
    threads.edited.emit(3)
    tells = dialog.editors["tells_end"]
    assert isinstance(tells, CheckBox)
    tells.click()
    assert room.tray.tells is False
    window.settings.sync()
    again = Settings()
    assert again.get("run/threads", None) == 3
    assert again.get("thumbnail_side", 0) == 240
    dialog.reset()
    assert not switch().tokens.dark
    assert room.dataset.grid.side == 128
    assert window.settings.get("run/folder", None) is None
    dialog.close()


def test_the_preferences_fit_a_small_window_and_name_every_editor(room: TrainingRoom) -> None:
    for percent in (100, 200):
        switch().apply(text_percent=percent)
        dialog = PreferencesDialog(room.window.settings)  # it goes when it is closed
        dialog.show()
        assert dialog.minimumSizeHint().width() <= 960
        assert dialog.minimumSizeHint().height() <= 560
        for key, editor in dialog.editors.items():
            parts = [editor, *editor.findChildren(QWidget)]
            for part in parts:
                if part.focusPolicy() != Qt.FocusPolicy.NoFocus:
                    words = part.text() if isinstance(part, CheckBox) else part.accessibleName()
                    assert words, key
        dialog.accept()


def test_a_run_takes_the_preferences_where_its_job_says_nothing(home: Path) -> None:
    settings = Settings()
    settings.set("run/folder", "/runs")
    settings.set("run/device", "cuda:1")
    plain = {"output": {"directory": None}, "launch": {"device": "auto", "cpu_threads": 2}}
    job = with_run_defaults(plain, settings)
    assert job["output"]["directory"] == "/runs"
    assert job["launch"] == {"device": "cuda:1", "cpu_threads": 2}
    assert plain["launch"]["device"] == "auto"
    own = {"output": {"directory": "/mine"}, "launch": {"device": "cpu"}}
    assert with_run_defaults(own, settings) == own | {
        "output": {"directory": "/mine"}, "launch": {"device": "cpu"},
    }  # fmt: skip


def test_a_preset_shows_its_changes_before_it_replaces_ones_own(window: MainWindow) -> None:
    document, box = window.document, window.tool_bar.preset
    document.set("network.rank", 5)
    before = box.currentText()
    box.edited.emit("Style, 8 GB")
    question = window.findChild(Question)
    assert question is not None
    assert document.get("network.rank") == 5
    assert box.currentText() == before
    table = question.findChild(ChangesTable)
    assert table is not None
    model = table.changes
    rows = [tuple(model.index(r, c).data() for c in range(3)) for r in range(model.rowCount())]
    assert ("Rank  ·  Network", "5", "32") in rows
    paths = [p for p, _ in document.changes_by_preset(window.store.named("sd1", "Style, 8 GB"))]  # pyright: ignore
    assert len(rows) == len(paths)
    question.reject()
    assert document.get("network.rank") == 5
    box.edited.emit("Style, 8 GB")
    question = window.findChildren(Question)[-1]
    question.buttons[0].click()
    assert document.get("network.rank") == 32
    assert window.tool_bar.preset.currentText() == "Style, 8 GB"
    assert document.changes_by_preset(document.preset) == []
    document.undo_stack.undo()
    assert document.get("network.rank") == 5


def test_without_own_changes_or_by_choice_a_preset_is_loaded_at_once(window: MainWindow) -> None:
    window.tool_bar.preset.edited.emit("Style, 8 GB")
    assert window.findChild(Question) is None
    assert window.document.get("network.rank") == 32
    window.document.set("network.rank", 5)
    window.settings.set("asks_before_preset", False)
    window.tool_bar.preset.edited.emit("First steps, 6 GB")
    assert window.findChild(Question) is None
    assert window.document.get("network.rank") != 5


def test_the_plan_says_of_how_much_memory_and_in_which_precision(window: MainWindow) -> None:
    window.plan_model.compute()
    window.set_machine(Machine((CARD,), HOST))
    tiles = {tile.key: tile for tile in window.plan_bar.tiles.tiles}
    assert tiles["memory"].figure.endswith(" of 24 GB")
    assert tiles["file"].meaning == "file, bf16"
    assert not tiles["memory"].wrong
    window.document.set("launch.device", "cpu")
    QApplication.processEvents()
    tiles = {tile.key: tile for tile in window.plan_bar.tiles.tiles}
    assert tiles["memory"].figure.endswith(" of 32 GB")
    plan = window.plan_model.plan
    assert plan is not None
    small = {t.key: t for t in tiles_of(plan, "fp16", 10**9)}
    assert small["memory"].wrong
    assert small["memory"].meaning == "memory, too much"


def test_cards_are_read_from_the_drivers_lines() -> None:
    text = "NVIDIA GeForce RTX 4090, 24564\nNVIDIA H100 80GB HBM3, 81559\nfailed\n"
    cards = cards_in(text)
    assert [c.name for c in cards] == ["RTX 4090", "H100 80GB HBM3"]
    assert cards[0].memory_bytes == 24564 * 1024**2
    machine = Machine(cards, HOST)
    assert machine.device("auto") is cards[0]
    assert machine.device("cuda:1") is cards[1]
    assert machine.device("cpu") is HOST
    assert Machine((), HOST).device("cuda:0") is HOST


def test_optimizers_that_cannot_run_here_are_grey_and_say_why(
    room: TrainingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer_needs, "_is_installed", lambda p: p != "prodigyopt")
    reasons = unusable_optimizers(False)
    assert reasons["Prodigy"] == "needs prodigyopt"
    assert reasons["AdamW8bit"] == "needs an NVIDIA card"
    assert "AdamW" not in reasons
    assert "AdamW8bit" not in unusable_optimizers(None)
    form = room.window.form
    form.set_unusable("optimizer.name", reasons)
    row = form.row_at("optimizer.name")
    assert row is not None
    assert isinstance(row.editor, TextEdit)
    model = row.editor.line.completer().model()
    assert isinstance(model, QStandardItemModel)
    items = {model.item(i).text(): model.item(i) for i in range(model.rowCount())}
    assert not items["AdamW8bit"].flags() & Qt.ItemFlag.ItemIsEnabled
    assert items["AdamW8bit"].toolTip() == "needs an NVIDIA card"
    assert items["AdamW"].flags() & Qt.ItemFlag.ItemIsEnabled
    assert items["AdamW"].toolTip() == ""


def test_other_parts_put_entries_into_the_menus(room: TrainingRoom) -> None:
    pressed: list[str] = []
    room.menus.add_menus(
        "tools", [Entry("blend", "Blend…", lambda: pressed.append("blend"), "Ctrl+M"), None]
    )
    room.menus.add_menus("file", [Entry("import", "Import…", lambda: pressed.append("import"))])
    tools = [a.text() for a in room.menus._menus["tools"].actions()]
    assert tools[0] == "Inspect a LoRA…"
    assert tools[-3:] == ["Blend…", "", "Doctor"]
    names = [a.text() for a in room.menus._menus["file"].actions()]
    assert names[-3:] == ["Import…", "", "Quit"]
    room.menus.actions["blend"].trigger()
    room.menus.actions["import"].trigger()
    assert pressed == ["blend", "import"]


def test_an_optimizer_that_cannot_run_here_is_warned_of_and_never_blocks(
    room: TrainingRoom, qtbot: QtBot
) -> None:
    qtbot.waitUntil(lambda: room.devices.machine is not None, timeout=5000)
    room.devices.machine = Machine((), HOST)
    room.devices.found.emit()
    document = room.window.document
    document.set("optimizer.name", "AdamW8bit")
    warned = [p for p in document.problems if p.path == "optimizer.name"]
    assert [p.severity for p in warned] == ["warning"]
    assert warned[0].message.startswith("AdamW8bit needs an NVIDIA card")
    room.window.form.apply_fix(warned[0])
    assert document.get("optimizer.name") == "AdamW"
    assert not [p for p in document.problems if p.path == "optimizer.name"]
