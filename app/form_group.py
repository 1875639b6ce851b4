"""One group of the form: its title, its sections, and rows made when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.document import Document
from app.editors import value_words
from app.every_pairs import epochs_partner, row_path
from app.form_filter import Showing
from app.form_row import GUTTER, FormRow
from app.settings import Settings
from app.theme import SMALL
from app.widgets.cards import Cards
from app.widgets.every import every_words
from app.widgets.label import Label
from app.widgets.message import Message
from app.widgets.section import GroupTitle, SectionHeader
from engine.schema.options import Option, options
from engine.schema.problem import Problem

HIDDEN_PATHS = frozenset({"model.architecture"})  # it has its place in the tool bar


class Room:
    """Counts how many more rows the view has room for; without a number there is always room."""

    def __init__(self, rows: int | None = None) -> None:
        self._rows = rows

    @property
    def is_left(self) -> bool:
        """Whether there is room for another row."""
        return self._rows is None or self._rows > 0

    def take(self) -> bool:
        """Take the place of one row; False if there is none."""
        if not self.is_left:
            return False
        if self._rows is not None:
            self._rows -= 1
        return True


class Section(QWidget):
    """A foldable part of a group; without a name it has no header."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.name = name
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.header: SectionHeader | None = None
        if name:
            self.header = SectionHeader(name, self)
            self.header.setContentsMargins(0, 0, 0, 0)
            column.addWidget(self.header)
        self.body = QWidget(self)
        self.rows = QVBoxLayout(self.body)
        self.rows.setContentsMargins(0, 0, 0, 4)
        self.rows.setSpacing(0)
        column.addWidget(self.body)
        if self.header is not None:
            self.header.toggled.connect(self.body.setVisible)

    def set_open(self, is_open: bool) -> None:
        """Open or fold."""
        if self.header is not None:
            self.header.set_open(is_open)
            self.body.setVisible(is_open)


class TablesRow(QWidget):
    """The label and cards of a list of tables."""

    def __init__(
        self, option: Option, document: Document, settings: Settings, parent: QWidget
    ) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(0)
        label = Label(option.hints.label, "text2", SMALL, self, bold=True)
        label.setContentsMargins(GUTTER, 0, 0, 0)
        column.addWidget(label)
        self.messages = QVBoxLayout()
        self.messages.setContentsMargins(GUTTER, 2, 8, 2)
        column.addLayout(self.messages)
        self.cards = Cards(option, document, settings, self)
        column.addWidget(self.cards)
        self._told: list[Problem] = []

    def show_messages(self, problems: list[Problem]) -> None:
        """Say what is wrong with the list as a whole."""
        if problems == self._told:
            return
        self._told = list(problems)
        while (item := self.messages.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for problem in problems:
            self.messages.addWidget(Message(problem.message, problem.severity, self))


class FormGroup(QWidget):
    """All fields of one top-level table.

    Signals:
        row_made: a FormRow that the form should listen to.
        tables_made: a TablesRow.
        unfolded: the group was opened by the person.
    """

    row_made = Signal(object)
    tables_made = Signal(object)
    unfolded = Signal()

    def __init__(self, name: str, document: Document, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self.name = name
        self.option = options()[name]
        self._document, self._settings = document, settings
        self.rows: dict[str, FormRow] = {}
        self.tables: dict[str, TablesRow] = {}
        self.missing: dict[str, Showing] = {}
        self.is_folded = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(4, 0, 0, 10)
        self._column.setSpacing(0)
        self.title = GroupTitle(self.option.hints.label, self.option.hints.help, self)
        self.fold_header = SectionHeader(self.option.hints.label, self, is_open=False)
        self.fold_header.hide()
        self.fold_header.toggled.connect(self._on_unfold)
        self._column.addWidget(self.title)
        self._column.addWidget(self.fold_header)
        self.sections: dict[str, Section] = {}
        self.entries = entries()[name]

    def _on_unfold(self, _open: bool) -> None:
        self.unfolded.emit()

    def set_folded(self, folded: bool) -> None:
        """Show the group as one line that says what it has."""
        self.is_folded = folded
        self.title.setVisible(not folded)
        self._column.setContentsMargins(4, 0, 0, 0 if folded else 10)
        self.fold_header.set_open(False)
        self.fold_header.setVisible(folded)
        if folded:
            self.fold_header.set_note(self._summary())
            for section in self.sections.values():
                section.hide()

    def _summary(self) -> str:
        shown = [
            o for o in self.entries
            if o.hints.basic and o.kind in ("int", "float", "choice", "text")
            and self._document.get(o.path) not in (None, "")
            and self._document.is_in_force(o.path)
        ]  # fmt: skip
        words = []
        for option in shown:
            partner = epochs_partner(row_path(option.path))
            if partner is not None:
                pair = self._document.get(row_path(option.path)), self._document.get(partner.path)
                words.append(every_words(pair))
                continue
            value = value_words(option, self._document.get(option.path))
            plain = option.kind in ("choice", "text")
            label = option.label(self._document.architecture).lower()
            words.append(value if plain else f"{label} {value}")
        return ", ".join(list(dict.fromkeys(words))[:2])

    def refresh(self, showing: Callable[[Option], Showing], room: Room, phrase: str = "") -> int:
        """Show the fields that are to be seen; returns how many there are.

        Rows that are not seen yet and for which there is no room go to `missing`.
        """
        self.missing.clear()
        if self.is_folded:
            self.fold_header.set_note(self._summary())
            return 0
        count = 0
        used: dict[str, int] = {}
        for option in self.entries:
            if row_path(option.path) != option.path:
                continue  # it is edited in its partner's row
            state = showing(option)
            partner = epochs_partner(option.path)
            if partner is not None and (not state.visible or state.absent):
                other = showing(partner)
                state = other if other.visible else state
            section_name = _section_of(option)
            if state.visible:
                count += 1
                used[section_name] = used.get(section_name, 0) + 1
                if not room.take() and not self._is_shown(option):
                    self.missing[option.path] = state
                    continue
                self._ensure(option)
            self._show(option, state)
        for name, section in self.sections.items():
            section.setVisible(name in used)
        self.title.set_phrase(phrase or self.option.hints.help)
        self.setVisible(count > 0)
        return count

    def make_missing(self, count: int | None = None) -> None:
        """Show the next rows that are to be seen, all without a count; make those not there yet."""
        for path in list(self.missing)[:count]:
            option, state = options()[path], self.missing.pop(path)
            self._ensure(option)
            self._show(option, state)
            self.sections[_section_of(option)].show()

    def _show(self, option: Option, state: Showing) -> None:
        if option.path in self.rows:
            row = self.rows[option.path]
            row.setVisible(state.visible)
            if state.visible:
                row.set_absent_once(state.absent, state.can_turn_on)
        elif option.path in self.tables:
            self.tables[option.path].setVisible(state.visible)

    def _is_shown(self, option: Option) -> bool:
        widget = self.rows.get(option.path) or self.tables.get(option.path)
        return widget is not None and not widget.isHidden()

    def _is_made(self, option: Option) -> bool:
        return option.path in self.rows or option.path in self.tables

    def _ensure(self, option: Option) -> None:
        """Make the row of a field if there is none yet, at its place."""
        if self._is_made(option):
            return
        name = _section_of(option)
        section = self.sections.get(name)
        if section is None:
            section = self._add_section(name)
        place = 0
        for other in self.entries:
            if other is option:
                break
            if self._is_made(other) and _section_of(other) == name:
                place += 1
        if option.kind == "tables":
            tables = TablesRow(option, self._document, self._settings, section.body)
            self.tables[option.path] = tables
            section.rows.insertWidget(place, tables)
            tables.cards.row_made.connect(self.row_made)
            self.tables_made.emit(tables)
            tables.cards.refresh()
            return
        row = FormRow(
            option, option.path, self._settings, section.body,
            partner=epochs_partner(option.path),
        )  # fmt: skip
        self.rows[option.path] = row
        section.rows.insertWidget(place, row)
        self.row_made.emit(row)

    def _add_section(self, name: str) -> Section:
        section = Section(name, self)
        order = _order(self.entries)
        place = 2 + sum(order.index(other) < order.index(name) for other in self.sections)
        self._column.insertWidget(place, section)
        self.sections[name] = section
        return section

    def all_rows(self) -> dict[str, FormRow]:
        """Rows of fields and of list items, by concrete path."""
        found = dict(self.rows)
        for tables in self.tables.values():
            found.update(tables.cards.rows())
        return found


@cache
def entries() -> Mapping[str, Sequence[Option]]:
    """Group → its fields, but those of list items, from top to bottom."""
    found: dict[str, list[Option]] = {}
    for path, option in options().items():
        if option.kind != "table" and "[]" not in path and path not in HIDDEN_PATHS:
            found.setdefault(option.group, []).append(option)
    for group in found.values():
        order = _order(group)
        group.sort(key=lambda option, order=order: order.index(_section_of(option)))
    return found


def _section_of(option: Option) -> str:
    """The heading a field stands under; fields of a nested table stand under its name."""
    if option.path.count(".") > 1:
        return options()[option.path.rpartition(".")[0]].hints.label
    return option.hints.section


def _order(entries: Iterable[Option]) -> list[str]:
    """Sections in the order of the fields, the one without a name first."""
    names = dict.fromkeys(_section_of(o) for o in entries)
    return ["", *(n for n in names if n)]
