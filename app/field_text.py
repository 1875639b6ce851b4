"""Fields as text: copied as TOML, as --set or as an sd-scripts argument, and pasted back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QTreeWidget

from app.dialogs import Question
from app.document import Document
from app.editors import value_words
from app.import_report import report_tree
from app.pasted import Pasted, changes, read_settings
from app.theme import SMALL
from app.widgets.label import Label
from app.widgets.message import Message
from app.widgets.text import LongTextEdit
from app.window import MainWindow
from engine.schema.job_file import to_toml
from engine.schema.options import option_at, set_at, steps_in

if TYPE_CHECKING:
    from engine.interop.report import Imported

_LISTED = 12  # changes that the question before pasting shows


class FieldText(QObject):
    """Copies and pastes for the row's menu and the Edit menu."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window: MainWindow = window
        self._document: Document = window.document

    def row_entries(self, path: str) -> list[tuple[str, Callable[[], object]]]:
        """The entries of a row's menu."""
        entries: list[tuple[str, Callable[[], object]]] = [
            (self.tr("Copy as TOML"), lambda: self._copy(self.toml_of(path))),
            (self.tr("Copy as --set"), lambda: self._copy(self.set_of(path))),
        ]
        name = next(iter(option_at(path).hints.aliases), "")
        if name:
            words = self.tr("Copy as sd-scripts argument")
            entries.append((words, lambda: self._copy(f"--{name} {_plain(self._value(path))}")))
        if self._document.is_changed(path):
            entries.append((self.tr("Reset"), lambda: self._document.reset([path])))
        return entries

    def _value(self, path: str) -> Any:
        return self._document.get(path)

    def toml_of(self, path: str) -> str:
        """`network.rank = 16`; a field of a list item is given with its whole list."""
        if "[" in path:
            path = path.partition("[")[0]
            data: dict[str, Any] = {}
            set_at(data, path, self._value(path))
            return to_toml(data).partition("\n")[2].strip()
        return f"{path} = {_toml_value(self._value(path))}"

    def set_of(self, path: str) -> str:
        """`--set network.rank=16`."""
        value = _toml_value(self._value(path))
        return f"--set {path}={value}" if " " not in value else f"--set '{path}={value}'"

    def copy_focused(self) -> None:
        """Copy the field in focus."""
        path = self._window.form.focused_path
        if path:
            self._copy(self.toml_of(path))

    def copy_changes(self) -> None:
        """Copy everything that differs from the preset."""
        data: dict[str, Any] = {}
        for path in self._document.changed_paths():
            set_at(data, path, self._value(path))
        self._copy(to_toml(data))

    def _copy(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        first = text.strip().partition("\n")[0]
        self._window.say(self.tr("Copied: %s") % first[:60])

    def ask_paste(self) -> None:
        """Show what the clipboard's settings would change, before applying them."""
        PasteQuestion(self._window, QGuiApplication.clipboard().text()).open()

    def apply(self, pasted: Pasted) -> None:
        """Take settings over as one step of undo."""
        apply_pasted(self._document, pasted)


def apply_pasted(document: Document, pasted: Pasted) -> None:
    """Take settings over as one step of undo, making the first folder where one is meant."""
    pairs = list(pasted.taken)  # all: another architecture would reset what is as it was
    folder = {steps_in(p)[-1]: v for p, v in pairs if p.startswith("dataset.folders[0].")}
    pairs = [(p, v) for p, v in pairs if not p.startswith("dataset.folders[0].")]
    if folder:
        folders = [dict(f) for f in document.get("dataset.folders")] or [{}]
        folders[0].update({str(k): v for k, v in folder.items()})
        pairs.append(("dataset.folders", folders))
    document.end_merging()
    document.set_many(pairs, document.tr("paste settings"))
    document.end_merging()


class PasteQuestion(Question):
    """Text at the top, what it would change below, then Apply."""

    def __init__(self, window: MainWindow, text: str) -> None:
        words = window.tr("TOML, --set words, or settings of another trainer, also as a command.")
        super().__init__(window, window.tr("Paste settings"), words, ())
        self._document = window.document
        self.editor = LongTextEdit(self)
        self.editor.setAccessibleName(self.tr("Settings"))
        self.verdict = Message("", "hint", self)
        self.list = Label("", "text2", SMALL, self, mono=True)
        self.list.setWordWrap(True)
        self.column.insertWidget(2, self.editor)
        self.column.insertWidget(3, self.verdict)
        self.column.insertWidget(4, self.list)
        self.tree: QTreeWidget | None = None  # of another trainer's settings
        self._pasted = Pasted((), ())
        self.apply_button = self.add_button(
            self.tr("Apply"), "primary", lambda: apply_pasted(self._document, self._pasted)
        )
        self.setMinimumWidth(560)
        self.editor.edited.connect(lambda _: self.refresh())
        self.editor.set_value(text)
        self.refresh()

    def refresh(self) -> None:
        """Read the text anew."""
        try:
            self._pasted = read_settings(str(self.editor.value()), self._document.architecture)
            words = ""
        except ValueError as error:
            self._pasted, words = Pasted((), ()), str(error)
        found = changes(self._pasted, self._document.data)
        if not words:
            words = self.tr("%d taken, %d of them change something, %d unknown") % (
                len(self._pasted.taken), len(found), len(self._pasted.unknown),
            )  # fmt: skip
        self.verdict.label.setText(words)
        self._show_report(self._pasted.report)
        lines = [
            f"{path}: {value_words(option_at(path), self._document.get(path))} → "
            f"{value_words(option_at(path), value)}"
            for path, value in found[:_LISTED]
        ]
        if len(found) > _LISTED:
            lines.append(self.tr("and %d more") % (len(found) - _LISTED))
        lines += list(self._pasted.unknown)
        self.list.setText("\n".join(lines))
        self.apply_button.setEnabled(bool(found))

    def _show_report(self, report: Imported | None) -> None:
        """Another trainer's settings are told one by one, with what became of each and why."""
        if self.tree is not None:
            self.column.removeWidget(self.tree)
            self.tree.deleteLater()
            self.tree = None
        self.list.setVisible(report is None)
        if report is not None:
            self.tree = report_tree(report, self)
            self.column.insertWidget(4, self.tree, 1)
            self.resize(max(self.width(), 940), max(self.height(), 600))


def _toml_value(value: Any) -> str:
    if value is None:
        return '"off"'
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(v) for v in value)
    text = "" if value is None else str(value)
    return f'"{text}"' if " " in text else text
