"""The loss chart: a card with its legend, its switches, the plots and the read-out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from app import theme
from app.chart_data import ChartData, XAxis
from app.run_folder import RunFacts
from app.run_model import RunModel
from app.widgets import chart_export
from app.widgets.button import Button, IconButton
from app.widgets.card import Card
from app.widgets.chart_key import ChartKey
from app.widgets.chart_plot import LossPlots
from app.widgets.chart_readout import ReadOut
from app.widgets.check import CheckBox
from app.words import figure_words

SMOOTHINGS = (0.0, 0.6, 0.9, 0.98, 0.99, 0.999)
_LEGEND_FROM_PX, _SMOOTH_FROM_PX = 600, 340
_OTHERS_LISTED = 12
Line = Literal["validation", "smoothed", "raw"]


class LossChart(Card):
    """Shows a run's curves live. Redraws when the model says so, and only when visible.

    Signals:
        step_chosen: a preview or file mark was clicked.
        trouble: a sentence for a notice.
    """

    step_chosen = Signal(int)
    trouble = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: RunModel | None = None
        self._data: ChartData | None = None
        self._smoothing = 0.98
        self._axis: XAxis = "step"
        self._others: list[RunFacts] = []
        self.plots = LossPlots(self)
        self._readout = ReadOut(self.plots)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 10, 10, 2)
        layout.setSpacing(4)
        layout.addLayout(self._make_header())
        layout.addWidget(self.plots, 1)
        self.setMinimumHeight(150)
        self.plots.hovered.connect(self._on_hovered)
        self.plots.panned.connect(lambda: self.follow.setChecked(False))
        self.plots.mark_clicked.connect(self.step_chosen)

    def _make_header(self) -> QHBoxLayout:
        header = QHBoxLayout()
        header.setSpacing(12)
        title = QLabel(self.tr("Loss"))
        title.setFont(theme.font(bold=True))
        header.addWidget(title)
        self.legend = {
            "validation": ChartKey(self.tr("Validation"), "validation"),
            "smoothed": ChartKey(self.tr("Smoothed"), "smoothed"),
            "raw": ChartKey(self.tr("Raw"), "raw"),
        }
        for name, key in self.legend.items():
            key.toggled.connect(lambda on, name=name: self._show_line(name, on))
            header.addWidget(key)
        header.addStretch(1)
        self.smooth = Button(self.tr("Smooth {0}").format(self._smoothing), "ghost")
        self.smooth.setToolTip(self.tr("How much the training loss is smoothed"))
        self.smooth.clicked.connect(self._choose_smoothing)
        self.log = CheckBox(self.tr("Log"))
        self.log.setToolTip(self.tr("Logarithmic scale"))
        self.log.toggled.connect(self.plots.set_log)
        self.follow = CheckBox(self.tr("Follow"))
        self.follow.setToolTip(self.tr("Follow the run. Off while you look around; on brings "
                                       "you back to live."))  # fmt: skip
        self.follow.setChecked(True)
        self.follow.toggled.connect(self._on_follow)
        self.more = IconButton("more", self.tr("More about the chart"))
        self.more.clicked.connect(self._open_menu)
        for widget in (self.smooth, self.log, self.follow, self.more):
            header.addWidget(widget)
        return header

    # The run

    def set_model(self, model: RunModel | None) -> None:
        """Show another run."""
        if self._model is not None:
            self._model.updated.disconnect(self.refresh)
            self._model.reloaded.disconnect(self._start_over)
        self._model = model
        if model is not None:
            model.updated.connect(self.refresh)
            model.reloaded.connect(self._start_over)
        self._start_over()

    def set_other_runs(self, runs: Sequence[RunFacts]) -> None:
        """The runs that can be laid over the shown one, newest first."""
        self._others = list(runs)

    def _other_runs(self) -> list[RunFacts]:
        here = str(self._model.directory) if self._model is not None else ""
        return [run for run in self._others if run.directory != here and run.step][:_OTHERS_LISTED]

    def refresh(self) -> None:
        """Draw what is new; nothing while hidden."""
        if self._data is not None and self.isVisible():
            self.plots.redraw_soon()
            if self._readout.isVisible():
                self._fill_readout()

    def _start_over(self) -> None:
        self._data = None
        if self._model is not None:
            self._data = ChartData(self._model.state, self._smoothing, self._axis)
        self.plots.set_data(self._data)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow place the legend goes: the end values name the lines."""
        super().resizeEvent(event)
        for key in self.legend.values():
            key.setVisible(self.width() >= _LEGEND_FROM_PX)
        self.smooth.setVisible(self.width() >= _SMOOTH_FROM_PX)

    def showEvent(self, event: object) -> None:
        """Catch up with what came while hidden."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.plots.redraw()

    # Switches

    def _show_line(self, name: str, on: bool) -> None:
        setattr(self.plots, f"show_{name}", on)
        self.plots.redraw()

    def _on_follow(self, on: bool) -> None:
        self.plots.follow = on
        if on:
            self.plots.back_to_live()

    def _choose_smoothing(self) -> None:
        menu = QMenu(self)
        for weight in SMOOTHINGS:
            words = self.tr("{0}, as measured").format(0) if not weight else f"{weight}"
            action = menu.addAction(words)
            action.triggered.connect(lambda _=False, weight=weight: self.set_smoothing(weight))
        menu.popup(self.smooth.mapToGlobal(self.smooth.rect().bottomLeft()))

    def set_smoothing(self, weight: float) -> None:
        """Smooth the training loss with another weight."""
        self._smoothing = weight
        self.smooth.setText(self.tr("Smooth {0}").format(weight))
        if self._data is not None:
            self._data.set_smoothing(weight)
        self.plots.overlays.set_smoothing(weight)
        self.plots.redraw()

    def set_axis(self, axis: XAxis) -> None:
        """Draw over steps, epochs or training time in minutes."""
        self._axis = axis
        if self._data is not None:
            self._data.axis = axis
        self.plots.overlays.set_axis(axis)
        self.follow.setChecked(True)
        self.plots.back_to_live()

    def _on_axis(self, axis: XAxis, _checked: bool = False) -> None:
        self.set_axis(axis)

    def _open_menu(self) -> None:
        menu = QMenu(self)
        group = QActionGroup(menu)
        axes: tuple[tuple[str, XAxis], ...] = (
            (self.tr("Over steps"), "step"), (self.tr("Over epochs"), "epoch"),
            (self.tr("Over minutes"), "time"),
        )  # fmt: skip
        for words, axis in axes:
            action = self._check(menu, words, self._axis == axis)
            group.addAction(action)
            action.triggered.connect(partial(self._on_axis, axis))
        menu.addSeparator()
        norm = self._check(menu, self.tr("Gradient norm"), self.plots.show_grad_norm)
        norm.toggled.connect(lambda on: self._show_line("grad_norm", on))
        quarters = self._check(menu, self.tr("Validation by timestep"), self.plots.show_by_timestep)
        quarters.toggled.connect(lambda on: self._show_line("by_timestep", on))
        self._add_others(menu.addMenu(self.tr("Lay another run over it")))
        menu.addSeparator()
        for words, suffix in (
            (self.tr("Save as PNG…"), ".png"), (self.tr("Save as SVG…"), ".svg"),
            (self.tr("Save numbers as CSV…"), ".csv"),
        ):  # fmt: skip
            action = menu.addAction(words)
            action.triggered.connect(lambda _=False, suffix=suffix: self._ask_export(suffix))
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _add_others(self, menu: QMenu) -> None:
        shown = self.plots.overlays.names
        for run in self._other_runs():
            action = self._check(menu, run.name, run.directory in shown)
            action.setToolTip(run.directory)
            action.toggled.connect(partial(self.lay_over, run))
        if menu.isEmpty():
            menu.addAction(self.tr("No other runs yet")).setEnabled(False)

    def lay_over(self, run: RunFacts, on: bool) -> None:
        """Show or hide another run's curves over the shown one's."""
        self.plots.overlays.show_run(Path(run.directory), run.name, on)

    def _check(self, menu: QMenu, words: str, on: bool) -> QAction:
        action = menu.addAction(words)
        action.setCheckable(True)
        action.setChecked(on)
        return action

    def _ask_export(self, suffix: str) -> None:
        if self._model is None:
            return
        start = Path(self._model.directory or Path.home()) / f"{self._model.name}-loss{suffix}"
        dialog = QFileDialog(self, self.tr("Save the chart"), str(start.parent))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(suffix.removeprefix("."))
        dialog.selectFile(start.name)
        dialog.fileSelected.connect(lambda name: self.export(Path(name)))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def export(self, path: Path) -> None:
        """Write the chart or its numbers, by the file's ending."""
        if self._model is None:
            return
        try:
            chart_export.export(path, self, self._model.state)
        except (OSError, ValueError) as error:
            self.trouble.emit(self.tr("The chart could not be saved: {0}").format(error))

    # Read-out

    def _on_hovered(self, at: tuple[float, QPointF] | None) -> None:
        index = None
        if at is not None and self._data is not None:
            index = self._data.index_at(at[0])
        self._readout.index = index
        self.plots.show_cross(None if index is None else float(self._data.x()[index]))  # type: ignore[union-attr]
        if at is None or index is None:
            self._readout.hide()
            return
        self._fill_readout()
        self._readout.place(at[1])

    def _fill_readout(self) -> None:
        data, index = self._data, self._readout.index
        if data is None or index is None or index >= len(data.loss):
            self._readout.hide()
            return
        step = int(data.state.columns["step"].values[index])
        rows: list[tuple[str, str, str]] = []
        before = [v for v in data.state.validations if v.step <= step]
        if before:
            words = self.tr("Validation, step {0}").format(f"{before[-1].step:,}")
            rows.append(("validation", words, figure_words(before[-1].loss)))
        rows.append(("smoothed", self.tr("Smoothed"), figure_words(data.smoothed[index])))
        rows.append(("raw", self.tr("Raw"), figure_words(data.loss[index])))
        for name, values in data.learning_rates().items():
            if index < len(values):
                words = self.tr("Learning rate")
                words += f", {name}" if len(data.learning_rates()) > 1 else ""
                rows.append(("learning_rate", words, figure_words(float(values[index]))))
        rows.append(("text3", self.tr("Gradient norm"), figure_words(data.grad_norm[index])))
        self._readout.fill(self.tr("Step {0}").format(f"{step:,}"), rows)
