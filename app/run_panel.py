"""What stands above the tabs for the shown run: header, result or failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QMessageBox, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.opening import open_folder
from app.report import report_text
from app.run_model import RunModel
from app.runs import RunController
from app.widgets.button import Button
from app.widgets.failure_banner import FailureBanner
from app.widgets.result_card import ResultCard
from app.widgets.run_header import RunHeader
from app.widgets.train_longer import TrainLonger


class RunPanel(QWidget):
    """One of three widgets, by the run's status; nothing when no run is shown.

    Signals:
        page_asked: a page is wanted by its key.
        field_asked: a field of the form is wanted.
        change_asked: a value is to go into the form; path and value.
        job_asked: the shown run's job is to go into the form; its file.
        trouble: a sentence for a notice.
    """

    page_asked = Signal(str)
    field_asked = Signal(str)
    change_asked = Signal(str, object)
    job_asked = Signal(object)
    trouble = Signal(str)

    def __init__(self, runs: RunController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs = runs
        self._run: RunModel | None = None
        self.header, self.result, self.failure = RunHeader(), ResultCard(), FailureBanner()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self.header, self.result, self.failure):
            layout.addWidget(widget)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self._connect_header()
        self._connect_result()
        self._connect_failure()
        runs.shown_changed.connect(self.set_run)
        theme.switch().changed.connect(self.refresh)
        self.set_run(runs.shown)

    def _connect_header(self) -> None:
        header = self.header
        header.pause_pressed.connect(self._on_pause)
        header.sample_pressed.connect(lambda: self._send("sample"))
        header.save_pressed.connect(lambda: self._send("save"))
        header.stop_pressed.connect(lambda: self._send("stop"))
        header.abort_pressed.connect(self._ask_abort)

    def _connect_result(self) -> None:
        result = self.result
        result.folder_pressed.connect(self._on_folder)
        result.copy_pressed.connect(self._on_copy_path)
        result.compare_pressed.connect(lambda: self.page_asked.emit("samples"))
        result.resume_pressed.connect(lambda: self._resume([]))
        result.longer_pressed.connect(self._ask_longer)
        result.job_pressed.connect(self._on_job)
        result.close_pressed.connect(lambda: self._runs.show(self._runs.running))

    def _connect_failure(self) -> None:
        failure = self.failure
        failure.resume_pressed.connect(self._resume)
        failure.again_pressed.connect(self._start_again)
        failure.apply_pressed.connect(self.change_asked)
        failure.field_pressed.connect(self.field_asked)
        failure.log_pressed.connect(lambda: self.page_asked.emit("log"))
        failure.copy_pressed.connect(self._on_copy_report)
        failure.close_pressed.connect(lambda: self._runs.show(self._runs.running))

    def set_run(self, run: RunModel | None) -> None:
        """Show another run."""
        if self._run is not None:
            self._run.updated.disconnect(self.refresh)
        self._run = run
        if run is not None:
            run.updated.connect(self.refresh)
        self.header.set_run(run)
        self.refresh()

    def refresh(self) -> None:
        """Show the widget that fits the run's status."""
        run = self._run
        self.setVisible(run is not None)
        if run is None:
            return
        status = run.state.status
        failed = status in ("failed", "interrupted")
        over = status in ("done", "stopped", "aborted")
        if failed:
            self.failure.show_run(run)
        elif over:
            self.result.show_run(run)
        shown = self.failure if failed else self.result if over else self.header
        focus = QApplication.focusWidget()
        moves = focus is not None and self.isAncestorOf(focus) and not shown.isAncestorOf(focus)
        for widget in (self.header, self.result, self.failure):
            widget.setVisible(widget is shown)
        if moves:
            _focus_first_button(shown)

    def minimumSizeHint(self) -> QSize:
        """As high as what is shown needs."""
        return QSize(0, super().minimumSizeHint().height())

    # Acts

    def _send(self, word: Any) -> None:
        if self._run is not None:
            self._run.send(word)

    def _on_pause(self) -> None:
        if self._run is not None:
            self._send("resume" if self._run.state.status == "paused" else "pause")

    def _ask_abort(self) -> None:
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Warning)
        box.setText(self.tr("End the engine now?"))
        box.setInformativeText(self.tr("Steps since the last save are lost. Saved files stay."))
        abort = box.addButton(self.tr("Abort"), QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(self.tr("Keep waiting"), QMessageBox.ButtonRole.RejectRole)
        box.buttonClicked.connect(lambda pressed: self._send("abort") if pressed is abort else None)
        box.open()

    def _resume(self, changes: list[tuple[str, object]]) -> None:
        run = self._run
        if run is not None and run.directory is not None:
            self._runs.resume(run.directory, changes, run.name)

    def _start_again(self, changes: list[tuple[str, object]]) -> None:
        """No state to resume from: the same job, changed, as a new run."""
        run = self._run
        if run is not None and run.directory is not None:
            self._runs.start_again(run.directory, changes)
            return
        for path, value in changes:
            self.change_asked.emit(path, value)

    def _ask_longer(self) -> None:
        run = self._run
        if run is None:
            return
        dialog = TrainLonger(run, self)
        dialog.chosen.connect(lambda path, value: self._resume([(path, value)]))
        dialog.open()

    def _on_job(self) -> None:
        file = self._file("job.toml")
        if file is not None:
            self.job_asked.emit(file)

    def _file(self, name: str) -> Path | None:
        return self._run.file(name) if self._run is not None else None

    def _on_folder(self) -> None:
        folder = self._file("checkpoints")
        words = open_folder(folder) if folder is not None else ""
        if words:
            self.trouble.emit(words)

    def _on_copy_path(self) -> None:
        run = self._run
        files = run.state.files() if run is not None else []
        if run is not None and files:
            QGuiApplication.clipboard().setText(str(run.file(files[-1].path)))

    def _on_copy_report(self) -> None:
        if self._run is not None:
            QGuiApplication.clipboard().setText(report_text(self._run))


def _focus_first_button(widget: QWidget) -> None:
    """Keep the keys here: a hidden button's focus would go on to the form, into a text."""
    for button in widget.findChildren(Button):
        if button.isEnabled() and button.isVisibleTo(widget):
            button.setFocus()
            return
