"""The Progress page: chart and previews of the shown run, beside or over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from app import run_folder, theme
from app.opening import open_folder
from app.preview_grid import PreviewGrid
from app.run_folder import RunFacts
from app.run_model import RunModel
from app.thumbnails import Thumbnails
from app.widgets.button_row import ButtonRow, RowButton
from app.widgets.empty_words import EmptyWords
from app.widgets.gallery import Gallery
from app.widgets.log import LogBar

if TYPE_CHECKING:
    from app.widgets.chart import LossChart

LOW_PX = 380
WIDE_PX = 1200  # from this width the previews stand beside the chart (spec: look 7)
_ROWS = (84, 128)  # sides of the small previews


class ProgressPage(QWidget):
    """Chart and previews. The chart's libraries are imported when the page is first shown.

    Signals:
        compare_asked, log_asked: the other pages are wanted.
        picture_asked: a preview is wanted large; prompt index and step.
        step_asked: the previews of a step are wanted.
        trouble: a sentence for a notice.
    """

    compare_asked = Signal()
    log_asked = Signal()
    picture_asked = Signal(int, int)
    step_asked = Signal(int)
    trouble = Signal(str)

    def __init__(
        self, grid: PreviewGrid, thumbnails: Thumbnails, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._run: RunModel | None = None
        self.chart: LossChart | None = None
        self._others: list[RunFacts] = []
        self.grid = grid
        self.gallery = Gallery(grid, thumbnails)
        self.gallery.opened.connect(self.picture_asked)
        self.gallery.compared.connect(lambda *_: self.compare_asked.emit())
        self.gallery.starred.connect(lambda _, step: grid.toggle_star(step))
        self.title = QLabel(self.tr("Previews"))
        self.note = QLabel()
        self.compare = RowButton(self.tr("Compare two"), "ghost", "compare")
        self.compare.clicked.connect(self.compare_asked)
        self.folder = RowButton(self.tr("Open folder"), "ghost", "folder")
        self.folder.clicked.connect(self._on_folder)
        self.bar = LogBar()
        self.bar.clicked.connect(self.log_asked)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(14)
        self._chart_place = QWidget()
        self._chart_place.setMinimumSize(300, 150)
        QVBoxLayout(self._chart_place).setContentsMargins(0, 0, 0, 0)
        self.empty = EmptyWords(self._chart_place)
        self.splitter.addWidget(self._chart_place)
        self._previews = self._make_previews()
        self.splitter.addWidget(self._previews)
        self._is_moved = False  # by hand: the room is the person's then
        self.splitter.splitterMoved.connect(lambda *_: setattr(self, "_is_moved", True))
        self.splitter.setStretchFactor(0, 3)
        self.splitter.setStretchFactor(1, 2)
        self._lay_out()
        grid.modelReset.connect(self._update)
        theme.switch().changed.connect(self._restyle)
        self._restyle()
        self._update()

    def _make_previews(self) -> QWidget:
        previews = QWidget()
        previews.setMinimumSize(200, 120)
        head = QHBoxLayout()
        head.setSpacing(10)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        head.addWidget(self.title)
        head.addWidget(self.note, 1)
        head.addWidget(ButtonRow([], [self.compare, self.folder]))
        layout = QVBoxLayout(previews)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addWidget(self.gallery, 1)
        return previews

    def _lay_out(self) -> None:
        inside = QVBoxLayout()
        inside.setContentsMargins(20, 14, 20, 10)
        inside.addWidget(self.splitter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(inside, 1)
        layout.addWidget(self.bar)

    def set_run(self, run: RunModel | None) -> None:
        """Show another run (the grid has been given it already)."""
        if self._run is not None:
            self._run.updated.disconnect(self._update)
        self._run = run
        if run is not None:
            run.updated.connect(self._update)
        self.bar.set_run(run)
        if self.chart is not None:
            self.chart.set_model(run)
        self._update()

    def showEvent(self, event: QShowEvent) -> None:
        """Make the chart the first time."""
        super().showEvent(event)
        if self.chart is None:
            from app.widgets.chart import LossChart

            self.chart = LossChart()
            self.chart.step_chosen.connect(self.step_asked)
            self.chart.trouble.connect(self.trouble)
            layout = self._chart_place.layout()
            assert layout is not None
            layout.addWidget(self.chart)
            self.chart.set_other_runs(self._others)
            self.chart.set_model(self._run)
            self._update()

    def set_other_runs(self, runs: Sequence[RunFacts]) -> None:
        """The runs whose curves can be laid over the shown one's."""
        self._others = list(runs)
        if self.chart is not None:
            self.chart.set_other_runs(self._others)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Beside each other where there is room; previews in whole rows."""
        super().resizeEvent(event)
        wide = self.width() >= WIDE_PX
        across = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if self.splitter.orientation() != across:
            self.splitter.setOrientation(across)
            self._is_moved = False
        # In a low window the chart alone; the Samples page has the previews.
        self._previews.setVisible(wide or self.height() >= LOW_PX)
        self._size_previews(wide)
        self._share_room()

    def _share_room(self) -> None:
        if self._is_moved:
            return
        if self.splitter.orientation() == Qt.Orientation.Horizontal:
            self.splitter.setSizes([self.width() * 53 // 100, self.width() * 47 // 100])
        else:
            rows = max(1, min(3, len(self.grid.prompts)))
            wanted = self.gallery.height_of(rows) + 44
            room = self.splitter.height()
            below = min(wanted, room * 60 // 100)
            self.splitter.setSizes([max(150, room - below), below])

    def _size_previews(self, wide: bool) -> None:
        least, most = _ROWS
        if wide:
            columns = max(3, len(self.grid.steps))
            room = self.width() * 45 // 100 - 150
            self.gallery.set_side(max(least, min(most, room // columns - 8)))
        else:
            columns = max(4, 1 + len(self.grid.steps) + len(self.grid.planned)) - 1
            room = self.width() - 40 - 178
            fitting = room // columns - 8
            self.gallery.set_side(max(least - 12, min(92, fitting)))

    def _update(self) -> None:
        run, grid = self._run, self.grid
        if self.chart is not None:
            self.chart.setVisible(run is not None)
        self.empty.say(
            "" if run else self.tr("No run yet. Train starts one, and its loss is drawn here.")
        )
        has_any = bool(grid.prompts)
        self.compare.setEnabled(has_any and len(grid.steps) > 1)
        self.folder.setEnabled(run is not None and run.directory is not None)
        self.note.setText(self._note())
        rows = len(grid.prompts)
        if rows != getattr(self, "_rows", -1):
            self._rows = rows
            self._share_room()
            self._size_previews(self.width() >= WIDE_PX)

    def _note(self) -> str:
        run, grid = self._run, self.grid
        if run is None or not grid.prompts:
            return self.tr("none yet")
        count = self.tr("1 prompt") if len(grid.prompts) == 1 else self.tr("{0} prompts").format(
            len(grid.prompts)
        )  # fmt: skip
        if run.state.is_over:
            return f"{count}, {self.tr('kept from the run')}"
        hello = run.state.hello
        per_epoch = hello.steps_per_epoch if hello is not None else 0
        every = run_folder.every_steps(run.settings, "samples", per_epoch)
        return f"{count}, {self.tr('every {0} steps').format(f'{every:,}')}" if every else count

    def _restyle(self) -> None:
        self.title.setFont(theme.font(bold=True))
        self.note.setFont(theme.font(theme.SMALL))
        palette = self.note.palette()
        palette.setColor(self.note.foregroundRole(), theme.color("text2"))
        self.note.setPalette(palette)

    def _on_folder(self) -> None:
        if self._run is not None and self._run.directory is not None:
            words = open_folder(self._run.directory / "samples")
            if words:
                self.trouble.emit(words)
