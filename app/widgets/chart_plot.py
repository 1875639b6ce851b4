"""The plots of the chart: loss over learning rate over gradient norm, on one x axis.

Imports pyqtgraph, so this module is imported when a chart is first shown (spec: gui 3.5).
"""

from __future__ import annotations

import math
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFont, QPen
from PySide6.QtWidgets import QWidget

from app import theme
from app.chart_data import ChartData
from app.widgets.chart_marks import ChartMarks, in_scale_of, line_pen
from app.widgets.chart_overlays import ChartOverlays
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
        self._strips: tuple[bool, bool] | None = None
        self.follow = True
        self.log = False
        self.show_raw = self.show_smoothed = self.show_validation = True
        self.show_by_timestep = False
        self.show_grad_norm = False
        self._rows: Any = self.ci.layout
        self._rows.setContentsMargins(4, 4, 10, 2)
        self._rows.setSpacing(2)
        self.loss_plot = self._add_plot(0)
        self.rate_plot = self._add_plot(1)
        self.norm_plot = self._add_plot(2)
        self.rate_plot.setXLink(self.loss_plot)
        self.norm_plot.setXLink(self.loss_plot)
        self._make_items()
        self._rest_timer = QTimer(self, interval=400, singleShot=True)
        self._rest_timer.timeout.connect(self.redraw)
        self._cut_timer = QTimer(self, interval=16, singleShot=True)
        self._cut_timer.timeout.connect(self.redraw)
        box = self.loss_plot.getViewBox()
        box.sigXRangeChanged.connect(self._cut_soon)
        scene: Any = self.scene()
        scene.sigMouseMoved.connect(self._on_mouse_moved)
        theme.switch().changed.connect(self.restyle)
        self.restyle()
        self.setAccessibleName(self.tr("Loss chart"))
        self.viewport().setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the chart itself takes it

    def _add_plot(self, row: int) -> Any:
        box = _ViewBox()
        box.taken_over.connect(self._on_taken_over)
        axes = {"left": _Axis("left"), "bottom": _Axis("bottom")}
        plot: Any = self.ci.addPlot(row=row, col=0, viewBox=box, axisItems=axes)
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
        # Curve items: what they are given is thinned already, so that they need not think.
        self._raw, self._smoothed, self._validation = (_curve(plot, z) for z in range(3))
        self.overlays = ChartOverlays(plot, self)
        self.overlays.changed.connect(self.redraw)
        self._marks = ChartMarks(plot)
        self._marks.clicked.connect(self.mark_clicked)
        self._cross = [pg.InfiniteLine(angle=90, movable=False) for _ in range(3)]
        for line, where in zip(self._cross, (plot, self.rate_plot, self.norm_plot), strict=True):
            line.setVisible(False)
            where.addItem(line, ignoreBounds=True)
        self._rates: list[pg.PlotCurveItem] = []
        self._timesteps: dict[str, pg.PlotCurveItem] = {}
        self._norm = _curve(self.norm_plot, 0)
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
        """Draw all that the data hold now."""
        self.redraw_loss()
        self._rest_timer.stop()
        data = self._data
        if data is None:
            self._show_strips(False, False)
            return
        (low, high), _ = self.loss_plot.getViewBox().viewRange()
        self._draw_validation(data)
        self._draw_strips(data, low, high, self._points())
        self._marks.draw(data, self.log, self.show_validation, self.show_smoothed)
        self.overlays.draw(self.log, low, high, self._points())

    def redraw_soon(self) -> None:
        """Draw the training loss now, and what changes slowly within half a second."""
        self.redraw_loss()
        if not self._rest_timer.isActive():
            self._rest_timer.start()

    def _cut_soon(self, *_: object) -> None:
        self._cut_timer.start()

    def redraw_loss(self) -> None:
        """Draw the training loss, raw and smoothed, as it is now."""
        data = self._data
        if data is None:
            return
        data.update()
        if self.follow:
            self._follow_run(data)
        (low, high), _ = self.loss_plot.getViewBox().viewRange()
        points = self._points()
        for name, item, values, shown in (
            ("raw", self._raw, data.loss, self.show_raw),
            ("smoothed", self._smoothed, data.smoothed, self.show_smoothed),
        ):
            item.setVisible(shown)
            if shown:
                x, y = data.line(name, values, low, high, points)
                item.setData(x, in_scale_of(y, self.log), connect="finite")

    def _points(self) -> int:
        return max(200, int(self.width() * _LINE_POINTS))

    def _follow_run(self, data: ChartData) -> None:
        low, high = self.overlays.widen(*data.y_range(self.log), self.log)
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
        self._validation.setData(x, in_scale_of(y, self.log))
        wanted = found[-1].by_timestep if found and self.show_by_timestep else {}
        for name in [n for n in self._timesteps if n not in wanted]:
            self.loss_plot.removeItem(self._timesteps.pop(name))
        styles = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
        for number, name in enumerate(wanted):
            item = self._timesteps.get(name)
            if item is None:
                item = self._timesteps[name] = _curve(self.loss_plot, 1)
            pen = QPen(theme.color("validation", 0.6), 1, styles[number % 3])
            pen.setCosmetic(True)
            item.setPen(pen)
            values = [v.by_timestep.get(name, math.nan) for v in found]
            item.setData(x, in_scale_of(values, self.log), connect="finite")

    def _draw_strips(self, data: ChartData, low: float, high: float, points: int) -> None:
        tall = self.height() >= _STRIPS_FROM_PX
        norm_shown = tall and self.show_grad_norm
        self._show_strips(tall, norm_shown)
        if tall:
            self._draw_rates(data, low, high, points)
        if norm_shown:
            values = data.grad_norm
            self._norm.setData(*data.line("norm", values, low, high, points), connect="finite")
            self.norm_plot.setYRange(0, data.typical_top(values) or 1.0, padding=0)

    def _show_strips(self, tall: bool, norm_shown: bool) -> None:
        """The axis with numbers is the lowest one's."""
        if (tall, norm_shown) == self._strips:
            return
        self._strips = (tall, norm_shown)
        self._show_plot(self.rate_plot, tall)
        self._show_plot(self.norm_plot, norm_shown)
        last = self.norm_plot if norm_shown else self.rate_plot if tall else self.loss_plot
        for plot in (self.loss_plot, self.rate_plot, self.norm_plot):
            plot.getAxis("bottom").setStyle(showValues=plot is last)
            plot.getAxis("bottom").setHeight(22 if plot is last else 6)

    def _draw_rates(self, data: ChartData, low: float, high: float, points: int) -> None:
        rates = data.learning_rates()
        while len(self._rates) < len(rates):
            self._rates.append(_curve(self.rate_plot, 0))
        top = 0.0
        styles = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
        for number, item in enumerate(self._rates):
            item.setVisible(number < len(rates))
            pen = QPen(theme.color("learning_rate"), 1.6, styles[number % 3])
            pen.setCosmetic(True)
            item.setPen(pen)
        for item, (name, values) in zip(self._rates, rates.items(), strict=False):
            item.setData(*data.line(f"rate {name}", values, low, high, points))
            top = max(top, float(values.max()))
        self.rate_plot.setYRange(0, top * 1.15 or 1.0, padding=0)

    def _show_plot(self, plot: pg.PlotItem, shown: bool) -> None:
        is_shown = plot in self.ci.items
        if shown and not is_shown:
            row = 1 if plot is self.rate_plot else 2
            self.ci.addItem(plot, row, 0)
            self._rows.setRowFixedHeight(row, _STRIP_PX)
        elif is_shown and not shown:
            row = self.ci.items[plot][0][0]
            self.ci.removeItem(plot)
            self._rows.setRowFixedHeight(row, 0)

    def set_log(self, log: bool) -> None:
        """Show the loss on a logarithmic scale."""
        self.log = log
        self.loss_plot.setLogMode(False, log)
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
            item.setPen(line_pen(theme.color(name, 0.5 if name == "raw" else 1.0), width[name]))
        self._marks.restyle()
        self.overlays.restyle()
        self._norm.setPen(line_pen(theme.color("text3"), 1.0))
        for line in self._cross:
            line.setPen(line_pen(QColor(tokens.field), 1.0))
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
        axis.setPen(line_pen(theme.color("field") if bottom else QColor(0, 0, 0, 0), 1.0))
        axis.setTickPen(line_pen(theme.color("text3"), 1.0))

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


def _curve(plot: Any, z: int) -> Any:
    curve = pg.PlotCurveItem(skipFiniteCheck=False)
    curve.setZValue(z)
    plot.addItem(curve, ignoreBounds=True)
    return curve
