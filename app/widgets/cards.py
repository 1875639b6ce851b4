"""A list of tables as cards: add, duplicate, switch off, reorder, remove, more fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.document import Document
from app.folder_names import folder_item
from app.form_row import FormRow
from app.settings import Settings
from app.theme import color
from app.widgets.button import Button, IconButton
from app.widgets.check import CheckBox
from app.widgets.label import ElidedLabel
from engine.schema.options import Option, options
from engine.schema.problem import Problem

_SINGULAR = {
    "dataset.folders": ("Folder", "Add folder"),
    "samples.prompts": ("Prompt", "Add prompt"),
    "model.merge": ("Adapter", "Add adapter"),
}


class Card(QWidget):
    """One item of the list; rows beyond the basic ones are made when they are first shown."""

    def __init__(self, cards: Cards, index: int) -> None:
        super().__init__(cards)
        self.cards, self.index = cards, index
        self.path = f"{cards.option.path}[{index}]"
        self.rows: dict[str, FormRow] = {}
        self.shows_all = False
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 6, 8, 8)
        column.setSpacing(0)
        column.addLayout(self._head())
        self._body = QVBoxLayout()
        self._body.setSpacing(0)
        column.addLayout(self._body)

    def _head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setSpacing(0)
        self.use: CheckBox | None = None
        if f"{self.cards.option.path}[].enabled" in options():
            self.use = CheckBox("", self)
            self.use.setToolTip(self.tr("Use"))
            self.use.edited.connect(lambda on: self.cards.document.set(f"{self.path}.enabled", on))
            head.addWidget(self.use)
        self.title = ElidedLabel("", bold=True, parent=self)
        head.addWidget(self.title, 1)
        self.more = Button("", "link", parent=self)
        self.more.clicked.connect(self._on_more)
        head.addWidget(self.more)
        head.addSpacing(8)
        self.buttons: list[IconButton] = []
        for icon, name, slot in (
            ("chevron-up", self.tr("Move up"), lambda: self._move(-1)),
            ("chevron-down", self.tr("Move down"), lambda: self._move(1)),
            ("copy", self.tr("Duplicate"), self._duplicate),
            ("close", self.tr("Remove"), self._remove),
        ):
            button = IconButton(icon, name, self, side=26)
            button.clicked.connect(slot)
            head.addWidget(button)
            self.buttons.append(button)
        return head

    def _on_more(self) -> None:
        self.shows_all = not self.shows_all
        self.refresh()

    def _move(self, by: int) -> None:
        self.cards.document.move_item(self.cards.option.path, self.index, self.index + by)

    def _duplicate(self) -> None:
        item = self.cards.document.get(self.path)
        self.cards.document.insert_item(self.cards.option.path, self.index + 1, item)

    def _remove(self) -> None:
        self.cards.document.remove_item(self.cards.option.path, self.index)

    def refresh(self) -> None:
        """Show the item's values; make and hide rows as they apply now."""
        document = self.cards.document
        kind = _SINGULAR.get(self.cards.option.path, (self.tr("Item"), ""))[0]
        name = f"{kind} {self.index + 1}"
        text = self.item_title()
        self.title.setText(text or name)
        on = document.get(f"{self.path}.enabled") is not False
        self.title.set_style("text" if on else "text3")
        if self.use is not None:
            self.use.setAccessibleName(f"{self.tr('Use')} {name}")
            self.use.set_value(on)
        self.more.setText(self.tr("Less") if self.shows_all else self.tr("More"))
        self.more.setAccessibleName(f"{self.more.text()}: {name}")
        for button in self.buttons:
            button.setAccessibleName(f"{button.toolTip()}: {name}")
        count = len(document.get(self.cards.option.path))
        self.buttons[0].setEnabled(self.index > 0)
        self.buttons[1].setEnabled(self.index < count - 1)
        self.buttons[0].setVisible(count > 1)
        self.buttons[1].setVisible(count > 1)
        place = 0
        hidden = 0
        for child in self.cards.children_options:
            path = f"{self.path}.{child.key}"
            in_force = document.is_in_force(path)
            plain = child.hints.basic or len(self.cards.children_options) <= 4
            wanted = plain or self.shows_all or not document.is_default(path)
            wanted = wanted or path in self.cards.wrong or child.path in self.cards.found
            hidden += in_force and not plain
            row = self.rows.get(path)
            if row is None and in_force and wanted:
                row = self._make_row(child, path)
                self._body.insertWidget(place, row)
            if row is not None:
                row.set_architecture(document.architecture)
                row.set_values([document.get(path)])
                row.setVisible(in_force and wanted)
                place += 1
        self.more.setVisible(hidden > 0)

    def item_title(self) -> str:
        """What the card is called: the folder's or file's name, or the prompt."""
        item = self.cards.document.get(self.path)
        text = next((str(item.get(k)) for k in ("path", "file", "prompt") if item.get(k)), "")
        return Path(text).name if item.get("path") or item.get("file") else text

    def _make_row(self, child: Option, path: str) -> FormRow:
        row = FormRow(child, path, self.cards.settings, self, in_card=True)
        self.rows[path] = row
        self.cards.row_made.emit(row)
        return row

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the card's ground and edge."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color("line"), 1))
        painter.setBrush(color("raised"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)


class Cards(QWidget):
    """The editor of a list of tables.

    Signals:
        row_made: a FormRow that the form should listen to.
    """

    row_made = Signal(object)

    def __init__(
        self, option: Option, document: Document, settings: Settings, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.option, self.document, self.settings = option, document, settings
        prefix = f"{option.path}[]."
        self.children_options = [
            o for p, o in options().items() if p.startswith(prefix) and o.key != "enabled"
        ]
        self.wrong: frozenset[str] = frozenset()
        self.found: frozenset[str] = frozenset()
        self.cards: list[Card] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 4, 8, 4)
        self._column.setSpacing(8)
        foot = QHBoxLayout()
        words = _SINGULAR.get(option.path, ("", self.tr("Add")))[1]
        self.add = Button(words, "secondary", "plus", self)
        self.add.setAccessibleDescription(option.hints.help)
        self.add.clicked.connect(self._on_add)
        foot.addWidget(self.add)
        foot.addStretch(1)
        self._column.addLayout(foot)

    def _on_add(self) -> None:
        kinds = [o.hints.path for o in self.children_options if o.hints.path]
        if kinds[:1] == ["folder"]:
            from PySide6.QtWidgets import QFileDialog  # as no card needs it to be painted

            dialog = QFileDialog(self.window(), self.tr("Folder of pictures"))
            dialog.setFileMode(QFileDialog.FileMode.Directory)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.fileSelected.connect(lambda path: self.append(folder_item(path)))
            dialog.open()
        else:
            self.append({})

    def append(self, item: Mapping[str, Any]) -> None:
        """Add an item at the end and move to it."""
        self.document.insert_item(self.option.path, len(self.cards), item)
        if self.cards:
            rows = self.cards[-1].rows
            if rows:
                next(iter(rows.values())).focus_editor()

    def refresh(self) -> None:
        """Make as many cards as there are items and show their values."""
        items = self.document.get(self.option.path)
        items = items if isinstance(items, list) else []
        while len(self.cards) > len(items):
            card = self.cards.pop()
            card.hide()
            card.deleteLater()
        while len(self.cards) < len(items):
            card = Card(self, len(self.cards))
            self._column.insertWidget(len(self.cards), card)
            self.cards.append(card)
        for card in self.cards:
            card.refresh()

    def rows(self) -> dict[str, FormRow]:
        """All rows made so far by path."""
        return {path: row for card in self.cards for path, row in card.rows.items()}

    def set_problems(self, problems: Mapping[str, list[Problem]]) -> None:
        """Show the problems of the items' fields, making rows for them."""
        prefix = f"{self.option.path}["
        self.wrong = frozenset(p for p in problems if p.startswith(prefix))
        if self.wrong - self.rows().keys():
            self.refresh()
        for path, row in self.rows().items():
            row.set_problems(problems.get(path, ()))
