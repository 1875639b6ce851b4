"""What stands on the loss plot besides its lines: marks, end values, the grey of steps to come."""

from __future__ import annotations

import math
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QBrush, QColor, QPen

from app import theme
from app.chart_data import ChartData
from app.words import figure_words

_ROOM_FOR_WORDS = 0.09  # of the view's width; with less, the end values stand left of the end


class ChartMarks(QObject):
    """Draws on a plot; values are in the plot's own scale, logarithms where it is logarithmic.

    Signals:
        clicked: the step of a preview or file.
    """

    clicked = Signal(int)

    def __init__(self, plot: Any) -> None:
        super().__init__()
        self._plot = plot
        self._html = ""
        self.future = pg.LinearRegionItem(movable=False, pen=pg.mkPen(None))
        self.future.setZValue(-20)
        self.diamonds = pg.ScatterPlotItem(symbol="d", size=11)
        self.end_dot = pg.ScatterPlotItem(symbol="o", size=8)
        self.marks = pg.ScatterPlotItem(hoverable=True, hoverSize=13)
        self.marks.sigClicked.connect(self._on_clicked)
        self.flags = pg.ScatterPlotItem(symbol="t", size=11)
        self.end_words = pg.TextItem(anchor=(0, 0.5))
        self.fail_line = pg.InfiniteLine(angle=90, movable=False)
        self.fail_words = pg.TextItem(anchor=(0, 0))
        items = (
            self.end_dot, self.diamonds, self.marks, self.flags, self.end_words, self.fail_line,
            self.fail_words,
        )  # fmt: skip
        for z, item in enumerate(items, 5):
            item.setZValue(z)
            plot.addItem(item, ignoreBounds=True)
        plot.addItem(self.future, ignoreBounds=True)
        for item in (self.fail_line, self.fail_words):  # nothing is drawn before there is a run
            item.hide()

    def draw(self, data: ChartData, log: bool, validation: bool, smoothed: bool) -> None:
        """Draw all for the view as it is now."""
        x = data.x()
        here = float(x[-1]) if len(x) else 0.0
        self._draw_validation(data, log, validation)
        self._draw_marks(data)
        end = data.end()
        self.future.setRegion((here, max(end, here)))
        self.future.setVisible(end > here)
        self._draw_end(data, here, log, validation, smoothed)
        self._draw_failure(data, here)

    def _draw_validation(self, data: ChartData, log: bool, shown: bool) -> None:
        found = data.state.validations if shown else []
        x = data.x_of([v.step for v in found])
        self.diamonds.setData(x, [in_scale(v.loss, log) for v in found])

    def _draw_marks(self, data: ChartData) -> None:
        """Files and previews along the foot of the plot; not-a-number flags along its top."""
        tokens = theme.tokens()
        bottom, top = self._plot.getViewBox().viewRange()[1]
        foot = bottom + (top - bottom) * 0.03
        spots: list[dict[str, Any]] = []
        files = [c.step for c in data.state.files()]
        samples = sorted({s.step for s in data.state.samples})
        for steps, look in (
            (files, {"symbol": "s", "size": 7, "brush": tokens.text3}),
            (samples, {"symbol": "o", "size": 8, "brush": tokens.accent}),
        ):
            places = zip(steps, data.x_of(steps), strict=True)
            spots += [{"pos": (at, foot), "data": step, **look} for step, at in places]
        self.marks.setData(spots)
        flags = data.not_finite()[-200:]
        head = top - (top - bottom) * 0.03
        self.flags.setData(data.x_of(flags.tolist()), [head] * len(flags))

    def _draw_end(
        self, data: ChartData, here: float, log: bool, validation: bool, smoothed: bool
    ) -> None:
        """The last values, beside the last point."""
        state = data.state
        ends: list[tuple[float, str, str]] = []
        if state.validations and validation:
            ends.append((state.validations[-1].loss, self.tr("Validation"), "validation"))
        last = float(data.smoothed[-1]) if smoothed and len(data.smoothed) else math.nan
        if math.isfinite(last):
            ends.append((last, self.tr("Smoothed"), "smoothed"))
            self.end_dot.setData([here], [in_scale(last, log)])
        else:
            self.end_dot.setData([], [])
        ends.sort(reverse=True)
        self._set_end_words(ends)
        self.end_words.setVisible(bool(ends))
        if not ends:
            return
        (low, high), (bottom, top) = self._plot.getViewBox().viewRange()
        room = (high - here) / max(high - low, 1e-12)
        self.end_words.setAnchor((0, 0.5) if room > _ROOM_FOR_WORDS else (1.1, 0.5))
        middle = sum(in_scale(value, log) for value, _, _ in ends) / len(ends)
        margin = 0.28 * (top - bottom)
        middle = min(max(middle, bottom + margin), top - margin)
        self.end_words.setPos(here + (high - low) * 0.012, middle)

    def _set_end_words(self, ends: list[tuple[float, str, str]]) -> None:
        tokens = theme.tokens()
        size = theme.font().pointSizeF() * theme.SMALL
        html = "".join(
            f'<div style="font-size:{size:.1f}pt; color:{getattr(tokens, token)}">{name}</div>'
            f'<div style="font-size:{size * 1.05:.1f}pt; font-weight:600; color:{tokens.text}">'
            f"{figure_words(value)}</div>"
            for value, name, token in ends
        )
        if html != self._html:
            self._html = html
            self.end_words.setHtml(html)

    def _draw_failure(self, data: ChartData, here: float) -> None:
        state = data.state
        failed = state.failure is not None or bool(state.died)
        self.fail_line.setVisible(failed)
        self.fail_words.setVisible(failed)
        if not failed:
            return
        (low, high), (_, top) = self._plot.getViewBox().viewRange()
        words = failure_words(state.failure.kind if state.failure else "", state.step)
        tokens = theme.tokens()
        self.fail_line.setPos(here)
        self.fail_words.setHtml(
            f'<span style="color:{tokens.error}; font-weight:600;">&nbsp;{words}&nbsp;</span>'
        )
        self.fail_words.setPos(here + (high - low) * 0.01, top)

    def restyle(self) -> None:
        """Take colors from the theme."""
        tokens = theme.tokens()
        edge = line_pen(QColor(tokens.raised), 1.2)
        for item, name in (
            (self.diamonds, "validation"), (self.end_dot, "smoothed"), (self.flags, "error"),
        ):  # fmt: skip
            item.setBrush(QBrush(theme.color(name)))
            item.setPen(edge)
        self.marks.setPen(edge)
        self.future.setBrush(QBrush(theme.color("text", 0.045)))
        self.fail_line.setPen(line_pen(QColor(tokens.error), 1.6))
        self.fail_words.fill = QBrush(QColor(tokens.error_soft))
        self.fail_words.border = line_pen(QColor(tokens.error), 1.0)
        self._html = ""

    def _on_clicked(self, _: object, spots: Any) -> None:
        if len(spots):
            self.clicked.emit(int(spots[0].data()))


def in_scale(value: float, log: bool) -> float:
    """A value as the plot's axis has it."""
    return math.log10(value) if log and value > 0 else value


def in_scale_of(values: Any, log: bool) -> Any:
    """Several values, shape (n,), as the plot's axis has them; those that have no place are NaN."""
    import numpy

    numbers = numpy.asarray(values, dtype=float)
    if not log:
        return numbers
    with numpy.errstate(divide="ignore", invalid="ignore"):
        return numpy.where(numbers > 0, numpy.log10(numbers), numpy.nan)


def failure_words(kind: str, step: int) -> str:
    """A failure in few words."""
    short = {
        "memory": "out of memory", "nan": "loss not a number", "disk": "disk full",
        "device": "device lost",
    }.get(kind, "stopped")  # fmt: skip
    return f"{short}, step {step:,}"


def line_pen(color: QColor, width: float) -> QPen:
    """A pen whose width is in pixels at any zoom."""
    pen = QPen(color, width)
    pen.setCosmetic(True)
    return pen
