"""The training side of the window, made together: panel, pages, and how they lead to each other."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from app.log_page import LogPage
from app.preview_grid import PreviewGrid
from app.progress_page import ProgressPage
from app.run_model import RunModel
from app.run_panel import RunPanel
from app.runs import RunController
from app.runs_page import RunsPage
from app.samples_page import SamplesPage
from app.thumbnails import Thumbnails


class TrainingViews(QObject):
    """Makes the panel and the pages for a controller. The window places them:
    `panel` above the tabs, `pages` as (key, title, widget).

    Signals:
        page_asked: a page is to come to the front, by its key.
        trouble: a sentence for a notice.
    """

    page_asked = Signal(str)
    trouble = Signal(str)

    def __init__(self, runs: RunController, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runs = runs
        self.grid = PreviewGrid(self)
        thumbnails = Thumbnails(None, parent=self)
        self._thumbnails = thumbnails
        self.panel = RunPanel(runs)
        self.progress = ProgressPage(self.grid, thumbnails)
        self.samples = SamplesPage(self.grid, thumbnails)
        self.log = LogPage()
        self.list = RunsPage(runs)
        self._connect()
        self._show(runs.shown)

    @property
    def pages(self) -> list[tuple[str, str, QWidget]]:
        """Key, title and widget of each page, in the order of the tabs."""
        return [
            ("progress", self.tr("Progress"), self.progress),
            ("samples", self.tr("Samples"), self.samples),
            ("log", self.tr("Log"), self.log),
            ("runs", self.tr("Runs"), self.list),
        ]

    def _connect(self) -> None:
        runs, panel, progress = self.runs, self.panel, self.progress
        runs.shown_changed.connect(self._show)
        runs.run_started.connect(self._on_run_started)
        runs.runs_changed.connect(self._on_runs_changed)
        runs.trouble.connect(self.trouble)
        panel.page_asked.connect(self._on_page_asked)
        progress.compare_asked.connect(lambda: self._on_page_asked("samples"))
        progress.log_asked.connect(lambda: self.page_asked.emit("log"))
        progress.picture_asked.connect(self._on_picture_asked)
        progress.step_asked.connect(self._on_step_asked)
        self.list.run_opened.connect(lambda: self.page_asked.emit("progress"))
        for source in (panel, progress, self.samples, self.log, self.list):
            source.trouble.connect(self.trouble)

    def _show(self, run: RunModel | None) -> None:
        self.grid.set_run(run)
        self.progress.set_run(run)
        self.samples.set_run(run)
        self.log.set_run(run)

    def _on_runs_changed(self) -> None:
        self.progress.set_other_runs(self.runs.runs)

    def _on_run_started(self, _run: RunModel) -> None:
        self.page_asked.emit("progress")

    def _on_page_asked(self, key: str) -> None:
        self.page_asked.emit(key)
        grid = self.grid
        if key == "samples" and grid.prompts and len(grid.steps) > 1:
            at = self.progress.gallery.current()
            prompt = at[0] if at is not None else grid.prompts[0]
            self.samples.show_two(prompt, grid.steps[0], grid.steps[-1])

    def _on_picture_asked(self, prompt: int, step: int) -> None:
        self.page_asked.emit("samples")
        self.samples.show_one(prompt, step)

    def _on_step_asked(self, step: int) -> None:
        self.page_asked.emit("samples")
        self.samples.show_step(step)
