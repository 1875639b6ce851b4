"""A number as a person types it: C locale, shortest form, never clamped, "off" where allowed."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from typing import Any, Literal

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import QLabel, QWidget

from app.icons import draw_icon
from app.widgets.button import IconButton
from app.widgets.frame import Frame, Line
from engine.schema.check import NONE_WORDS
from engine.schema.field import Scale

Kind = Literal["int", "float"]
DRAWN_BELOW = 2**31  # seeds are drawn as other programs draw them


def parse_number(text: str, kind: Kind) -> int | float | str:
    """Read what was typed; text that is no number comes back as it is, for the check to judge.

    One comma counts as the point, since many keyboards write 0,0001 (spec: gui 3.5).
    """
    cleaned = text.strip().replace("\u2212", "-").replace(" ", "")
    if cleaned.count(",") == 1 and "." not in cleaned:
        cleaned = cleaned.replace(",", ".")
    try:
        if kind == "int":
            return int(cleaned)
        value = float(cleaned)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def number_text(value: Any) -> str:
    """The shortest form that reads back as the same number: 1e-4, 0.05, 8."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = repr(value)
    if "e" in text:
        head, _, power = text.partition("e")
        return f"{head}e{int(power)}"
    if 0 < abs(value) < 0.001:
        head, _, power = f"{value:.15e}".partition("e")
        return f"{head.rstrip('0').rstrip('.')}e{int(power)}"
    return text


class Stepper(QWidget):
    """Two small arrows; pressing the upper or lower half emits +1 or -1."""

    stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedWidth(20)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Step by the half that was pressed."""
        self.stepped.emit(1 if event.position().y() < self.height() / 2 else -1)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """A quick second press is a press."""
        self.mousePressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint both arrows."""
        painter = QPainter(self)
        middle = self.height() / 2
        ink = "text" if self.underMouse() else "text2"
        if not self.isEnabled():
            ink = "text3"
        draw_icon(painter, "chevron-up", QRectF(4, middle - 11, 11, 11), ink)
        draw_icon(painter, "chevron-down", QRectF(4, middle, 11, 11), ink)


class NumberEdit(Frame):
    """An editor for whole and real numbers with steps by arrows, keys and, in focus, the wheel.

    Signals:
        edited: the value as typed: a number, None for off, or text that is no number.
    """

    edited = Signal(object)

    def __init__(
        self,
        kind: Kind,
        parent: QWidget | None = None,
        *,
        scale: Scale = "linear",
        step: float | None = None,
        bounds: Mapping[str, float] | None = None,
        optional: bool = False,
        empty: str = "",
        unit: str = "",
        dice: bool = False,
    ) -> None:
        super().__init__(parent)
        self._kind: Kind = kind
        self._scale, self._step = scale, step
        self._bounds = dict(bounds or {})
        self._optional = optional
        self._value: Any = None
        self.line = Line(self)
        self.line.setPlaceholderText(empty if optional else "")
        self.line.setToolTip(empty if optional else "")  # it may be longer than the line
        self.line.textEdited.connect(self._on_line_edited)
        self.line.editingFinished.connect(self._on_editing_finished)
        self.line.installEventFilter(self)
        self.watch(self.line)
        self.row.addWidget(self.line, 1)
        if unit:
            label = QLabel(unit, self)
            palette = label.palette()
            palette.setColor(label.foregroundRole(), palette.placeholderText().color())
            label.setPalette(palette)
            self.row.addWidget(label)
        self.dice: IconButton | None = None
        if dice:
            self.dice = IconButton("dice", self.tr("Draw another number"), self, side=24)
            self.dice.clicked.connect(self._on_dice)
            self.row.addWidget(self.dice)
        self._stepper = Stepper(self)
        self._stepper.stepped.connect(self._on_stepped)
        self.row.addWidget(self._stepper)
        self.setFocusProxy(self.line)

    def value(self) -> Any:
        """The value as last set or typed."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Show a value, unless the line already says the same."""
        if self._read(self.line.text()) != value or self._value != value:
            self.line.setText("" if value is None else number_text(value))
        self._value = value

    def set_inherited(self, text: str) -> None:
        """Show what applies while the line is empty."""
        self.line.setPlaceholderText(text)

    def _read(self, text: str) -> Any:
        if self._optional and text.strip().lower() in NONE_WORDS:
            return None
        return parse_number(text, self._kind)

    def _on_line_edited(self, text: str) -> None:
        self._value = self._read(text)
        self.edited.emit(self._value)

    def _on_editing_finished(self) -> None:
        if self._value is None or isinstance(self._value, int | float):
            self.line.setText("" if self._value is None else number_text(self._value))

    def _on_dice(self) -> None:
        self._put(secrets.randbelow(DRAWN_BELOW))

    def _put(self, value: int | float) -> None:
        self._value = value
        self.line.setText(number_text(value))
        self.edited.emit(value)

    def _on_stepped(self, count: int) -> None:
        self.line.setFocus(Qt.FocusReason.MouseFocusReason)
        self.step_by(count)

    def step_by(self, count: int, large: bool = False) -> None:
        """Move the value by steps: ×2 for ranks, ×1.1 for rates, else by one unit of its step."""
        value = self._value
        low = self._bounds.get("ge", self._bounds.get("gt", -math.inf))
        high = self._bounds.get("le", self._bounds.get("lt", math.inf))
        if not isinstance(value, int | float):
            value = self._stepped_from_nothing(low, count)
            if value is None:
                return
        elif self._scale == "log":
            factor = 10 if large else 1.1
            value = float(f"{(value or 1e-6) * factor**count:.3g}")
        elif self._scale == "double" and large:
            value = max(1, value * 2) if count > 0 else value // 2
        else:
            value = self._linear(value, count * (10 if large else 1))
        value = min(max(value, low), high)
        if "lt" in self._bounds and value >= self._bounds["lt"]:
            return
        if "gt" in self._bounds and value <= self._bounds["gt"]:
            return
        value = int(value) if self._kind == "int" else float(value)
        self._put(value)

    def _stepped_from_nothing(self, low: float, count: int) -> float | None:
        if count < 0:
            return None
        if self._scale == "double":
            return max(4, low)
        if self._scale == "log":
            return 1e-4
        return max(low, 1) if self._kind == "int" else max(low, 0.1)

    def _linear(self, value: float, count: int) -> float:
        high = self._bounds.get("le", self._bounds.get("lt"))
        step = self._step or self._bounds.get("multiple_of")
        if step is None:
            if self._kind == "int":
                step = 1
            else:
                step = 0.05 if high is not None and high <= 1 else (0.1 if value < 2 else 1)
        return (
            round((value + count * step) / step) * step
            if self._kind == "int"
            else float(f"{value + count * step:.10g}")
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow and page keys step; the wheel steps only while the line has focus."""
        if watched is self.line and isinstance(event, QKeyEvent):
            steps = {
                Qt.Key.Key_Up: (1, False), Qt.Key.Key_Down: (-1, False),
                Qt.Key.Key_PageUp: (1, True), Qt.Key.Key_PageDown: (-1, True),
            }  # fmt: skip
            found = steps.get(Qt.Key(event.key()))
            plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
            if found and event.type() == QEvent.Type.KeyPress and not plain:
                self.step_by(*found)
                return True
        return super().eventFilter(watched, event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Step while in focus; otherwise leave the wheel to the scrolling area."""
        if not self.line.hasFocus() or not event.angleDelta().y():
            event.ignore()
            return
        self.step_by(1 if event.angleDelta().y() > 0 else -1)
        event.accept()

    def sizeHint(self) -> QSize:
        """104 wide at the usual text size, wider for units and words."""
        metrics = self.fontMetrics()
        wide = metrics.horizontalAdvance("0" * (10 if self.dice else 7)) + 40
        wide += 26 if self.dice else 0
        words = metrics.horizontalAdvance(self.line.placeholderText()) + 44
        unit = sum(label.sizeHint().width() for label in self.findChildren(QLabel))
        return QSize(max(wide, 104, min(words, 190)) + unit, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """A number of some digits stays readable."""
        return QSize(90, super().minimumSizeHint().height())


def range_words(bounds: Mapping[str, float], kind: str, optional_word: str = "") -> str:
    """The range in words: "1 to 1,024", "0 or more"."""
    low, high = _ends(bounds)
    if low is not None and high is not None:
        words = f"{_said(low)} to {_said(high)}"
    elif high is not None:
        words = f"up to {_said(high)}"
    elif low is not None and low > 0 and kind == "int":
        words = f"{_said(low)} or more"
    else:
        return ""
    return f"{optional_word} or {words}" if optional_word else words


def short_range_words(bounds: Mapping[str, float], kind: str) -> str:
    """The same for a narrow place: "1–1,024", "≥ 1"."""
    low, high = _ends(bounds)
    if low is not None and high is not None:
        return f"{_said(low)}–{_said(high)}"
    if high is not None:
        return f"≤ {_said(high)}"
    return f"≥ {_said(low)}" if low is not None and low > 0 and kind == "int" else ""


def _ends(bounds: Mapping[str, float]) -> tuple[float | None, float | None]:
    """Lowest and highest value; an end that nobody would reach is none."""
    high = bounds.get("le", bounds.get("lt"))
    return bounds.get("ge", bounds.get("gt")), None if high is None or high > 1e7 else high


def _said(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else number_text(float(value))
