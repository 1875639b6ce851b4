"""The question before a preset takes back one's own changes: field, now, then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QWidget

from app.document import Document
from app.editors import value_words
from engine.schema.options import Option, option_at, options
from engine.schema.presets import Preset

if TYPE_CHECKING:  # a table and a dialog, which the window does not need to be painted
    from app.dialogs import Question
    from app.widgets.changes_table import Row


def ask_about_preset(
    parent: QWidget,
    preset: Preset,
    changes: Sequence[tuple[str, Any]],
    document: Document,
    then: Callable[[], object],
) -> Question:
    """Show what a preset would set, and call `then` if it is to be loaded."""
    from app.dialogs import Question
    from app.widgets.changes_table import ChangesTable

    own = set(document.changed_paths())
    lost = sum(path in own for path, _ in changes)
    words = parent.tr("%1 fields change; %2 of them you have set yourself. Undo brings them back.")
    words = words.replace("%1", str(len(changes))).replace("%2", str(lost))
    question = Question(
        parent, parent.tr("Load %s?") % preset.name, words,
        [(parent.tr("Load preset"), "primary", then)],
    )  # fmt: skip
    question.column.insertWidget(2, ChangesTable(change_rows(changes, document), question), 1)
    question.setMinimumWidth(660)
    question.open()
    return question


def change_rows(changes: Sequence[tuple[str, Any]], document: Document) -> list[Row]:
    """Changes as words: the field with its group, its value now, its value then."""
    rows = []
    for path, value in changes:
        option = option_at(path)
        group = options()[option.group].hints.label
        name = f"{option.label(document.architecture)}  ·  {group}"
        now, then = _words(option, document.get(path)), _words(option, value)
        rows.append((name, now, then))
    return rows


def _words(option: Option, value: Any) -> str:
    if option.kind == "tables":
        return str(len(value)) if value else "–"
    return value_words(option, value) if value != "" else "–"
