"""The form: every field of the schema in one scrolling column, filtered, searched and marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QFrame, QScrollArea, QVBoxLayout, QWidget

from app.bites import Bites
from app.consequences import consequence
from app.document import Document
from app.every_pairs import pair_label, row_path
from app.form_filter import Filter, FormFilter
from app.form_group import FormGroup, Room, Section, TablesRow
from app.form_row import LABEL, LABEL_SMALL, FormRow
from app.inherited import inherited_words, source_of
from app.search import turn_on
from app.settings import Settings
from app.told_problems import ToldProblems
from app.widgets.text import TextEdit
from engine.schema.job import Job
from engine.schema.options import option_at
from engine.schema.problem import Problem

MESSAGE_DELAY_MS = 150  # after the last key (spec: gui 4.2)
BITE = 6  # rows made in a turn of the event loop: about a frame with the layout
ROW_LEAST = 12  # pixels that the lowest row is higher than its text
GROUPS: tuple[str, ...] = tuple(Job.model_fields)


class Form(QScrollArea):
    """Panels for all groups, made from the schema.

    Signals:
        attended: path of the field under the mouse or in focus; "" for none.
        group_changed: the group at the top of the view.
        marks_changed: changed or wrong fields are others now.
        row_menu_asked: path, global position.
        filter_changed: "none", "changed" or "mend".
    """

    attended = Signal(str)
    group_changed = Signal(str)
    marks_changed = Signal()
    row_menu_asked = Signal(str, object)
    filter_changed = Signal(str)

    def __init__(
        self, document: Document, settings: Settings, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.document, self._settings = document, settings
        self.seen = FormFilter(document)
        self.told = ToldProblems(document)
        self.focused_path = ""
        self._before_search: int | None = None
        self._folded: frozenset[str] = frozenset()
        self._unusable: dict[str, dict[str, str]] = {}
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._inner = QWidget(self)
        self._column = QVBoxLayout(self._inner)
        self._column.setContentsMargins(0, 8, 4, 24)
        self._column.setSpacing(4)
        self.groups: dict[str, FormGroup] = {}
        self._column.addStretch(1)
        self.setWidget(self._inner)
        self._message_timer = QTimer(self, interval=MESSAGE_DELAY_MS, singleShot=True)
        self._message_timer.timeout.connect(self.show_problems)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        document.changed.connect(self._on_document_changed)
        document.replaced.connect(self.refresh_all)
        document.problems_changed.connect(self._message_timer.start)
        self._late = Bites(self._build_next, self)
        self._unbuilt: list[str] = list(GROUPS)
        self._is_built = False

    def showEvent(self, event: QShowEvent) -> None:
        """Make the rows that fill the view, so that the first paint has them at their places."""
        super().showEvent(event)
        room = self._room()
        while self._unbuilt and room.is_left:
            self._add_group(self._unbuilt.pop(0), room)

    def build(self) -> None:
        """Make the other rows, a few a turn of the event loop; to be called after a paint."""
        self._late.start()

    def finish_building(self) -> None:
        """Make what is still to be made at once."""
        self._late.finish()

    def _build_next(self) -> bool:
        """Make a group's frame or a few rows; says whether there may be more to do."""
        if self._unbuilt:
            self._add_group(self._unbuilt.pop(0), Room(0))
            return True
        waiting = next((group for group in self.groups.values() if group.missing), None)
        if waiting is not None:
            waiting.make_missing(BITE)
            return True
        if not self._is_built:
            self._is_built = True
            self.show_problems()
        return False

    def _room(self) -> Room:
        """As many rows as lie above the view's lower edge at most, however low they are."""
        lower = self.verticalScrollBar().value() + self.height()
        return Room(lower // (self.fontMetrics().height() + ROW_LEAST) + 1)

    def _add_group(self, name: str, room: Room) -> None:
        group = FormGroup(name, self.document, self._settings, self._inner)
        group.row_made.connect(self._on_row_made)
        group.tables_made.connect(self._on_tables_made)
        group.unfolded.connect(lambda: self.unfold(name))
        self.groups[name] = group
        self._column.insertWidget(len(self.groups) - 1, group)
        self._refresh_group(name, room)

    # -- what is shown ---------------------------------------------------------------------

    @property
    def shows_all(self) -> bool:
        """Whether all options are shown, not only the basic ones."""
        return self.seen.shows_all

    @property
    def filter(self) -> Filter:
        """What the filter leaves."""
        return self.seen.which

    def set_shows_all(self, shows_all: bool) -> None:
        """Basic or all options."""
        if shows_all != self.seen.shows_all:
            self.seen.shows_all = shows_all
            self.refresh_all()

    def set_filter(self, which: Filter) -> None:
        """Only changed fields, only wrong ones and what belongs to them, or all."""
        if which != self.seen.which:
            self.seen.which = which
            self.refresh_all()
            self.filter_changed.emit(which)

    def set_query(self, query: str) -> None:
        """Show what is found; an empty query restores scroll and folding."""
        query = query.strip()
        if query == self.seen.query:
            return
        bar = self.verticalScrollBar()
        if query and self._before_search is None:
            self._before_search = bar.value()
        self.seen.search(query)
        self.refresh_all()
        if not query and self._before_search is not None:
            place, self._before_search = self._before_search, None
            QTimer.singleShot(0, self, lambda: bar.setValue(place))
        elif query:
            bar.setValue(0)

    def set_folded(self, names: Iterable[str]) -> None:
        """Show these groups as one line each, as at the first start."""
        if self._folded != frozenset(names):
            self._folded = frozenset(names)
            self.refresh_all()

    def unfold(self, name: str) -> None:
        """Open a folded group."""
        if name in self._folded:
            self.set_folded(self._folded - {name})

    def refresh_all(self) -> None:
        """Show every value, mark and field as it is now; new rows below the view come later."""
        if not self.groups:
            return
        self._inner.setUpdatesEnabled(False)
        room = self._room()
        for name in self.groups:
            self._refresh_group(name, room)
        self._inner.setUpdatesEnabled(True)
        self._late.start()
        self.marks_changed.emit()

    def _refresh_group(self, name: str, room: Room) -> None:
        group = self.groups[name]
        filtered = self.seen.is_on
        folded = name in self._folded and not filtered
        if folded != group.is_folded:
            group.set_folded(folded)
        phrase = ""
        if filtered:
            shown = [o for o in group.entries if self.seen.showing(o).visible]
            total = sum(self.document.is_in_force(o.path) for o in group.entries)
            phrase = self.tr("%d of %d fields") % (len(shown), total)
        for tables in group.tables.values():
            tables.cards.found = self.seen.found_in(tables.cards.option.path)
        group.refresh(self.seen.showing, room, phrase)
        if folded:
            group.show()
        for path, row in group.rows.items():
            self._refresh_row(path, row)
        for tables in group.tables.values():
            tables.cards.refresh()

    def _refresh_row(self, path: str, row: FormRow) -> None:
        document = self.document
        row.set_architecture(document.architecture)
        row.set_values([document.get(p) for p in row.paths])
        changed = [p for p in row.paths if document.is_changed(p)]
        row.set_changed(bool(changed), [document.preset_value(p) for p in row.paths])
        row.set_hint(consequence(path, document.get))
        if source_of(path):
            row.editor.set_inherited(inherited_words(path, document))

    # -- listening -------------------------------------------------------------------------

    def _on_row_made(self, row: FormRow) -> None:
        row.edited.connect(self._on_edited)
        row.reset_asked.connect(self.document.reset)
        row.fix_asked.connect(self.apply_fix)
        row.attended.connect(self._on_attended)
        row.menu_asked.connect(self.row_menu_asked)
        row.turn_on_asked.connect(self._on_turn_on)
        row.set_architecture(self.document.architecture)
        if row.path in self._unusable and isinstance(row.editor, TextEdit):
            row.editor.set_disabled(self._unusable[row.path])
        row.set_label_width(self._label_width(row.path))
        if "[" not in row.path:
            self._refresh_row(row.path, row)
        self._show_at(row)

    def _on_tables_made(self, tables: TablesRow) -> None:
        tables.cards.set_problems(self.told.by_path)

    def _label_width(self, path: str) -> int:
        if "[" in path:
            return LABEL_SMALL
        return 128 if self.width() < 430 else LABEL

    def set_unusable(self, path: str, reasons: Mapping[str, str]) -> None:
        """Grey suggestions of a field that cannot be used on this machine, with the reason."""
        self._unusable[path] = dict(reasons)
        row = self.row_at(path)
        if row is not None and isinstance(row.editor, TextEdit):
            row.editor.set_disabled(reasons)

    def _on_edited(self, pairs: list[tuple[str, object]]) -> None:
        if len(pairs) == 1:
            self.document.set(*pairs[0])
        else:
            label = option_at(pairs[0][0]).label(self.document.architecture)
            self.document.set_many(pairs, pair_label(label).lower())

    def _on_attended(self, path: str, by_focus: bool) -> None:
        if by_focus and path != self.focused_path:
            self.focused_path = path
            self.document.end_merging()
        self.attended.emit(path)

    def _on_turn_on(self, path: str) -> None:
        pairs = turn_on(option_at(path), self.document.data)
        if pairs:
            label = option_at(pairs[0][0]).label(self.document.architecture).lower()
            self.document.set_many(pairs, self.tr("turn on %s") % label)
            self.seen.search(self.seen.query)
            self.refresh_all()

    def apply_fix(self, problem: Problem) -> None:
        """Apply a problem's mend as one step."""
        self.document.end_merging()
        label = problem.fix_label or option_at(problem.path).label(self.document.architecture)
        self.document.set_many(problem.fix, label[:1].lower() + label[1:])
        self.document.end_merging()

    def _on_document_changed(self, paths: list[str]) -> None:
        self.refresh_all() if len(paths) > 8 else self._refresh_some(paths)
        self.marks_changed.emit()

    def _refresh_some(self, paths: list[str]) -> None:
        names = {path.partition(".")[0] for path in paths}
        watched = {w.path for g in self.groups.values() for o in g.entries
                   for w in o.hints.only_if}  # fmt: skip
        if watched.intersection(paths):
            names = set(GROUPS)  # other fields may come or go
        for name in names.intersection(self.groups):
            self._refresh_group(name, Room())

    # -- problems --------------------------------------------------------------------------

    def show_problems(self) -> None:
        """Show what is wrong at its rows; a path without a row shows at the nearest above."""
        if self.told.refresh():
            self.seen.problems = self.told.by_path
            self.refresh_all()
        self.seen.problems = self.told.by_path
        for group in self.groups.values():
            for row in group.rows.values():
                if not row.is_absent:
                    self._show_at(row)
            for path, tables in group.tables.items():
                tables.cards.set_problems(self.told.by_path)
                tables.show_messages(self.told.by_path.get(path, []))
        if self.filter == "mend" and not self.told.by_path:
            self.set_filter("none")
        self.marks_changed.emit()

    def _show_at(self, row: FormRow) -> None:
        row.set_problems([p for path in row.paths for p in self.told.by_path.get(path, ())])

    def set_shows_missing(self) -> None:
        """From now on mark fields that are still empty as wrong; before, nobody had their turn."""
        self.told.shows_missing = True

    # -- moving about ----------------------------------------------------------------------

    def row_at(self, path: str) -> FormRow | None:
        """The row of a concrete path, if it is shown or was; one that waits is made now."""
        group = self.groups.get(path.partition(".")[0])
        if group is None:
            return None
        if row_path(path).partition("[")[0] in group.missing:
            group.make_missing()
        return group.all_rows().get(row_path(path))

    def focus_field(self, path: str) -> None:
        """Bring a field into view, even a hidden one, and move to its editor."""
        self.finish_building()
        self.unfold(path.partition(".")[0])
        option = option_at(path)
        if not self.seen.showing(option_at(path.partition("[")[0])).visible:
            self.set_filter("none")
            if not self.seen.showing(option_at(path.partition("[")[0])).visible:
                self.set_shows_all(True)
            self.finish_building()
        row = self.row_at(path)
        if row is not None:
            body = row.parentWidget()
            section = body.parentWidget() if body is not None else None
            if isinstance(section, Section):
                section.set_open(True)
            self._bring(row)
            row.focus_editor()
            QTimer.singleShot(0, row, lambda: self._bring(row))  # the help strip may have grown
            self.attended.emit(path)
        elif option.kind == "tables":
            tables = self.groups[option.group].tables.get(option.path)
            if tables is not None:
                self.ensureWidgetVisible(tables, 0, 40)
                tables.cards.add.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _bring(self, row: FormRow) -> None:
        """Scroll a row well into view, and mark its group in the rail."""
        self._inner.adjustSize()
        QApplication.sendPostedEvents()
        self.ensureWidgetVisible(row, 0, 80)
        self.group_changed.emit(row.path.partition(".")[0])

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the labels the width that fits."""
        super().resizeEvent(event)
        self.refit()

    def refit(self) -> None:
        """Fit the labels to the form's width and the text size."""
        for group in self.groups.values():
            for path, row in group.all_rows().items():
                row.set_label_width(self._label_width(path))

    def scroll_to_group(self, name: str) -> None:
        """Bring a group's title to the top."""
        self.finish_building()
        self.unfold(name)
        self._inner.adjustSize()
        QApplication.sendPostedEvents()
        self.verticalScrollBar().setValue(max(0, self.groups[name].y() - 4))

    def _on_scrolled(self, value: int) -> None:
        shown = [n for n, group in self.groups.items() if group.isVisible()]
        above = [n for n in shown if self.groups[n].y() <= value + 60]
        if value >= self.verticalScrollBar().maximum() > 0 and self._asked_group in shown:
            above.append(self._asked_group)  # the last groups cannot come to the top
        if above:
            self.group_changed.emit(above[-1])

    _asked_group = ""

    def show_group(self, name: str) -> None:
        """As the rail asks: scroll, and keep the group marked even at the form's end."""
        self._asked_group = name
        self.scroll_to_group(name)
        self.group_changed.emit(name)
