"""The dialog of a tool: its panel, where the result goes, how far it is, and what came of it."""

from __future__ import annotations

import time
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.dialogs import Question, ask
from app.process import EngineCommand
from app.theme import GROUP
from app.tools_panel import Panel
from app.tools_process import ToolEnd, ToolProcess, Written
from app.tools_result import ToolResult
from app.widgets.button import Button
from app.widgets.label import Label
from app.widgets.labeled_rows import LabeledRows
from app.widgets.message import Message
from app.widgets.progress_line import ProgressLine
from app.widgets.target import TargetEdit
from app.words import duration_words, size_words

_MODEL_WORDS = ("--model", "--architecture")


class ToolDialog(QDialog):
    """Runs one tool, in the background of the window and never over a file without asking.

    Signals:
        inspect_asked: Path of a file that was written.
        trouble: words for the person.
    """

    inspect_asked = Signal(object)
    trouble = Signal(str)

    def __init__(self, panel: Panel, command: EngineCommand, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.panel, self._command = panel, command
        self.process: ToolProcess | None = None
        self._began = 0.0
        self._layers = self._bytes = (0, 0)
        self._closes = False
        self.setWindowTitle(panel.title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAcceptDrops(True)
        self.resize(640, 520)
        self._build()
        self._clock = QTimer(self, interval=500)
        self._clock.timeout.connect(self._show_progress)
        panel.when_changed(self._on_changed)
        self._on_changed()

    def _build(self) -> None:
        panel = self.panel
        inside = QWidget(self)
        column = QVBoxLayout(inside)
        column.setContentsMargins(24, 20, 24, 8)
        column.setSpacing(10)
        column.addWidget(Label(panel.title, scale=GROUP, bold=True, parent=inside))
        lead = Label(panel.lead, "text2", parent=inside)
        lead.setWordWrap(True)
        column.addWidget(lead)
        column.addSpacing(4)
        column.addWidget(panel.widget())
        self.target = TargetEdit(inside)
        self.target.renamed.connect(self._on_changed)
        self._target_rows = LabeledRows(inside)
        self._target_rows.add(self.tr("Write to"), self.target, fills=True)
        column.addWidget(self._target_rows)
        self.message = Message("", "error", inside)
        self.message.hide()
        column.addWidget(self.message)
        self.outcome = ToolResult(inside)
        self.outcome.inspect_asked.connect(self.inspect_asked)
        self.outcome.trouble.connect(self.trouble)
        self.outcome.hide()
        column.addWidget(self.outcome)
        column.addStretch(1)
        area = QScrollArea(self)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(inside)
        self.bar = ProgressLine(self)
        self.bar.hide()
        self._hint = Label("", "text3", parent=self)
        self.run_button = Button(panel.verb, "primary", parent=self)
        self.run_button.setDefault(True)
        self.run_button.clicked.connect(lambda: self.run())
        self.close_button = Button(self.tr("Close"), "secondary", parent=self)
        self.close_button.clicked.connect(self._on_close_button)
        foot = QHBoxLayout()
        foot.setContentsMargins(24, 8, 24, 18)
        foot.setSpacing(10)
        foot.addWidget(self._hint, 1)
        foot.addWidget(self.bar, 3)
        foot.addWidget(self.run_button)
        foot.addWidget(self.close_button)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(area, 1)
        whole.addLayout(foot)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Close), self, self.close)

    # --- before --------------------------------------------------------------------------------

    @property
    def is_working(self) -> bool:
        """Whether the tool is at work."""
        return self.process is not None

    def _on_changed(self) -> None:
        target = self.panel.target()
        self.target.suggest(target.path, is_folder=target.is_folder)
        self._target_rows.set_hint(self.target, self.panel.target_hint())
        if not self.is_working:
            self.message.hide()
            self.outcome.hide()
            missing = self.panel.missing()
            if not missing and self.target.path() is None:
                missing = self.tr("Say where to write it.")
            self._hint.setText(missing)
            self.run_button.setEnabled(not missing)

    # --- at work -------------------------------------------------------------------------------

    def run(self, *, overwrite: bool = False) -> None:
        """Start the tool."""
        target = self.target.path()
        if target is None or self.panel.missing() or self.is_working:
            return
        self.outcome.begin(is_model=self.panel.target().is_model)
        self.message.hide()
        self.outcome.hide()
        process = ToolProcess(self._command, target, self)
        process.copied.connect(self._on_copied)
        process.progressed.connect(self._on_progress)
        process.written.connect(self._on_written)
        process.kept.connect(self.outcome.set_kept)
        process.ended.connect(self._on_ended)
        self.process = process
        self._began, self._layers, self._bytes = time.monotonic(), (0, 0), (0, 0)
        self._set_working(True)
        arguments = [self.panel.command, *self.panel.arguments(), "--out", str(target)]
        process.start([*arguments, "--overwrite"] if overwrite else arguments)

    def cancel(self) -> None:
        """Stop the tool; nothing half-written is left."""
        if self.process is not None:
            self.close_button.setEnabled(False)
            self.bar.show_progress(self.tr("Cancelling…"))
            self._clock.stop()
            self.process.cancel()

    def stop(self) -> None:
        """Cancel and wait, as the window closes."""
        if self.process is not None:
            self.process.stop()

    def _set_working(self, works: bool) -> None:
        self.panel.widget().setEnabled(not works)
        self._target_rows.setEnabled(not works)
        self.run_button.setVisible(not works)
        self._hint.setVisible(not works)
        self.bar.setVisible(works)
        self.close_button.setText(self.tr("Cancel") if works else self.tr("Close"))
        self.close_button.setEnabled(True)
        if works:
            self._clock.start()
            self._show_progress()
        else:
            self._clock.stop()

    def _on_copied(self, done: int, total: int) -> None:
        self._bytes = (done, total)

    def _on_progress(self, done: int, total: int) -> None:
        self._layers = (done, total)

    def _show_progress(self) -> None:
        done, total = self._layers
        so_far = self.tr("%s so far") % duration_words(time.monotonic() - self._began)
        copied, size = self._bytes
        before = 0.5 if size else 0.0  # a copy takes the first half of the bar
        if total:
            words = self.tr("%1 of %2 layers")
            words = words.replace("%1", f"{done:,}").replace("%2", f"{total:,}")
            share = before + (1 - before) * done / total
        elif size:
            words = self.tr("Copying the model, %1 of %2")
            words = words.replace("%1", size_words(copied)).replace("%2", size_words(size))
            share = before * copied / size
        else:
            words, share = self.tr("Reading the files"), 0.0
        self.bar.show_progress(words, so_far, share)

    def _on_written(self, written: Written) -> None:
        self.outcome.add(written)

    def _on_ended(self, end: ToolEnd) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.deleteLater()
        self._set_working(False)
        self._hint.setText("")
        if self._closes:
            self.close()
        elif end.outcome == "done":
            self._show_result()
        elif end.outcome == "exists":
            self._ask_to_replace(end)
        elif end.outcome == "cancelled":
            words = self.tr("Cancelled. Nothing half-written is left.")
            if self.outcome.written:
                words += " " + self.tr("Files that were whole already stay.")
                self._show_result()
            self._say(words)
        else:
            self._say_failure(end.message)

    def _show_result(self) -> None:
        self.outcome.show()
        QTimer.singleShot(0, self.outcome, self._show_the_end)

    def _show_the_end(self) -> None:
        area = self.findChild(QScrollArea)
        if area is not None:
            area.ensureWidgetVisible(self.outcome)

    def _say(self, words: str) -> None:
        self.message.label.setText(words)
        self.message.show()

    def _say_failure(self, message: str) -> None:
        if any(word in message for word in _MODEL_WORDS):
            self.panel.ask_for_model()
            message = message.partition(" Name the architecture with")[0]
            message = message.replace("name it with --model", "choose it above")
            if "choose it above" not in message:
                message += " " + self.tr("Choose above what it was made for.")
        self._say(message)

    def _ask_to_replace(self, end: ToolEnd) -> None:
        name = Path(end.exists).name
        words = self.tr("A file of this name is in %s. What is in it would be lost.")
        ask(
            self, self.tr("Replace %s?") % name, words % Path(end.exists).parent,
            [(self.tr("Replace"), "danger", lambda: self.run(overwrite=True))],
        )  # fmt: skip

    # --- the end -------------------------------------------------------------------------------

    def _on_close_button(self) -> None:
        if self.is_working:
            self.cancel()
        else:
            self.close()

    def reject(self) -> None:
        """Esc, the cross and Close end here; while it works, ask first."""
        if not self.is_working:
            super().reject()
        elif self.findChild(Question) is None:
            self.ask_to_cancel()

    def ask_to_cancel(self) -> Question:
        """Ask whether to cancel what is at work, and to close then."""
        return ask(
            self, self.tr("Cancel the work?"),
            self.tr("It is not done. It goes on if this window stays open."),
            [(self.tr("Cancel it and close"), "danger", self._cancel_and_close)],
        )  # fmt: skip

    def _cancel_and_close(self) -> None:
        self._closes = True
        if self.is_working:
            self.cancel()
        else:
            self.close()

    # --- drops ---------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files while nothing is at work."""
        if not self.is_working and any(u.isLocalFile() for u in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Use the dropped files."""
        paths = [Path(u.toLocalFile()) for u in event.mimeData().urls() if u.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.panel.take(paths)
