"""Area B: search and filters over the rail, the form and the help strip."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.document import Document
from app.form import GROUPS, Form
from app.settings import Settings
from app.theme import color
from app.widgets.help_strip import HelpStrip
from app.widgets.notice import Notice
from app.widgets.pill import Pill
from app.widgets.rail import NARROW, Rail
from app.widgets.search_field import SearchField
from app.widgets.segmented import Segmented
from engine.schema.options import options

FORM_LEAST, FORM_USUAL, FORM_MOST = 380, 440, 640


class _SearchRow(QWidget):
    """The row over rail and form."""

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the lower line."""
        painter = QPainter(self)
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), color("line"))


class FormPane(QWidget):
    """The form with everything around it; folded, it is the rail alone.

    Signals:
        folded_changed: whether it is folded now.
    """

    folded_changed = Signal(bool)

    def __init__(
        self, document: Document, settings: Settings, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._document = document
        self.is_folded = False
        self._wants_narrow = False
        self.form = Form(document, settings, self)
        self.rail = Rail(self)
        for name in GROUPS:
            self.rail.add_group(name, options()[name].hints.label, name)
        self.help = HelpStrip(self)
        self.search = SearchField(self)
        self.basic_or_all = Segmented([(False, self.tr("Basic")), (True, self.tr("All"))], self)
        self.basic_or_all.setAccessibleName(self.tr("Which options"))
        self.basic_or_all.set_value(False)
        self.pill = Pill(self)
        self._build()
        self._connect()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._search_row = _SearchRow(self)
        row = QHBoxLayout(self._search_row)
        row.setContentsMargins(16, 9, 16, 10)
        row.setSpacing(8)
        row.addWidget(self.search, 1)
        row.addWidget(self.basic_or_all)
        row.addWidget(self.pill)
        column.addWidget(self._search_row)
        self._filter_note = Notice(
            self.tr("Showing what needs mending, and what belongs to it."), "info",
            [(self.tr("Show all"), lambda: self.form.set_filter("none"))], self, can_close=False,
        )  # fmt: skip
        self._filter_note.hide()
        body = QHBoxLayout()
        body.setSpacing(0)
        body.addWidget(self.rail)
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addWidget(self._filter_note)
        right.addWidget(self.form, 1)
        right.addWidget(self.help)
        body.addLayout(right, 1)
        column.addLayout(body, 1)

    def _connect(self) -> None:
        self.search.changed.connect(self._on_query)
        self.search.left.connect(self._to_first_row)
        self.basic_or_all.edited.connect(self.set_shows_all)
        self.pill.clicked.connect(self._on_pill)
        self.rail.chosen.connect(self._on_rail)
        self.form.group_changed.connect(self.rail.set_current)
        self.form.attended.connect(self.help.show_field)
        self._document.replaced.connect(self._on_replaced)
        self._on_replaced()
        self.form.marks_changed.connect(self.refresh_marks)
        self.form.filter_changed.connect(self._on_filter_changed)

    def _on_replaced(self) -> None:
        self.help.set_architecture(self._document.architecture)

    def _on_query(self, text: str) -> None:
        self.form.set_query(text)
        words = ""
        if text.strip():
            count = self.form.seen.found_count
            words = self.tr("%d found") % count if count else self.tr("Nothing found")
        self.search.line.setAccessibleDescription(words)
        self.search.setToolTip(words)

    def _to_first_row(self) -> None:
        for group in self.form.groups.values():
            for row in group.all_rows().values():
                if row.isVisible() and not row.is_absent:
                    row.focus_editor()
                    return

    def set_shows_all(self, shows_all: bool) -> None:
        """Basic or all options."""
        self.basic_or_all.set_value(shows_all)
        self.form.set_shows_all(shows_all)

    def _on_pill(self) -> None:
        if self.form.filter != "none":
            self.form.set_filter("none")
        else:
            self.form.set_filter("mend" if self._document.errors else "changed")

    def _on_filter_changed(self, which: str) -> None:
        words = self.tr("Showing what needs mending, and what belongs to it.")
        if which == "changed":
            words = self.tr("Showing what differs from the preset.")
        self._filter_note.label.setText(words)
        self._filter_note.setVisible(which != "none")
        self.refresh_marks()

    def _on_rail(self, name: str) -> None:
        if self.is_folded:
            self.set_folded(False)
        if self.form.filter != "none":
            self.form.set_filter("none")
        if self.search.line.text():
            self.search.line.clear()
        self.form.show_group(name)

    def refresh_marks(self) -> None:
        """Bring the rail's counts and the pill up to date."""
        for name in GROUPS:
            self.rail.set_counts(name, *self.form.told.counts(name))
        changed = len(self._document.changed_paths())
        wrong = len({p.path for p in self._document.errors if self.form.told.is_told(p)})
        if wrong:
            words = self.tr("%d to mend") % wrong
            self.pill.show_text(words, str(wrong), "error")
        elif changed:
            self.pill.show_text(self.tr("Changed %d") % changed, str(changed), "changed")
        else:
            self.pill.show_text(self.tr("Changed"), "0", "")
        self.pill.setChecked(self.form.filter != "none")
        self.pill.setEnabled(bool(wrong or changed) or self.form.filter != "none")

    def set_folded(self, folded: bool) -> None:
        """Fold to the rail's icons, or open again."""
        if folded == self.is_folded:
            return
        self.is_folded = folded
        for part in (self._search_row, self.form, self.help):
            part.setVisible(not folded)
        self._filter_note.setVisible(not folded and self.form.filter != "none")
        self._set_rail()
        self.setMinimumWidth(NARROW if folded else self.least_width())
        self.setMaximumWidth(NARROW if folded else self.rail.sizeHint().width() + FORM_MOST)
        self.folded_changed.emit(folded)

    def least_width(self) -> int:
        """The least width at which no field is cut."""
        return self.rail.sizeHint().width() + FORM_LEAST

    def fit_to_window(self, width: int) -> None:
        """Show the rail's words only where rail and form stay within 40 % of the window."""
        self._wants_narrow = 0.405 * width < 136 + FORM_USUAL
        self._set_rail()
        if not self.is_folded:
            self.setMinimumWidth(self.least_width())
            self.setMaximumWidth(self.rail.sizeHint().width() + FORM_MOST)

    def refit(self) -> None:
        """Fit everything to the text size."""
        self.form.refit()
        self.rail.updateGeometry()
        self._set_rail()

    def _set_rail(self) -> None:
        self.rail.set_narrow(self.is_folded or self._wants_narrow)
        self.rail.setFixedWidth(self.rail.sizeHint().width())
        self.help.more.setVisible(not self.is_folded and bool(self.help.path))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten the pill where room is scarce."""
        super().resizeEvent(event)
        self.pill.set_short(self.width() < 480)

    def go_to_search(self) -> None:
        """Move to the search field."""
        self.set_folded(False)
        self.search.line.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.line.selectAll()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the line at the right edge."""
        painter = QPainter(self)
        painter.fillRect(QRectF(self.width() - 1, 0, 1, self.height()), color("line"))
