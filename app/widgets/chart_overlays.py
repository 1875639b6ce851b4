"""Other runs' curves over the shown run's: smoothed thin, validation bold, the name at the end.

Imports pyqtgraph; see `chart_plot`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QPen

from app import theme
from app.chart_data import ChartData, XAxis
from app.run_folder import state_of
from app.run_state import RunState
from app.widgets.chart_marks import in_scale, in_scale_of
from app.worker import in_worker

MOST = 4
_LOOKS = (
    ("conv", Qt.PenStyle.DashLine), ("learning_rate", Qt.PenStyle.DashDotLine),
    ("accent", Qt.PenStyle.DotLine), ("text2", Qt.PenStyle.DashDotDotLine),
)  # fmt: skip


@dataclass
class _Overlay:
    name: str
    data: ChartData
    look: int  # place in _LOOKS
    smoothed: Any
    validation: Any
    words: Any


class ChartOverlays(QObject):
    """Holds up to four runs read from their folders.

    Signals:
        changed: a run came or went.
    """

    changed = Signal()

    def __init__(self, plot: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._plot = plot
        self._shown: dict[str, _Overlay] = {}
        self._wanted: dict[str, str] = {}  # folder → name, those still being read too
        self._smoothing, self._axis = 0.98, "step"

    @property
    def names(self) -> dict[str, str]:
        """Folder and name of each run that is shown or on its way."""
        return dict(self._wanted)

    def show_run(self, directory: Path, name: str, on: bool) -> None:
        """Show a run, read in a worker; the oldest goes when there are too many. Or hide it."""
        key = str(directory)
        if not on:
            self._remove(key)
            return
        while len(self._wanted) >= MOST:
            self._remove(next(iter(self._wanted)))
        self._wanted[key] = name
        in_worker(self, lambda: state_of(directory)[0], lambda state: self._take(key, state))

    def _remove(self, key: str) -> None:
        self._wanted.pop(key, None)
        overlay = self._shown.pop(key, None)
        if overlay is not None:
            for item in (overlay.smoothed, overlay.validation, overlay.words):
                self._plot.removeItem(item)
            self.changed.emit()

    def _take(self, key: str, state: RunState) -> None:
        if key not in self._wanted or key in self._shown:
            return
        data = ChartData(state, self._smoothing, self._axis)  # type: ignore[arg-type]
        data.update()
        used = {overlay.look for overlay in self._shown.values()}
        look = next(i for i in range(MOST) if i not in used)
        overlay = _Overlay(
            self._wanted[key], data, look, _curve(), _curve(), pg.TextItem(anchor=(1, 1))
        )
        for z, item in enumerate((overlay.smoothed, overlay.validation, overlay.words)):
            item.setZValue(z - 5)
            self._plot.addItem(item, ignoreBounds=True)
        self._shown[key] = overlay
        self.restyle()
        self.changed.emit()

    def set_smoothing(self, weight: float) -> None:
        """Smooth them as the shown run."""
        self._smoothing = weight
        for overlay in self._shown.values():
            overlay.data.set_smoothing(weight)
            overlay.data.update()

    def set_axis(self, axis: XAxis) -> None:
        """Draw them over steps, epochs or minutes, as the shown run."""
        self._axis = axis
        for overlay in self._shown.values():
            overlay.data.axis = axis

    def widen(self, low: float, high: float, log: bool) -> tuple[float, float]:
        """A range of values that holds these curves too."""
        for overlay in self._shown.values():
            if len(overlay.data.smoothed):
                least, most = overlay.data.y_range(log)
                low, high = min(low, least), max(high, most)
        return low, high

    def draw(self, log: bool, low: float, high: float, points: int) -> None:
        """Draw all for the view from `low` to `high`."""
        for overlay in self._shown.values():
            data = overlay.data
            x, y = data.line("smoothed", data.smoothed, low, high, points)
            overlay.smoothed.setData(x, in_scale_of(y, log), connect="finite")
            found = data.state.validations
            overlay.validation.setData(
                data.x_of([v.step for v in found]), in_scale_of([v.loss for v in found], log)
            )
            self._place_words(overlay, log, high)

    def _place_words(self, overlay: _Overlay, log: bool, high: float) -> None:
        """The name above the last point in sight."""
        data, found = overlay.data, overlay.data.state.validations
        x = data.x_of([v.step for v in found]) if found else data.x()
        at = int(x.searchsorted(high, side="right")) - 1
        value = math.nan
        if at >= 0:
            value = found[at].loss if found else float(data.smoothed[at])
        overlay.words.setVisible(math.isfinite(value))
        if math.isfinite(value):
            overlay.words.setPos(float(x[at]), in_scale(value, log))

    def restyle(self) -> None:
        """Take colors from the theme."""
        size = theme.font().pointSizeF() * theme.SMALL
        for overlay in self._shown.values():
            token, style = _LOOKS[overlay.look]
            overlay.smoothed.setPen(_pen(theme.color(token, 0.55), 1.2, style))
            overlay.validation.setPen(_pen(theme.color(token), 2.0, style))
            overlay.words.setHtml(
                f'<span style="font-size:{size:.1f}pt; color:{theme.color(token).name()}">'
                f"{_plain(overlay.name)}</span>"
            )


def _pen(color: QColor, width: float, style: Qt.PenStyle) -> QPen:
    pen = QPen(color, width, style)
    pen.setCosmetic(True)
    return pen


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _curve() -> Any:
    return pg.PlotCurveItem(skipFiniteCheck=False)
