"""The plots of the chart: loss over learning rate over gradient norm, on one x axis.

Imports pyqtgraph, so this module is imported when a chart is first shown (spec: gui 3.5).
"""

from __future__ import annotations

import math

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QBrush, QColor, QFont, QPen
from PySide6.QtWidgets import QWidget

from app import theme
from app.chart_data import ChartData, peaks
from app.words import figure_words

_STRIP_PX = 74
_STRIPS_FROM_PX = 300  # height from which strips are shown
_END_ROOM = 0.13  # of the run's length, right of the newest point, for its values
_LINE_POINTS = 2.0  # points a pixel of width


class _Axis(pg.AxisItem):
    """Tick words as the window writes numbers: "1,250", "1e-4"."""

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        if self.orientation == "bottom":
            return [f"{v:,.0f}" if spacing >= 1 else f"{v:.2g}" for v in values]
        if self.logMode:
            return [figure_words(10**v) for v in values]
        digits = max(0, min(8, math.ceil(-math.log10(spacing)))) if spacing > 0 else 2
        words = [f"{v * scale:.{digits}f}" for v in values]
        return words if digits <= 4 else [figure_words(v * scale) for v in values]


class _ViewBox(pg.ViewBox):
    """Drag and wheel zoom and pan; both tell that the person took over."""

    taken_over = Signal()

    def wheelEvent(self, ev: object, axis: int | None = None) -> None:
        super().wheelEvent(ev, axis)
        self.taken_over.emit()

    def mouseDragEvent(self, ev: object, axis: int | None = None) -> None:
        super().mouseDragEvent(ev, axis)
        self.taken_over.emit()


class LossPlots(pg.GraphicsLayoutWidget):
    """Draws a ChartData. `redraw` is cheap: what is drawn is cut to the view and to its pixels.

    Signals:
        hovered: x and the place in the widget, or None when the mouse left.
        mark_clicked: the step of a preview or file that was clicked.
        panned: the person moved or zoomed the view.
    """

    hovered = Signal(object)  # tuple[float, QPointF] | None
    mark_clicked = Signal(int)
    panned = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._data: ChartData | None = None
        self.follow = True
        self.log = False
        self.show_raw = self.show_smoothed = self.show_validation = True
        self.show_by_timestep = False
        self.show_grad_norm = False
        self.ci.layout.setContentsMargins(4, 4, 10, 2)
        self.ci.layout.setSpacing(2)
        self.loss_plot = self._add_plot(0)
        self.rate_plot = self._add_plot(1)
        self.norm_plot = self._add_plot(2)
        self.rate_plot.setXLink(self.loss_plot)
        self.norm_plot.setXLink(self.loss_plot)
        self._make_items()
        self._cut_timer = QTimer(self, interval=16, singleShot=True)
        self._cut_timer.timeout.connect(self.redraw)
        box = self.loss_plot.getViewBox()
        box.sigXRangeChanged.connect(lambda *_: self._cut_timer.start())
        self.scene().sigMouseMoved.connect(self._on_mouse_moved)
        theme.switch().changed.connect(self.restyle)
        self.restyle()
        self.setAccessibleName(self.tr("Loss chart"))

    def _add_plot(self, row: int) -> pg.PlotItem:
        box = _ViewBox()
        box.taken_over.connect(self._on_taken_over)
        axes = {"left": _Axis("left"), "bottom": _Axis("bottom")}
        plot = self.addPlot(row=row, col=0, viewBox=box, axisItems=axes)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.getAxis("left").setWidth(52)
        box.disableAutoRange()
        box.setDefaultPadding(0)
        if row:
            box.setMouseEnabled(x=True, y=False)
        return plot

    def _make_items(self) -> None:
        plot = self.loss_plot
        self._future = pg.LinearRegionItem(movable=False, pen=pg.mkPen(None))
        self._future.setZValue(-20)
        plot.addItem(self._future, ignoreBounds=True)
        self._raw, self._smoothed, self._validation = plot.plot(), plot.plot(), plot.plot()
        for z, item in enumerate((self._raw, self._smoothed, self._validation)):
            item.setZValue(z)
            item.setClipToView(False)
        self._diamonds = pg.ScatterPlotItem(symbol="d", size=11)
        self._end_dot = pg.ScatterPlotItem(symbol="o", size=8)
        self._marks = pg.ScatterPlotItem(hoverable=True, hoverSize=13)
        self._marks.sigClicked.connect(self._on_mark_clicked)
        self._flags = pg.ScatterPlotItem(symbol="t", size=11)
        for z, item in enumerate((self._end_dot, self._diamonds, self._marks, self._flags), 5):
            item.setZValue(z)
            plot.addItem(item, ignoreBounds=True)
        self._end_words = pg.TextItem(anchor=(0, 0.5))
        self._fail_line = pg.InfiniteLine(angle=90, movable=False)
        self._fail_words = pg.TextItem(anchor=(0, 0))
        for item in (self._end_words, self._fail_line, self._fail_words):
            item.setZValue(12)
            plot.addItem(item, ignoreBounds=True)
        self._cross = [pg.InfiniteLine(angle=90, movable=False) for _ in range(3)]
        for line, where in zip(self._cross, (plot, self.rate_plot, self.norm_plot), strict=True):
            line.setVisible(False)
            where.addItem(line, ignoreBounds=True)
        self._rates: list[pg.PlotDataItem] = []
        self._timesteps: dict[str, pg.PlotDataItem] = {}
        self._norm = self.norm_plot.plot()
        self._titles = [pg.LabelItem(justify="right") for _ in range(2)]
        for title, where in zip(self._titles, (self.rate_plot, self.norm_plot), strict=True):
            title.setParentItem(where.getViewBox())
            title.anchor(itemPos=(1, 0), parentPos=(1, 0), offset=(-4, -2))

    def set_data(self, data: ChartData | None) -> None:
        """Show another run, or none."""
        self._data = data
        for item in self._timesteps.values():
            self.loss_plot.removeItem(item)
        self._timesteps.clear()
        self.redraw()

    # Drawing

    def redraw(self) -> None:
        """Draw what the data hold now."""
        data = self._data
        if data is None:
            return
        data.update()
        if self.follow:
            self._follow_run(data)
        x = data.x()
        (low, high), _ = self.loss_plot.getViewBox().viewRange()
        points = max(200, int(self.width() * _LINE_POINTS))
        for item, values, shown in (
            (self._raw, data.loss, self.show_raw),
            (self._smoothed, data.smoothed, self.show_smoothed),
        ):
            item.setVisible(shown)
            if shown:
                item.setData(*peaks(x, values, low, high, points), connect="finite")
        self._draw_validation(data)
        self._draw_strips(data, low, high, points)
        self._draw_marks(data)
        self._draw_end(data)

    def _follow_run(self, data: ChartData) -> None:
        low, high = data.y_range(self.log)
        if self.log:
            low, high = math.log10(max(low, 1e-12)), math.log10(max(high, 1e-12))
        box = self.loss_plot.getViewBox()
        end, x = data.end(), data.x()
        here = float(x[-1]) if len(x) else 0.0
        right = max(end, here + end * _END_ROOM) if self.width() > 420 else end
        across = (-0.012 * right, right)
        box.setRange(xRange=across, yRange=(low, high), padding=0, update=True)

    def _draw_validation(self, data: ChartData) -> None:
        found = data.state.validations if self.show_validation else []
        x = data.x_of([v.step for v in found])
        y = [v.loss for v in found]
        self._validation.setData(x, y)
        self._diamonds.setData(x, [self._y(value) for value in y])
        wanted = found[-1].by_timestep if found and self.show_by_timestep else {}
        for name in [n for n in self._timesteps if n not in wanted]:
            self.loss_plot.removeItem(self._timesteps.pop(name))
        styles = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
        for number, name in enumerate(wanted):
            item = self._timesteps.get(name)
            if item is None:
                item = self._timesteps[name] = self.loss_plot.plot()
                item.setLogMode(False, self.log)
            pen = QPen(theme.color("validation", 0.6), 1, styles[number % 3])
            pen.setCosmetic(True)
            item.setPen(pen)
            item.setData(x, [v.by_timestep.get(name, math.nan) for v in found], connect="finite")

    def _draw_strips(self, data: ChartData, low: float, high: float, points: int) -> None:
        tall = self.height() >= _STRIPS_FROM_PX
        norm_shown = tall and self.show_grad_norm
        self._show_plot(self.rate_plot, tall)
        self._show_plot(self.norm_plot, norm_shown)
        last = self.norm_plot if norm_shown else self.rate_plot if tall else self.loss_plot
        for plot in (self.loss_plot, self.rate_plot, self.norm_plot):
            plot.getAxis("bottom").setStyle(showValues=plot is last)
            plot.getAxis("bottom").setHeight(22 if plot is last else 6)
        x = data.x()
        if tall:
            self._draw_rates(data, x, low, high, points)
        if norm_shown:
            values = data.grad_norm
            self._norm.setData(*peaks(x, values, low, high, points), connect="finite")
            import numpy

            finite = values[numpy.isfinite(values)]
            top = float(numpy.percentile(finite, 98)) * 1.3 if len(finite) else 1.0
            self.norm_plot.setYRange(0, top or 1.0, padding=0)

    def _draw_rates(self, data: ChartData, x: object, low: float, high: float, points: int) -> None:
        rates = data.learning_rates()
        while len(self._rates) < len(rates):
            self._rates.append(self.rate_plot.plot())
        top = 0.0
        styles = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
        for number, item in enumerate(self._rates):
            item.setVisible(number < len(rates))
            pen = QPen(theme.color("learning_rate"), 1.6, styles[number % 3])
            pen.setCosmetic(True)
            item.setPen(pen)
        for item, values in zip(self._rates, rates.values(), strict=False):
            size = len(values)
            item.setData(*peaks(x[:size], values, low, high, points))  # type: ignore[index]
            top = max(top, float(values.max()))
        self.rate_plot.setYRange(0, top * 1.15 or 1.0, padding=0)

    def _show_plot(self, plot: pg.PlotItem, shown: bool) -> None:
        is_shown = plot in self.ci.items
        if shown and not is_shown:
            row = 1 if plot is self.rate_plot else 2
            self.addItem(plot, row, 0)
            self.ci.layout.setRowFixedHeight(row, _STRIP_PX)
        elif is_shown and not shown:
            row = self.ci.items[plot][0][0]
            self.removeItem(plot)
            self.ci.layout.setRowFixedHeight(row, 0)

    def _draw_marks(self, data: ChartData) -> None:
        """Files and previews along the foot of the loss plot; not-a-number flags along its top."""
        tokens = theme.tokens()
        bottom, top = self.loss_plot.getViewBox().viewRange()[1]
        foot = bottom + (top - bottom) * 0.03
        samples = sorted({s.step for s in data.state.samples})
        files = [c.step for c in data.state.files()]
        spots = [
            {"pos": (x, foot), "symbol": "s", "size": 7, "brush": tokens.text3, "data": step}
            for step, x in zip(files, data.x_of(files), strict=True)
        ] + [
            {"pos": (x, foot), "symbol": "o", "size": 8, "brush": tokens.accent, "data": step}
            for step, x in zip(samples, data.x_of(samples), strict=True)
        ]  # fmt: skip
        self._marks.setData(spots)
        flags = data.not_finite()[-200:]
        head = top - (top - bottom) * 0.03
        self._flags.setData(data.x_of(flags.tolist()), [head] * len(flags))

    def _draw_end(self, data: ChartData) -> None:
        """The grey of steps to come, the last values beside their lines, the line of a failure."""
        state = data.state
        x = data.x()
        here = float(x[-1]) if len(x) else 0.0
        self._future.setRegion((here, max(data.end(), here)))
        self._future.setVisible(data.end() > here)
        ends: list[tuple[float, str, str]] = []
        if state.validations and self.show_validation:
            ends.append((state.validations[-1].loss, self.tr("Validation"), "validation"))
        if len(x) and self.show_smoothed and math.isfinite(data.smoothed[-1]):
            ends.append((float(data.smoothed[-1]), self.tr("Smoothed"), "smoothed"))
            self._end_dot.setData([here], [self._y(float(data.smoothed[-1]))])
        else:
            self._end_dot.setData([], [])
        ends.sort(reverse=True)
        tokens = theme.tokens()
        size = theme.font().pointSizeF() * theme.SMALL
        self._end_words.setHtml("".join(
            f'<div style="font-size:{size:.1f}pt; color:{getattr(tokens, token)}">{name}</div>'
            f'<div style="font-size:{size * 1.05:.1f}pt; font-weight:600; color:{tokens.text}">'
            f"{figure_words(value)}</div>"
            for value, name, token in ends
        ))  # fmt: skip
        (low, high), (bottom, top) = self.loss_plot.getViewBox().viewRange()
        room = (high - here) / max(high - low, 1e-12)
        self._end_words.setAnchor((0, 0.5) if room > 0.09 else (1.1, 0.5))
        if ends:
            middle = sum(self._y(value) for value, _, _ in ends) / len(ends)
            span = top - bottom
            middle = min(max(middle, bottom + span * 0.28), top - span * 0.28)
            self._end_words.setPos(here + (high - low) * 0.012, middle)
        self._end_words.setVisible(bool(ends))
        failed = state.failure is not None or bool(state.died)
        self._fail_line.setVisible(failed)
        self._fail_words.setVisible(failed)
        if failed:
            self._fail_line.setPos(here)
            words = failure_words(state.failure.kind if state.failure else "", state.step)
            self._fail_words.setHtml(
                f'<span style="color:{tokens.error}; font-weight:600;">&nbsp;{words}&nbsp;</span>'
            )
            self._fail_words.setPos(here + (high - low) * 0.01, top)

    def _y(self, value: float) -> float:
        return math.log10(value) if self.log and value > 0 else value

    def set_log(self, log: bool) -> None:
        """Show the loss on a logarithmic scale."""
        self.log = log
        self.loss_plot.setLogMode(False, log)
        for item in self._timesteps.values():
            item.setLogMode(False, log)
        if self._data is not None:
            self._follow_run(self._data)
        self.redraw()

    def back_to_live(self) -> None:
        """Follow the run again."""
        self.follow = True
        self.redraw()

    def show_cross(self, x: float | None) -> None:
        """Draw the upright line of the read-out through all plots."""
        for line in self._cross:
            line.setVisible(x is not None)
            if x is not None:
                line.setPos(x)

    # Look

    def restyle(self) -> None:
        """Take colors and pens from the theme."""
        tokens = theme.tokens()
        self.setBackground(tokens.raised)
        width = {"raw": 1.0, "smoothed": 1.8, "validation": 2.4}
        for item, name in (
            (self._raw, "raw"), (self._smoothed, "smoothed"), (self._validation, "validation"),
        ):  # fmt: skip
            item.setPen(_pen(theme.color(name, 0.5 if name == "raw" else 1.0), width[name]))
        edge = _pen(QColor(tokens.raised), 1.2)
        self._diamonds.setBrush(QBrush(QColor(tokens.validation)))
        self._diamonds.setPen(edge)
        self._end_dot.setBrush(QBrush(QColor(tokens.smoothed)))
        self._end_dot.setPen(edge)
        self._marks.setPen(edge)
        self._flags.setBrush(QBrush(QColor(tokens.error)))
        self._flags.setPen(edge)
        self._norm.setPen(_pen(theme.color("text3"), 1.0))
        self._future.setBrush(QBrush(theme.color("text", 0.045)))
        self._fail_line.setPen(_pen(QColor(tokens.error), 1.6))
        self._fail_words.fill = QBrush(QColor(tokens.error_soft))
        self._fail_words.border = _pen(QColor(tokens.error), 1.0)
        for line in self._cross:
            line.setPen(_pen(QColor(tokens.field), 1.0))
        tick = theme.font(theme.TICK)
        for plot in (self.loss_plot, self.rate_plot, self.norm_plot):
            for side in ("left", "bottom"):
                self._style_axis(plot.getAxis(side), tick, tokens)
            plot.showGrid(x=False, y=True, alpha=0.13)
        words = (self.tr("Learning rate"), self.tr("Gradient norm"))
        for title, text in zip(self._titles, words, strict=True):
            title.setText(text, color=tokens.text2, size=f"{tick.pointSizeF():.1f}pt")
        self.redraw()

    def _style_axis(self, axis: pg.AxisItem, tick: QFont, tokens: theme.Tokens) -> None:
        bottom = axis.orientation == "bottom"
        length = -4 if bottom else 0
        axis.setStyle(
            tickFont=tick,
            tickLength=length,
            maxTickLevel=0 if bottom else 1,
            hideOverlappingLabels=not bottom,
        )
        axis.setTextPen(tokens.text2)
        axis.setPen(_pen(theme.color("field") if bottom else QColor(0, 0, 0, 0), 1.0))
        axis.setTickPen(_pen(theme.color("text3"), 1.0))

    # Mouse

    def resizeEvent(self, ev: object) -> None:
        """Strips come and go with the height."""
        super().resizeEvent(ev)
        if getattr(self, "_cut_timer", None) is not None:
            self._cut_timer.start()

    def leaveEvent(self, ev: object) -> None:
        """The read-out goes with the mouse."""
        super().leaveEvent(ev)
        self.hovered.emit(None)

    def _on_mouse_moved(self, place: QPointF) -> None:
        for plot in (self.loss_plot, self.rate_plot, self.norm_plot):
            if plot.isVisible() and plot.getViewBox().sceneBoundingRect().contains(place):
                x = plot.getViewBox().mapSceneToView(place).x()
                self.hovered.emit((x, place))
                return
        self.hovered.emit(None)

    def _on_taken_over(self) -> None:
        self.follow = False
        self.panned.emit()

    def _on_mark_clicked(self, _: object, spots: list[object]) -> None:
        if len(spots):
            self.mark_clicked.emit(int(spots[0].data()))  # type: ignore[attr-defined]


def failure_words(kind: str, step: int) -> str:
    """A failure in few words, for the line in the chart."""
    short = {
        "memory": "out of memory", "nan": "loss not a number", "disk": "disk full",
        "device": "device lost",
    }.get(kind, "stopped")  # fmt: skip
    return f"{short}, step {step:,}"


def _pen(color: QColor, width: float) -> QPen:
    pen = QPen(color, width)
    pen.setCosmetic(True)
    return pen
