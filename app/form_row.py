"""One row of the form: mark, label, editor, range, reset, and what is wrong under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPointF, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QEnterEvent,
    QFocusEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.editors import as_widget, limit_choices, make_editor, value_words
from app.every_pairs import pair_label
from app.settings import Settings
from app.theme import SMALL, color
from app.widgets.button import Button, IconButton
from app.widgets.every import EveryEdit, every_words
from app.widgets.label import FittingLabel, Label
from app.widgets.message import Message
from app.widgets.number import range_words, short_range_words
from engine.schema.options import Option
from engine.schema.problem import Problem

GUTTER, LABEL, LABEL_SMALL, ACTION = 16, 146, 118, 24


class RowLabel(Label):
    """The field's name; a click moves to its editor."""

    pressed = Signal()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Say that it was pressed."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.pressed.emit()
        else:
            super().mousePressEvent(event)


class FormRow(QWidget):
    """The row of one field at a concrete path, or of two that are one question (`partner`).

    Signals:
        edited: list of pairs of path and value.
        reset_asked: list of the row's paths.
        fix_asked: the Problem whose mend is wanted.
        attended: path, when the mouse or focus comes to the row.
        menu_asked: path, global position.
        turn_on_asked: path, of a field that does not apply now.
    """

    edited = Signal(list)
    reset_asked = Signal(list)
    fix_asked = Signal(object)
    attended = Signal(str, bool)  # path, by focus
    menu_asked = Signal(str, object)
    turn_on_asked = Signal(str)

    def __init__(
        self,
        option: Option,
        path: str,
        settings: Settings,
        parent: QWidget,
        *,
        in_card: bool = False,
        partner: Option | None = None,
    ) -> None:
        super().__init__(parent)
        self.option, self.path, self.partner = option, path, partner
        self.paths = [path] if partner is None else [path, partner.path]
        self._name = ""
        self._changed = False
        self._absent = ""
        self._problems: tuple[Problem, ...] = ()
        self.setProperty("path", path)
        self.editor = EveryEdit(self) if partner else make_editor(option, settings, self)
        self._build(in_card)
        self._watch_parts()
        self.set_architecture("")

    def _build(self, in_card: bool) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(4)
        line = QHBoxLayout()
        line.setContentsMargins(0 if in_card else GUTTER, 0, 0, 0)
        line.setSpacing(8)
        self.label = RowLabel("", parent=self)
        self.label.setWordWrap(True)
        self.label.pressed.connect(self.focus_editor)
        self._in_card = in_card
        self.set_label_width(LABEL_SMALL if in_card else LABEL)
        widget = as_widget(self.editor)
        self.label.setBuddy(widget)
        self.hint = FittingLabel("text3", SMALL, self)
        self.reset = IconButton("reset", self.tr("Reset to the preset"), self, side=ACTION)
        self.reset.clicked.connect(lambda: self.reset_asked.emit(self.paths))
        policy = self.reset.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.reset.setSizePolicy(policy)
        self.reset.hide()
        line.addWidget(self.label, 0, Qt.AlignmentFlag.AlignVCenter)
        fills = widget.sizePolicy().horizontalPolicy() in (
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred,
        )  # fmt: skip
        if self.option.kind in ("int", "float") or not fills or self.option.kind == "bool":
            line.addWidget(widget, 0)
            if self.option.kind in ("int", "float"):
                line.addWidget(self.hint, 1)
                self.set_hint("")
            else:
                self.hint.hide()
                line.addStretch(1)
        else:
            line.addWidget(widget, 1)
        if not in_card:
            line.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignVCenter)
        column.addLayout(line)
        self._messages = QVBoxLayout()
        self._messages.setSpacing(4)
        self._messages.setContentsMargins(self._editor_left(), 0, 0, 0)
        column.addLayout(self._messages)
        self.editor.edited.connect(self._on_edited)

    def _on_edited(self, value: Any) -> None:
        values = [value] if self.partner is None else value
        self.edited.emit(list(zip(self.paths, values, strict=True)))

    def _editor_left(self) -> int:
        return (0 if self._in_card else GUTTER) + self.label.maximumWidth() + 8

    def set_label_width(self, width: int) -> None:
        """Give the label another width at other text sizes or widths of the form."""
        scale = max(1.0, self.fontMetrics().height() / 17)
        self.label.setFixedWidth(round(width * min(scale, 1.5)))
        if hasattr(self, "_messages"):
            margins = self._messages.contentsMargins()
            margins.setLeft(self._editor_left())
            self._messages.setContentsMargins(margins)

    def set_architecture(self, architecture: str) -> None:
        """Call the field as it is called for an architecture, with the choices it has there."""
        name = self.option.label(architecture)
        name = pair_label(name) if self.partner is not None else name
        limit_choices(self.editor, self.option, architecture)
        if name != self._name:
            self._name = name
            self.label.setText(name)
            self._name_parts()

    def _parts(self) -> list[QWidget]:
        widget = as_widget(self.editor)
        parts = (widget, *widget.findChildren(QWidget))
        return [p for p in parts if p.focusPolicy() != Qt.FocusPolicy.NoFocus]

    def _watch_parts(self) -> None:
        for part in self._parts():
            part.setProperty("own_name", part.accessibleName())
            part.installEventFilter(self)

    def _name_parts(self) -> None:
        """Name everything that can have focus, for screen readers."""
        name = self._name
        self.reset.setAccessibleName(self.tr("Reset %s") % name)
        for part in self._parts():
            own = str(part.property("own_name") or "")
            part.setAccessibleName(f"{own}: {name}" if own else name)
            part.setAccessibleDescription(self.option.hints.help)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice focus coming to any part of the editor."""
        if isinstance(event, QFocusEvent) and event.gotFocus():
            self.attended.emit(self.path, True)
        return super().eventFilter(watched, event)

    def enterEvent(self, event: QEnterEvent) -> None:
        """Notice the mouse."""
        self.attended.emit(self.path, False)
        super().enterEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the row's menu."""
        self.menu_asked.emit(self.path, event.globalPos())

    def focus_editor(self) -> None:
        """Move to the editor."""
        as_widget(self.editor).setFocus(Qt.FocusReason.ShortcutFocusReason)

    def set_values(self, values: Sequence[Any]) -> None:
        """Show the value of each of the row's paths."""
        self.editor.set_value(values[0] if self.partner is None else tuple(values))

    def set_hint(self, text: str) -> None:
        """Words beside a number: what follows from it, or its range."""
        if text or self.option.kind not in ("int", "float") or self.partner is not None:
            self.hint.show_words(text)
            return
        bounds, kind = self.option.bounds, self.option.kind
        if bounds.get("ge") == -1 and bounds.get("lt", 0) > 2**31:
            self.hint.show_words(self.tr("-1: new each time"), self.tr("-1: new"))
        else:
            self.hint.show_words(range_words(bounds, kind), short_range_words(bounds, kind))

    def set_changed(self, changed: bool, preset_values: Sequence[Any]) -> None:
        """Mark the field as different from the preset."""
        if changed:
            was = value_words(self.option, preset_values[0])
            if self.partner is not None:
                was = every_words(tuple(preset_values))
            self.reset.setToolTip(self.tr("Back to %s") % was)
        if changed != self._changed:
            self._changed = changed
            self.label.set_style(bold=changed)
            self.reset.setVisible(changed)
            self.update()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the field."""
        return self._problems

    def set_problems(self, problems: Sequence[Problem]) -> None:
        """Show what is wrong, each with its mend."""
        problems = tuple(problems)
        if problems == self._problems:
            return
        self._problems = problems
        _clear(self._messages)
        self._messages.setContentsMargins(self._editor_left(), 0, ACTION + 8, 0)
        state = "rest"
        for problem in problems:
            state = "error" if "error" in (state, problem.severity) else "warn"
            self._messages.addWidget(Message(problem.message, problem.severity, self))
            if problem.fix:
                button = Button(problem.fix_label or self.tr("Mend it"), small=True, parent=self)
                button.clicked.connect(lambda _=False, p=problem: self.fix_asked.emit(p))
                self._messages.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        self.editor.set_state(state)
        words = " ".join(p.message for p in problems) or self.option.hints.help
        as_widget(self.editor).setAccessibleDescription(words)

    @property
    def is_absent(self) -> bool:
        """Whether the field is shown only because the search found it."""
        return bool(self._absent)

    def set_absent_once(self, words: str, can_turn_on: bool) -> None:
        """As `set_absent`, but only when the words are other ones than before."""
        if words != self._absent:
            self._absent = words
            self.set_absent(words, can_turn_on)

    def set_absent(self, words: str, can_turn_on: bool) -> None:
        """Show a field that the search found but that does not apply: when it appears.

        Empty words: it applies.
        """
        as_widget(self.editor).setEnabled(not words)
        self.label.set_style("text3" if words else "text")
        _clear(self._messages)
        shown, self._problems = self._problems, ()
        if not words:
            self.set_problems(shown)
            return
        self._messages.setContentsMargins(self._editor_left(), 0, ACTION + 8, 0)
        self._messages.addWidget(Message(words, "hint", self))
        if can_turn_on:
            button = Button(self.tr("Turn on"), small=True, parent=self)
            button.clicked.connect(lambda: self.turn_on_asked.emit(self.path))
            self._messages.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the dot of a changed field."""
        if not self._changed or self._in_card:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color("changed"))
        middle = self.label.geometry().center().y() + 0.5
        painter.drawEllipse(QPointF(6, middle), 3, 3)


def _clear(layout: QVBoxLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
