"""Editors of the form: how often, seeds, ranges, names and choices of each architecture."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.every_pairs import epochs_partner, row_path
from app.form_row import FormRow
from app.inherited import source_of
from app.search import find_options
from app.widgets.choice import ChoiceBox
from app.widgets.every import EveryEdit, every_words
from app.widgets.number import NumberEdit
from app.widgets.numbers import NumbersEdit
from app.window import MainWindow
from engine.schema.options import options

STEPS, EPOCHS = "output.every_steps", "output.every_epochs"


def row_of(window: MainWindow, path: str) -> FormRow:
    row = window.form.row_at(path)
    assert row is not None, path
    return row


@pytest.fixture
def shown(window: MainWindow) -> MainWindow:
    window.pane.set_shows_all(True)
    return window


def test_every_pair_of_the_schema_is_one_row(shown: MainWindow) -> None:
    pairs = [p for p in options() if epochs_partner(p) is not None]
    assert set(pairs) >= {STEPS, "samples.every_steps", "training.validate_every_steps"}
    for path in pairs:
        partner = epochs_partner(path)
        assert partner is not None
        assert row_path(partner.path) == path
        assert row_of(shown, partner.path) is row_of(shown, path)
        assert "(" not in row_of(shown, path).label.text()


def test_the_unit_turns_epochs_into_steps_and_one_of_both_is_written(shown: MainWindow) -> None:
    document, editor = shown.document, row_of(shown, STEPS).editor
    assert isinstance(editor, EveryEdit)
    assert (document.get(STEPS), document.get(EPOCHS)) == (None, 1)
    assert editor.number.line.text() == "1"
    assert editor.unit.value() is True
    before = document.undo_stack.index()
    editor.unit.edited.emit(False)
    assert (document.get(STEPS), document.get(EPOCHS)) == (100, None)
    assert document.undo_stack.index() == before + 1
    editor.number.line.selectAll()
    QTest.keyClicks(editor.number.line, "250")
    assert document.get(STEPS) == 250
    document.undo_stack.undo()
    document.undo_stack.undo()
    assert (document.get(STEPS), document.get(EPOCHS)) == (None, 1)
    assert editor.value() == (None, 1)


def test_a_pair_set_both_ways_says_so_and_is_reset_whole(shown: MainWindow) -> None:
    document, row = shown.document, row_of(shown, STEPS)
    document.set(STEPS, 500)
    assert isinstance(row.editor, EveryEdit)
    assert row.editor.unit.currentText() == "steps, and every epoch"
    assert row.reset.isVisible()
    assert row.reset.toolTip() == "Back to every epoch"
    row.reset.click()
    assert (document.get(STEPS), document.get(EPOCHS)) == (None, 1)
    assert every_words((None, None)) == "off"


def test_an_error_of_either_field_shows_at_the_pair(shown: MainWindow) -> None:
    shown.document.set(EPOCHS, "often")
    shown.form.show_problems()
    row = row_of(shown, EPOCHS)
    assert [p.path for p in row.problems] == [EPOCHS]
    assert isinstance(row.editor, EveryEdit)
    assert row.editor.number.state == "error"


def test_seeds_have_dice_that_draw_a_seed(shown: MainWindow) -> None:
    document = shown.document
    for path in ("training.seed", "samples.seed"):
        editor = row_of(shown, path).editor
        assert isinstance(editor, NumberEdit)
        assert editor.dice is not None
        drawn = set()
        for _ in range(4):
            QTest.mouseClick(editor.dice, Qt.MouseButton.LeftButton)
            drawn.add(document.get(path))
        assert len(drawn) > 1
        assert all(0 <= seed < 2**31 for seed in drawn)
    assert row_of(shown, "samples.seed").hint.accessibleName() == "-1: new each time"
    plain = row_of(shown, "network.rank").editor
    assert isinstance(plain, NumberEdit)
    assert plain.dice is None
    document.set("samples.seed", -1)
    assert not any(p.path == "samples.seed" for p in document.errors)


def test_hints_beside_numbers_are_whole_or_not_there(shown: MainWindow) -> None:
    for width in (960, 1280, 1440):
        shown.resize(width, 800)
        QApplication.processEvents()
        cut = []
        for group in shown.form.groups.values():
            for path, row in group.all_rows().items():
                words = row.hint.words
                if row.isVisible() and words:
                    room = row.hint.fontMetrics().horizontalAdvance(words)
                    cut += [path] if room > row.hint.width() else []
        assert cut == [], width


def test_fields_are_called_as_the_architecture_calls_them(shown: MainWindow) -> None:
    path = "model.text_encoder"
    by = options()[path].hints.label_by
    assert by
    for architecture, label in by.items():
        shown.choose_architecture(architecture)
        QApplication.processEvents()
        row = row_of(shown, path)
        assert row.label.text() == label
        parts = {w.accessibleName() for w in row._parts()}
        assert any(name.endswith(label) for name in parts)
        first = label.partition(" ")[0]
        found = find_options(first, architecture, shown.document.data)
        assert path in {f.option.path for f in found}
        shown.form.attended.emit(path)
        assert shown.pane.help.title.text() == label


def test_choices_an_architecture_lacks_are_greyed_with_the_reason(shown: MainWindow) -> None:
    shown.choose_architecture("lumina2")
    QApplication.processEvents()
    editor = row_of(shown, "network.train_blocks").editor
    assert isinstance(editor, ChoiceBox)
    texts = {editor.itemData(i): editor.itemText(i) for i in range(editor.count())}
    assert texts["double"] == "double only  (not for Lumina-Image 2)"
    assert texts["refiners"] == "refiners only"
    item = editor.model().index(editor.findData("double"), 0)
    assert not item.flags() & Qt.ItemFlag.ItemIsEnabled
    shown.choose_architecture("flux")
    QApplication.processEvents()
    assert editor.itemText(editor.findData("double")) == "double only"


def test_short_lists_have_a_field_for_each_named_number(shown: MainWindow) -> None:
    shown.choose_architecture("flux")
    QApplication.processEvents()
    document, path = shown.document, "network.in_dims"
    editor = row_of(shown, path).editor
    assert isinstance(editor, NumbersEdit)
    names = [field.line.accessibleName() for field in editor.fields]
    assert names == [f"{part}: Input layers" for part in options()[path].hints.parts]
    QTest.keyClicks(editor.fields[1].line, "4")
    assert document.get(path) == [0, 4, 0, 0, 0]
    document.set(path, [1, 2, 3, 4, 5])
    assert [field.value() for field in editor.fields] == [1, 2, 3, 4, 5]
    for field in editor.fields:
        field.line.selectAll()
        QTest.keyClick(field.line, Qt.Key.Key_Delete)
    assert document.get(path) is None
    with_parts = [p for p, o in options().items() if o.hints.parts]
    assert len(with_parts) == 3


def test_an_empty_rank_shows_the_rank_that_counts(shown: MainWindow) -> None:
    shown.choose_architecture("flux")
    shown.form.set_shows_all(True)
    editor = row_of(shown, "network.img_attn_dim").editor
    ratio = row_of(shown, "network.loraplus_unet_lr_ratio").editor
    assert isinstance(editor, NumberEdit)
    assert isinstance(ratio, NumberEdit)
    shown.document.set("network.rank", 24)
    assert editor.line.placeholderText() == "24"
    assert editor.value() is None
    assert ratio.line.placeholderText() == "LoRA+ ratio"  # which is off
    shown.document.set("network.loraplus_lr_ratio", 16.0)
    assert ratio.line.placeholderText() == "16"
    shown.document.undo_stack.undo()
    assert ratio.line.placeholderText() == "LoRA+ ratio"


def test_the_schemas_words_tell_which_field_an_empty_one_takes() -> None:
    found = {path: source_of(path) for path in options() if "[]" not in path and source_of(path)}
    assert set(found.values()) == {
        "network.rank", "network.loraplus_lr_ratio", "optimizer.learning_rate",
    }  # fmt: skip
