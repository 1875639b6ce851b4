"""Inspect: what a file holds, drawn by block, its metadata, and a job made of its settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.dialogs import Question
from app.theme import switch
from app.tools_dialog import ToolDialog
from app.tools_inspect import InspectDialog
from app.tools_menu import ToolsMenu
from app.tools_places import places_of
from app.tools_settings import ask_to_use, settings_of
from app.training_room import TrainingRoom
from app.widgets.button import IconButton
from app.widgets.changes_table import ChangesTable
from app.window import MainWindow
from tests.app.run_support import controller, set_up
from tests.app.tool_files import ATTENTION, MIDDLE, RESNET, fake, told, write_adapter

FLUX = {
    "lora_unet_double_blocks_3_img_attn_qkv": 4,
    "lora_unet_double_blocks_3_txt_mlp_0": 16,
    "lora_unet_single_blocks_37_linear1": 8,
}


def inspecting(
    qtbot: QtBot, tmp_path: Path, parent: QWidget | None = None, **changes: Any
) -> InspectDialog:
    said = tmp_path / "said.json"
    said.write_text(json.dumps(told(**changes)), encoding="utf-8")
    dialog = InspectDialog(tmp_path / "cat.safetensors", fake(str(said)), parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(lambda: dialog.found is not None, timeout=10_000)
    return dialog


def test_the_facts_are_told_and_the_layers_listed(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = inspecting(qtbot, tmp_path, hash_matches=False, unknown_keys=["odd.key"],
                        without_alpha=3, variants=["DoRA"])  # fmt: skip
    facts = dialog.contents.told
    assert facts["For"].startswith("SD 1.x: ")
    assert facts["Holds"] == "2 layers, 1,234 numbers"
    assert facts["Kind"] == "DoRA"
    assert "NOT what the file states" in facts["Hash"]
    assert "odd.key" in facts["Unknown"]
    assert "3 layers" in facts["Alpha"]
    assert dialog.contents.groups.rows() == [
        ["IN04", "1", "4", "2", "0.5000"], ["MID", "1", "4–8", "2", "0.2500"],
    ]  # fmt: skip
    assert ["rank", "24"] in dialog.training.rows()


def test_the_block_editor_draws_the_ranks_and_changes_nothing(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = inspecting(qtbot, tmp_path, layers={ATTENTION: 4, MIDDLE: 8, RESNET: 2})
    editor = dialog.contents.editor
    assert editor.isVisible()
    assert not dialog.contents.map.isVisible()
    linear = editor.values("linear")
    assert (linear[4], linear[12], sum(linear)) == (4, 8, 12)
    assert editor.values("conv")[12] == 2
    with qtbot.assertNotEmitted(editor.edited):
        spot = QPoint(editor.width() // 2, 20)
        QTest.mousePress(editor, Qt.MouseButton.LeftButton, pos=spot)
        QTest.mouseMove(editor, spot + QPoint(40, 30))
        QTest.mouseRelease(editor, Qt.MouseButton.LeftButton, pos=spot)
        for key in (Qt.Key.Key_Up, Qt.Key.Key_Delete, Qt.Key.Key_5):
            QTest.keyClick(editor, key)
    assert editor.values("linear") == linear
    editor.pointed.emit(12)
    assert dialog.contents.readout.text().startswith("MID")
    assert "rank 8" in dialog.contents.readout.text()
    assert "3×3 rank 2" in dialog.contents.readout.text()


def test_like_blocks_are_drawn_as_a_map(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = inspecting(qtbot, tmp_path, architecture="flux", layers=FLUX)
    assert dialog.contents.map.isVisible()
    assert not dialog.contents.editor.isVisible()
    places = dialog.contents.places
    assert places is not None
    assert places.map is not None
    ranks = {at: cell.rank for at, cell in places.map.cells.items() if cell.rank}
    assert ranks == {(0, "img_attn", 3): 4, (0, "txt_mlp", 3): 16, (1, "single", 37): 8}
    dialog.contents.map.pointed.emit(1, "single", 37)
    assert dialog.contents.readout.text().startswith("single block 37")
    assert "rank 8" in dialog.contents.readout.text()


def test_the_variant_with_most_of_the_layers_is_drawn() -> None:
    layers = [{"name": "lora_unet_joint_blocks_37_x_block_attn_qkv", "rank": 4, "alpha": 4.0}]
    places = places_of("sd3", layers)
    assert places is not None
    assert places.map is not None
    assert sum(cell.rank for cell in places.map.cells.values()) == 4
    assert places_of(None, layers) is None


def test_metadata_is_searched_read_and_copied(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = inspecting(qtbot, tmp_path)
    QTest.keyClick(dialog, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert dialog.tabs.current == "metadata"
    table = dialog.metadata
    assert len(table.shown_keys) == 6
    table.search.line.setText("10_CAT")  # in a value
    assert table.shown_keys == ["ss_dataset_dirs"]
    assert '"n_repeats": 10,' in table.whole.toPlainText()
    table.copy.click()
    assert json.loads(QGuiApplication.clipboard().text()) == {
        "10_cat": {"n_repeats": 10, "img_count": 12}
    }
    table.search.line.setText("nothing like it")
    assert table.shown_keys == []
    assert not table.copy.isEnabled()
    table.copy_all.click()
    assert json.loads(QGuiApplication.clipboard().text())["ss_seed"] == "77"


def test_a_file_that_cannot_be_read_says_why(qtbot: QtBot, tmp_path: Path) -> None:
    broken = InspectDialog(tmp_path / "cat.safetensors", fake(str(tmp_path / "none.json")))
    qtbot.addWidget(broken)
    broken.show()
    qtbot.waitUntil(broken.message.isVisible, timeout=10_000)
    assert "No such file" in broken.message.label.text()
    assert not broken.pages.isVisible()
    assert not broken.use.isVisible()


def test_a_file_without_a_word_of_its_training_offers_no_settings(
    qtbot: QtBot, tmp_path: Path
) -> None:
    dialog = inspecting(qtbot, tmp_path, metadata={"format": "pt"})
    assert not dialog.use.isEnabled()
    assert "nothing of its training" in dialog._notes.text()


@pytest.mark.parametrize("percent", [100, 200])
def test_it_fits_a_small_screen_and_names_what_the_keyboard_reaches(
    percent: int, qtbot: QtBot, tmp_path: Path
) -> None:
    switch().apply(text_percent=percent)
    dialog = inspecting(qtbot, tmp_path)
    QApplication.processEvents()
    assert dialog.minimumSizeHint().width() <= 960
    assert dialog.minimumSizeHint().height() <= 600
    dialog.resize(960, 600)
    QApplication.processEvents()
    inside = dialog.contents.widget()
    assert inside is not None
    assert inside.width() <= dialog.contents.viewport().width()
    for page in ("contents", "training", "metadata"):
        dialog.show_page(page)
        for widget in dialog.findChildren(QWidget):
            if widget.focusPolicy().value & 1 and widget.isVisible() and not widget.focusProxy():
                assert widget.accessibleName() or getattr(widget, "text", str)(), type(widget)
    switch().apply(text_percent=100)


# --- a job of it -----------------------------------------------------------------------------


@pytest.fixture
def room(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> TrainingRoom:
    made = TrainingRoom(window, controller(tmp_path / "state"), set_up())
    qtbot.waitUntil(lambda: made.setup.is_ready, timeout=10_000)
    return made


def test_the_settings_become_the_job_after_a_look(room: TrainingRoom, tmp_path: Path) -> None:
    document = room.window.document
    document.set("model.path", "/models/mine.safetensors")
    document.set("dataset.folders", [{"path": str(tmp_path)}])
    document.end_merging()
    found = settings_of(told())
    assert found is not None
    question = ask_to_use(room.window, room.files, Path("cat.safetensors"), found)
    table = question.findChild(ChangesTable)
    assert isinstance(table, ChangesTable)
    rows = {row[0].partition("  ·")[0]: row[1:] for row in table.changes._rows}
    assert rows["Rank"][1] == "24"
    assert rows["3×3 conv rank"][1] == "6"
    assert document.get("network.rank") != 24
    question.buttons[0].click()
    assert document.get("network.rank") == 24
    assert document.get("network.alpha") == 12
    assert document.get("network.conv_dim") == 6
    assert document.get("network.train") == "denoiser"
    assert document.get("training.seed") == 77
    assert document.get("model.path") == "/models/mine.safetensors"
    assert document.get("dataset.folders[0].path") == str(tmp_path)
    assert document.path is None
    again = ask_to_use(room.window, room.files, Path("cat.safetensors"), found)
    assert again.buttons == []
    again.reject()
    document.undo_stack.undo()
    assert document.get("network.rank") != 24


def test_another_architecture_comes_with_its_settings(room: TrainingRoom) -> None:
    metadata = {"ss_base_model_version": "flux1", "ss_network_dim": "6"}
    found = settings_of(told("flux", FLUX, metadata=metadata))
    assert found is not None
    ask_to_use(room.window, room.files, Path("cat.safetensors"), found).buttons[0].click()
    assert room.window.document.architecture == "flux"
    assert room.window.document.get("network.rank") == 6


# --- the menu --------------------------------------------------------------------------------


def test_the_menu_has_every_tool(room: TrainingRoom, qtbot: QtBot) -> None:
    texts = [a.text() for a in room.menus._menus["tools"].actions() if a.text()]
    assert texts == ["Inspect a LoRA…", "Convert…", "Resize…", "Extract from DyLoRA…", "Merge…",
                     "Doctor"]  # fmt: skip
    for key, title in (("convert", "Convert a LoRA"), ("merge", "Merge LoRAs")):
        room.menus.actions[key].trigger()
        dialog = room.window.findChildren(ToolDialog)[-1]
        assert dialog.windowTitle() == title
        room.menus.actions[key].trigger()
        assert len(room.window.findChildren(ToolDialog)) == 1
        dialog.close()
        qtbot.waitUntil(lambda: not room.window.findChildren(ToolDialog), timeout=5000)


def test_a_dropped_lora_is_inspected_and_handed_on(
    room: TrainingRoom, qtbot: QtBot, tmp_path: Path
) -> None:
    said = tmp_path / "said.json"
    said.write_text(json.dumps(told()), encoding="utf-8")
    room.tools._command = fake(str(said))
    file = write_adapter(tmp_path / "cat.safetensors")
    room.window.files_dropped.emit([file])
    qtbot.waitUntil(lambda: bool(room.window.findChildren(InspectDialog)), timeout=5000)
    dialog = room.window.findChildren(InspectDialog)[0]
    qtbot.waitUntil(lambda: dialog.found is not None, timeout=10_000)
    assert dialog.path == file
    actions = {a.text(): a for a in dialog.menu.actions()}
    actions["Resize…"].trigger()
    tool = room.window.findChildren(ToolDialog)[0]
    qtbot.waitUntil(lambda: tool.panel.arguments()[0] == str(file), timeout=5000)
    actions["Continue training from it"].trigger()
    assert room.window.document.get("network.start_from") == str(file)
    actions["Copy hash"].trigger()
    assert QGuiApplication.clipboard().text() == "ab" * 32
    dialog.use.click()
    assert "Train like cat.safetensors?" in [
        q.windowTitle() for q in room.window.findChildren(Question)
    ]


def test_without_the_engine_it_is_offered_first(room: TrainingRoom) -> None:
    asked: list[Any] = []
    tools = ToolsMenu(room.window, room.files, room.setup, asked.append, fake("done"))
    room.setup._put(type(room.setup.status)("missing"))
    tools.open("convert")
    assert not room.window.findChildren(ToolDialog)
    question = room.window.findChildren(Question)[-1]
    assert question.windowTitle() == "Install the engine?"
    question.buttons[0].click()
    assert len(asked) == 1
    asked[0]()
    assert room.window.findChildren(ToolDialog)[0].windowTitle() == "Convert a LoRA"


def test_the_window_asks_before_it_closes_over_a_tool_at_work(
    room: TrainingRoom, qtbot: QtBot, tmp_path: Path
) -> None:
    room.tools._command = fake("slow")
    room.tools.open("resize", [write_adapter(tmp_path / "cat.safetensors", (16,))])
    dialog = room.window.findChildren(ToolDialog)[0]
    qtbot.waitUntil(dialog.run_button.isEnabled, timeout=5000)
    dialog.run()
    qtbot.waitUntil(lambda: "of 12" in dialog.bar.words, timeout=10_000)
    room.window.close()
    assert room.window.isVisible()
    dialog.findChildren(Question)[-1].reject()
    assert dialog.is_working
    room.window.close()
    dialog.findChildren(Question)[-1].buttons[0].click()
    qtbot.waitUntil(lambda: not room.window.isVisible(), timeout=10_000)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_files_dropped_on_a_tool_are_used(room: TrainingRoom, qtbot: QtBot, tmp_path: Path) -> None:
    file = write_adapter(tmp_path / "cat.safetensors")
    room.tools.open("convert")
    dialog = room.window.findChildren(ToolDialog)[0]
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file))])
    copy = Qt.DropAction.CopyAction
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(9, 9), copy, data, left, none)
    QApplication.sendEvent(dialog, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(dialog, QDropEvent(QPointF(9, 9), copy, data, left, none))
    qtbot.waitUntil(lambda: not dialog.panel.missing(), timeout=5000)
    assert dialog.panel.arguments()[0] == str(file)


def shown_over(dialog: InspectDialog, window: MainWindow) -> None:
    """Put a dialog over the lower left of the window's work area, where toasts are."""
    dialog.resize(860, 640)
    dialog.move(window.work.mapToGlobal(QPoint(-40, 60)))
    QApplication.processEvents()


def test_a_toast_is_seen_on_the_dialog_that_lies_over_its_place(
    room: TrainingRoom, qtbot: QtBot, tmp_path: Path
) -> None:
    window, toast = room.window, room.window.work.toast
    dialog = inspecting(qtbot, tmp_path, window)
    shown_over(dialog, window)
    found = settings_of(told())
    assert found is not None
    ask_to_use(window, room.files, Path("cat.safetensors"), found).buttons[0].click()
    assert toast.isVisible()
    assert toast.window() is dialog
    assert dialog.rect().contains(toast.geometry())
    dialog.close()
    QApplication.processEvents()
    assert toast.isVisible()
    assert toast.parent() is window.work
    assert window.work.rect().contains(toast.geometry())
    toast.button.click()
    assert not toast.isVisible()
    assert window.document.get("network.rank") != 24


def test_a_toast_stays_in_the_window_beside_a_dialog_and_away_once_dismissed(
    room: TrainingRoom, qtbot: QtBot, tmp_path: Path
) -> None:
    window, toast = room.window, room.window.work.toast
    dialog = inspecting(qtbot, tmp_path, window)
    dialog.move(window.frameGeometry().topRight() + QPoint(50, 0))
    window.say("Saved.")
    assert toast.parent() is window.work
    shown_over(dialog, window)
    window.say("Saved again.")
    assert toast.window() is dialog
    toast.findChildren(IconButton)[-1].click()
    dialog.close()
    QApplication.processEvents()
    assert not toast.isVisible()
