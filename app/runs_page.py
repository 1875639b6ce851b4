"""The Runs page: what waits, what there was, and what can be done with it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.opening import open_folder
from app.run_folder import RunFacts
from app.run_queue import QueueItem
from app.runs import RunController
from app.widgets.button_row import ButtonRow, RowButton
from app.widgets.card import Card
from app.widgets.check import CheckBox
from app.widgets.empty_words import EmptyWords
from app.widgets.runs_list import ROW_PX, QueueModel, RunsList, RunsModel
from app.widgets.text import TextEdit

_QUEUE_ROWS = 4  # rows shown before the queue's list scrolls


class RunsPage(QWidget):
    """Queue above, runs below.

    Signals:
        run_opened: a run is looked at.
        job_asked: a run's job is to go into the form; its file.
        trouble: a sentence for a notice.
    """

    run_opened = Signal()
    job_asked = Signal(object)
    trouble = Signal(str)

    def __init__(self, runs: RunController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs = runs
        self.queue_model, self.runs_model = QueueModel(self), RunsModel(self)
        self.queue = RunsList(self.queue_model, self.tr("Queue"))
        self.list = RunsList(self.runs_model, self.tr("Runs"))
        self.empty = EmptyWords(self.list)
        self.queue_model.moved.connect(runs.move)
        self.queue.key_move.connect(self._on_key_move)
        self.queue.key_delete.connect(lambda item: runs.remove(item.identity))
        self.list.opened.connect(self._open)
        self.list.selectionModel().currentChanged.connect(lambda *_: self._update_buttons())
        self.queue.selectionModel().currentChanged.connect(lambda *_: self._update_buttons())
        self._running_timer = QTimer(self, interval=1000)
        self._running_timer.timeout.connect(self._fill_runs)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 14, 20, 14)
        layout.setSpacing(14)
        layout.addWidget(self._make_queue())
        layout.addWidget(self._make_runs(), 1)
        runs.queue_changed.connect(self.refresh)
        runs.runs_changed.connect(self._fill_runs)
        self.refresh()

    def _make_queue(self) -> Card:
        self.queue_title = QLabel(self.tr("Queue"))
        self.queue_title.setFont(theme.font(bold=True))
        self.queue_note = QLabel()
        self.queue_note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.start = RowButton(self.tr("Start the queue"), "secondary", "play")
        self.start.clicked.connect(self._on_start)
        self.remove = RowButton(self.tr("Take out"), "ghost", "close")
        self.remove.clicked.connect(self._on_remove)
        self.hold = CheckBox(self.tr("Wait after a failure"))
        self.hold.toggled.connect(lambda on: setattr(self._runs, "pause_after_failure", on))
        self.queue_card = Card()
        self.queue_card.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(self.queue_title)
        head.addWidget(self.queue_note, 1)
        head.addWidget(self.hold)
        head.addWidget(ButtonRow([], [self.remove, self.start]))
        inside = QVBoxLayout(self.queue_card)
        inside.setContentsMargins(14, 8, 10, 8)
        inside.setSpacing(4)
        inside.addLayout(head)
        inside.addWidget(self.queue)
        return self.queue_card

    def _make_runs(self) -> Card:
        title = QLabel(self.tr("Runs"))
        title.setFont(theme.font(bold=True))
        self.open = RowButton(self.tr("Open"), "secondary", "eye")
        self.open.clicked.connect(lambda: self._open(self.list.current()))
        self.resume = RowButton(self.tr("Resume"), "ghost", "play")
        self.resume.clicked.connect(self._on_resume)
        self.job = RowButton(self.tr("New job from this"), "ghost", "file")
        self.job.clicked.connect(self._on_job)
        self.folder = RowButton(self.tr("Open folder"), "ghost", "folder")
        self.folder.clicked.connect(self._on_folder)
        self.forget = RowButton(self.tr("Take off the list"), "ghost", "close")
        self.forget.clicked.connect(self._on_forget)
        self.add = RowButton(self.tr("Add a run folder…"), "ghost", "plus")
        self.add.clicked.connect(self._on_add)
        self.words = TextEdit(empty=self.tr("Find a run"))
        self.words.line.setAccessibleName(self.tr("Find a run"))
        self.words.line.setClearButtonEnabled(True)
        self.words.setMaximumWidth(220)
        self.words.line.textChanged.connect(self._fill_runs)
        card = Card()
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(title)
        head.addStretch(1)
        head.addWidget(self.words, 1)
        head.addWidget(self.add)
        acts = ButtonRow([self.open, self.resume, self.job, self.folder, self.forget], [])
        inside = QVBoxLayout(card)
        inside.setContentsMargins(14, 8, 10, 8)
        inside.setSpacing(4)
        inside.addLayout(head)
        inside.addWidget(self.list, 1)
        inside.addWidget(acts)
        return card

    # What is shown

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the folders again whenever the page is opened."""
        super().showEvent(event)
        self._runs.refresh_runs()
        self._running_timer.start()

    def hideEvent(self, event: object) -> None:
        """No ticking unseen."""
        self._running_timer.stop()

    def refresh(self) -> None:
        """Fill both lists."""
        items = self._runs.queue
        self.queue_model.set_rows(items)
        rows = min(_QUEUE_ROWS, len(items))
        self.queue.setFixedHeight(rows * max(ROW_PX, self.queue.sizeHintForRow(0)) + 2)
        self.queue.setVisible(bool(items))
        if not items:
            note = self.tr("empty: jobs queued while a run trains wait here")
        elif self._runs.waiting:
            note = self.tr("{0} waiting for you to start them").format(len(items))
        else:
            note = self.tr("{0} waiting; drag to order").format(len(items))
        self.queue_note.setText(note)
        self.start.setVisible(bool(items))
        waiting = self._runs.waiting
        self.start.setText(self.tr("Start the queue") if waiting else self.tr("Hold the queue"))
        self.start.set_icon("play" if waiting else "pause")
        self._fill_runs()

    def _fill_runs(self) -> None:
        rows = self._runs.runs
        running = self._runs.running
        live = running.facts() if running is not None else None
        if live is not None:
            rows = [live, *(run for run in rows if run.directory != live.directory)]
        words = self.words.line.text().casefold().split()
        rows = [
            run for run in rows
            if all(w in _findable(run) for w in words)
        ]  # fmt: skip
        self.runs_model.set_rows(rows)
        if rows:
            self.empty.say("")
        elif words:
            self.empty.say(self.tr("No run has these words."))
        else:
            self.empty.say(self.tr("No runs yet. What you train is listed here."))
        self._update_buttons()

    def _update_buttons(self) -> None:
        run = self.list.current()
        for button in (self.open, self.job, self.folder, self.forget):
            button.setEnabled(run is not None)
        over = ("stopped", "failed", "interrupted", "aborted")
        can_resume = run is not None and run.resume_step is not None and run.status in over
        self.resume.setEnabled(can_resume)
        if run is not None and can_resume:
            self.resume.setText(self.tr("Resume from step {0}").format(f"{run.resume_step:,}"))
        else:
            self.resume.setText(self.tr("Resume"))
        self.remove.setEnabled(self.queue.current() is not None)
        self.remove.setVisible(bool(self._runs.queue))

    # Acts

    def _open(self, run: RunFacts | None) -> None:
        if run is not None:
            self._runs.open_run(Path(run.directory))
            self.run_opened.emit()

    def _on_resume(self) -> None:
        run = self.list.current()
        if run is not None:
            self._runs.resume(Path(run.directory), (), run.name)
            if not self._runs.queue:
                self.run_opened.emit()

    def _on_job(self) -> None:
        run = self.list.current()
        if run is not None:
            self.job_asked.emit(Path(run.directory) / "job.toml")

    def _on_folder(self) -> None:
        run = self.list.current()
        words = open_folder(Path(run.directory)) if run is not None else ""
        if words:
            self.trouble.emit(words)

    def _on_forget(self) -> None:
        run = self.list.current()
        if run is not None:
            self._runs.forget_run(run.directory)

    def _on_add(self) -> None:
        dialog = QFileDialog(self, self.tr("Open a run folder"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_added)
        dialog.open()

    def _on_added(self, name: str) -> None:
        self._runs.open_run(Path(name))
        self.run_opened.emit()

    def _on_start(self) -> None:
        if self._runs.waiting:
            self._runs.start_queue()
        else:
            self._runs.hold_queue()

    def _on_remove(self) -> None:
        item = self.queue.current()
        if item is not None:
            self._runs.remove(item.identity)

    def _on_key_move(self, item: QueueItem, by: int) -> None:
        order = [other.identity for other in self._runs.queue]
        to = order.index(item.identity) + by
        self._runs.move(item.identity, to)
        if 0 <= to < len(order):
            self.queue.setCurrentIndex(self.queue_model.index(to))


def _findable(run: RunFacts) -> str:
    words = (run.name, run.architecture, run.architecture_label, run.status)
    return " ".join(words).casefold()
