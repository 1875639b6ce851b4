"""The dataset's list: rows, filters, captions saved as they are typed, undo, bulk edits."""

from __future__ import annotations

import os

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QUndoStack
from PySide6.QtTest import QTest

from app.bulk_dialog import BulkDialog
from app.caption_file import BulkEdit
from app.picture_model import ROW, Picture, PictureModel
from app.thumbnails import Thumbnails
from app.widgets.caption_panel import CaptionPanel
from app.widgets.picture_grid import PictureGrid


@pytest.fixture
def folder(tmp_path):
    for i, caption in enumerate(["cat, hat", "cat, sun", None]):
        Image.new("RGB", (64 + i, 64), (50 * i, 0, 0)).save(tmp_path / f"{i}.png")
        if caption is not None:
            (tmp_path / f"{i}.txt").write_text(caption)
    return tmp_path


@pytest.fixture
def model(folder):
    made = PictureModel(QUndoStack())
    made.set_pictures(
        [
            Picture(str(folder / f"{i}.png"), str(folder / f"{i}.txt"), 0, 64 + i, 64)
            for i in range(3)
        ]
    )
    return made


def test_rows_are_filtered_by_the_line(model):
    assert model.rowCount() == 3
    model.set_filter("tag:hat")
    assert [p.name for p in model.shown] == ["0.png"]
    model.set_filter("nocaption")
    assert [p.name for p in model.shown] == ["2.png"]
    model.set_filter("")
    assert model.rowCount() == 3


def test_a_filter_that_cannot_be_read_says_so_and_changes_nothing(model, qtbot):
    model.set_filter("tag:hat")
    with qtbot.waitSignal(model.filter_failed) as caught:
        model.set_filter("is:blue")
    assert "is:blue" in caught.args[0]
    assert model.rowCount() == 1


def test_a_caption_is_saved_at_once_and_undone(model, folder):
    model.set_caption(model.pictures[2], "a dog")
    assert (folder / "2.txt").read_text() == "a dog"
    model._undo.undo()
    assert model.caption(model.pictures[2]).text == ""
    assert (folder / "2.txt").read_text() == ""
    model._undo.redo()
    assert (folder / "2.txt").read_text() == "a dog"


def test_a_bulk_edit_is_shown_first_and_is_one_step(model, folder):
    edit = BulkEdit("replace", "cat", "dog")
    found = model.preview(edit, model.pictures)
    assert [after for _, after in found.values()] == ["dog, hat", "dog, sun"]
    assert (folder / "0.txt").read_text() == "cat, hat"  # a preview writes nothing
    model.set_captions({p: after for p, (_, after) in found.items()}, "replace")
    assert (folder / "1.txt").read_text() == "dog, sun"
    model._undo.undo()
    assert (folder / "0.txt").read_text() == "cat, hat"
    assert (folder / "1.txt").read_text() == "cat, sun"
    assert not model._undo.canUndo()


def test_tags_are_counted(model):
    assert model.tag_counts() == [("cat", 2), ("hat", 1), ("sun", 1)]


def test_an_outside_change_is_seen(model, folder, qtbot):
    model.caption(model.pictures[0])
    other = folder / "other"
    for text in ("moved in", "and again"):
        other.write_text(text)
        os.replace(other, folder / "0.txt")
        with qtbot.waitSignal(model.captions_changed) as caught:
            model.forget_captions([str(folder / "0.txt")])
        assert caught.args[0] == [str(folder / "0.png")]
        assert model.caption(model.pictures[0]).text == text


def test_a_caption_that_cannot_be_saved_is_told(model, folder, qtbot, monkeypatch):
    from app import caption_file

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caption_file, "write_whole", full)
    with qtbot.waitSignal(model.save_failed) as caught:
        model.set_caption(model.pictures[0], "new")
    assert "0.txt cannot be saved: No space left on device." in caught.args[0]
    assert (folder / "0.txt").read_text() == "cat, hat"


def test_the_panel_saves_on_leaving_and_steps_by_keys(model, folder, qtbot):
    panel = CaptionPanel(model)
    qtbot.addWidget(panel)
    panel.show()
    panel.show_pictures([model.pictures[0]])
    assert panel._text.toPlainText() == "cat, hat"
    panel._text.setFocus()
    panel._text.setPlainText("cat, red hat")
    with qtbot.waitSignal(panel.step_asked) as caught:
        QTest.keyClick(panel._text, Qt.Key.Key_Down, Qt.KeyboardModifier.ControlModifier)
    assert caught.args == [1]
    assert (folder / "0.txt").read_text() == "cat, red hat"


def test_the_panel_saves_by_itself_after_a_moment(model, folder, qtbot):
    panel = CaptionPanel(model)
    qtbot.addWidget(panel)
    panel.show_pictures([model.pictures[2]])
    panel._text.setPlainText("typed")
    qtbot.waitUntil(lambda: (folder / "2.txt").exists(), timeout=5000)
    assert (folder / "2.txt").read_text() == "typed"


def test_another_picture_does_not_lose_what_was_typed(model, folder, qtbot):
    panel = CaptionPanel(model)
    qtbot.addWidget(panel)
    panel.show_pictures([model.pictures[0]])
    panel._text.setPlainText("typed quickly")
    panel.show_pictures([model.pictures[1]])
    assert (folder / "0.txt").read_text() == "typed quickly"
    assert panel._text.toPlainText() == "cat, sun"


def test_the_grid_marks_what_is_no_picture(model, folder, qtbot):
    (folder / "1.png").write_text("not a picture")
    thumbnails = Thumbnails(None)
    grid = PictureGrid(model, thumbnails)
    qtbot.addWidget(grid)
    grid.resize(500, 400)
    grid.show()
    qtbot.waitUntil(lambda: bool(model.index(1).data(ROW).problem), timeout=5000)
    assert "not a picture" in model.index(1).data(ROW).problem
    thumbnails.stop()


def test_the_bulk_dialog_applies_what_it_showed(model, folder, qtbot):
    dialog = BulkDialog(model, model.pictures)
    qtbot.addWidget(dialog)
    dialog.kind.set_value("prefix")
    dialog.new_text.line.setText("trg, ")
    dialog.new_text._on_line_edited("trg, ")
    assert dialog._table.rowCount() == 3
    item = dialog._table.item(0, 2)
    assert item is not None
    assert item.text() == "trg, cat, hat"
    dialog.apply_button.click()
    assert (folder / "0.txt").read_text() == "trg, cat, hat"
    assert (folder / "2.txt").read_text() == "trg, "
