"""The form made from the schema: rows, marks, messages, search, numbers."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QLocale, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.document import Document
from app.editors import as_widget, make_editor
from app.form import Form
from app.search import find_options
from app.settings import Settings
from app.widgets.message import Message
from app.widgets.number import NumberEdit, number_text, parse_number
from app.window import MainWindow
from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import check
from engine.schema.options import options


def center(window: MainWindow) -> QWidget:
    """The widget below all areas, to take the focus from a field."""
    widget = window.centralWidget()
    assert widget is not None
    return widget


def row_of(window: MainWindow, path: str):
    row = window.form.row_at(path)
    assert row is not None, path
    return row


def visible_paths(form: Form) -> set[str]:
    form.finish_building()
    rows = [row for group in form.groups.values() for row in group.rows.values()]
    return {path for row in rows if row.isVisible() for path in row.paths}


def type_into(window: MainWindow, path: str, text: str) -> None:
    line = as_widget(row_of(window, path).editor).focusProxy()
    assert line is not None
    line.setFocus()
    line.selectAll()  # pyright: ignore[reportAttributeAccessIssue]
    QTest.keyClicks(line, text)


def test_check_4_every_field_has_an_editor_that_takes_and_gives_its_default(
    qtbot: QtBot, settings: Settings
) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    for path, option in options().items():
        if option.kind in ("table", "tables"):
            continue
        editor = make_editor(option, settings, parent)
        editor.set_value(option.default)
        shown = editor.value()
        assert shown == option.default or (shown in ("", None) and not option.default), path


@pytest.fixture
def settings(home) -> Settings:
    return Settings(home / "window.ini")


def test_check_4_switching_architectures_leaves_no_orphan_row(window: MainWindow) -> None:
    window.pane.set_shows_all(True)
    for architecture in [*ARCHITECTURES, *ARCHITECTURES]:
        window.choose_architecture(architecture)
        QApplication.processEvents()
        shown = visible_paths(window.form)
        wanted = {
            p for p, o in options().items()
            if o.kind not in ("table", "tables") and "[]" not in p
            and p != "model.architecture" and window.document.is_in_force(p)
        }  # fmt: skip
        assert shown == wanted


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("conv_dim", {"network.conv_dim"}),
        ("network_dim", {"network.rank"}),
        ("pretrained_model_name_or_path", {"model.path"}),
        ("min_snr_gamma", {"objective.min_snr_gamma"}),
    ],
)
def test_check_5_a_name_finds_its_field_alone(
    window: MainWindow, query: str, found: set[str]
) -> None:
    window.pane.search.line.setText(query)
    assert visible_paths(window.form) == found


def test_check_5_search_finds_hidden_fields_and_says_when_they_appear(window: MainWindow) -> None:
    bar = window.form.verticalScrollBar()
    window.pane.set_shows_all(True)
    QApplication.processEvents()
    bar.setValue(300)
    before = visible_paths(window.form)
    window.pane.search.line.setText("conv_alpha")
    row = row_of(window, "network.conv_alpha")
    assert row.isVisible()
    assert not as_widget(row.editor).isEnabled()
    words = [message.label.text() for message in row.findChildren(Message)]
    assert words == ["appears when 3×3 conv rank is on"]
    row.turn_on_asked.emit("network.conv_alpha")
    assert window.document.get("network.conv_dim") == 4
    assert as_widget(row.editor).isEnabled()
    QTest.keyClick(window.pane.search.line, Qt.Key.Key_Escape)
    QApplication.processEvents()
    assert window.pane.search.line.text() == ""
    conv = {
        p for p, o in options().items() if "network.conv_dim" in {w.path for w in o.hints.only_if}
    }
    assert "network.conv_alpha" in conv
    assert visible_paths(window.form) == before | conv
    assert bar.value() == 300


def test_check_5_dropout_finds_all_that_speak_of_it() -> None:
    found = {f.option.path for f in find_options("dropout", "sd1", Document().data)}
    assert {
        "network.dropout", "network.rank_dropout", "network.module_dropout",
        "dataset.folders[].caption_dropout", "dataset.folders[].tag_dropout",
    } <= found  # fmt: skip
    assert "network.rank" not in found


def wheel(widget: QWidget, delta: int) -> QWheelEvent:
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle, widget.mapToGlobal(middle), QPoint(), QPoint(0, delta),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)
    return event


@pytest.mark.parametrize(
    "path", ["network.rank", "network.alpha", "network.kind", "optimizer.schedule", "training.seed"]
)
def test_check_6_the_wheel_without_focus_changes_nothing(window: MainWindow, path: str) -> None:
    window.pane.set_shows_all(True)
    widget = as_widget(row_of(window, path).editor)
    center(window).setFocus()
    before = window.document.get(path)
    event = wheel(widget, 120)
    assert window.document.get(path) == before
    assert not event.isAccepted()  # so the form scrolls


def test_check_6_the_wheel_with_focus_steps(qtbot: QtBot) -> None:
    editor = NumberEdit("int", scale="double", bounds={"ge": 1, "le": 1024})
    qtbot.addWidget(editor)
    editor.set_value(16)
    editor.show()
    editor.activateWindow()
    editor.line.setFocus()
    qtbot.waitUntil(editor.line.hasFocus)
    wheel(editor, 120)
    assert editor.value() == 17
    QTest.keyClick(editor.line, Qt.Key.Key_PageUp)
    assert editor.value() == 34


@pytest.mark.parametrize("text", ["0.0001", "1e-4", "0,0001"])
def test_check_7_numbers_are_read_in_c_form_under_a_german_locale(
    window: MainWindow, text: str
) -> None:
    QLocale.setDefault(QLocale("de_DE"))
    try:
        type_into(window, "optimizer.learning_rate", text)
    finally:
        QLocale.setDefault(QLocale.c())
    assert window.document.get("optimizer.learning_rate") == 1e-4


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-4, "1e-4"), (5e-5, "5e-5"), (0.05, "0.05"), (8.0, "8"), (1e-6, "1e-6"), (0.5, "0.5"),
     (1.5e-4, "1.5e-4"), (2**40, "1099511627776"), (-1, "-1"), (0.0, "0")],
)  # fmt: skip
def test_numbers_are_shown_in_the_shortest_form_and_read_back(value: float, text: str) -> None:
    assert number_text(value) == text
    assert parse_number(text, "int" if isinstance(value, int) else "float") == value


def test_text_that_is_no_number_is_kept_for_the_check(window: MainWindow) -> None:
    type_into(window, "network.rank", "many")
    assert window.document.get("network.rank") == "many"
    assert [p.message for p in window.document.errors if p.path == "network.rank"] == [
        'Rank is a whole number; "many" is not.'
    ]


def test_check_9_a_bad_value_is_told_under_its_field_in_the_command_lines_words(
    window: MainWindow, qtbot: QtBot
) -> None:
    type_into(window, "network.rank", "0")
    row = row_of(window, "network.rank")
    qtbot.waitUntil(lambda: bool(row.problems), timeout=2000)
    told = [p.message for p in check(window.document.written()).problems
            if p.path == "network.rank"]  # fmt: skip
    assert [p.message for p in row.problems] == told == ["Rank must be at least 1; it is 0."]
    assert row.editor.state == "error"  # pyright: ignore[reportAttributeAccessIssue]
    assert not window.can_train
    assert not window.tool_bar.train.isEnabled()
    assert "to mend" in window.plan_bar.standing.words
    # A wrong 0 counts like any other wrong value.
    assert window.pane.pill.text() == "1 to mend"
    center(window).setFocus()
    QTest.mouseClick(window.plan_bar.button, Qt.MouseButton.LeftButton)
    assert window.form.filter == "mend"
    assert "network.rank" in visible_paths(window.form)
    assert "network.module_dropout" not in visible_paths(window.form)


def test_check_10_a_change_is_marked_listed_and_reset(window: MainWindow) -> None:
    row = row_of(window, "network.rank")
    assert not row.reset.isVisible()
    window.document.set("network.rank", 24)
    assert row.reset.isVisible()
    window.form.set_filter("changed")
    assert visible_paths(window.form) == {"network.rank"}
    QTest.mouseClick(row.reset, Qt.MouseButton.LeftButton)
    window.form.set_filter("none")
    assert window.document.get("network.rank") == 8
    assert not row.reset.isVisible()
    window.document.undo_stack.undo()
    assert row.reset.isVisible()
    assert row.editor.value() == 24


def test_check_12_conv_alpha_comes_and_goes_with_its_rank(window: MainWindow) -> None:
    window.document.set("network.conv_dim", 4)
    window.document.set("network.conv_alpha", 2.0)
    assert row_of(window, "network.conv_alpha").isVisible()
    window.document.set("network.conv_dim", None)
    assert not row_of(window, "network.conv_alpha").isVisible()
    window.document.set("network.conv_dim", 8)
    assert row_of(window, "network.conv_alpha").editor.value() == 2.0


def test_a_field_that_differs_is_shown_in_the_basic_view(window: MainWindow) -> None:
    assert "network.max_norm" not in visible_paths(window.form)
    window.document.set("network.max_norm", 1.0)
    assert "network.max_norm" in visible_paths(window.form)


def test_a_folder_is_a_card_whose_fields_edit_the_job(window: MainWindow) -> None:
    window.document.insert_item("dataset.folders", 0, {"path": "/pictures/10_cat"})
    type_into(window, "dataset.folders[0].repeats", "12")
    assert window.document.get("dataset.folders")[0]["repeats"] == 12
    assert window.document.job.dataset.folders[0].repeats == 12
    window.document.undo_stack.undo()
    window.document.undo_stack.undo()
    assert window.form.row_at("dataset.folders[0].repeats") is None


def test_empty_needed_fields_are_blamed_only_when_train_was_tried(window: MainWindow) -> None:
    window.form.show_problems()
    assert row_of(window, "model.path").problems == ()
    assert window.plan_bar.standing.words == "2 fields to fill"
    window.train()
    assert len(row_of(window, "model.path").problems) == 1


def test_check_28_no_row_is_wider_than_the_least_form(window: MainWindow) -> None:
    window.pane.set_shows_all(True)
    window.resize(960, 600)
    QApplication.processEvents()
    window.form.refit()
    room = window.form.viewport().width()
    wide = {
        path: row.minimumSizeHint().width()
        for group in window.form.groups.values()
        for path, row in group.all_rows().items()
        if row.minimumSizeHint().width() + 8 > room
    }
    assert wide == {}
    content = window.form.widget()
    assert content is not None
    assert content.width() <= room
