"""A finished run, above the tabs: its files, the best of them, what to do next."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.icons import draw_icon
from app.run_model import RunModel
from app.widgets.button_row import ButtonRow, RowButton
from app.words import duration_words, figure_words, size_words


class ResultCard(QWidget):
    """Shown when a run is done, was stopped or aborted.

    Signals:
        folder_pressed, copy_pressed, compare_pressed, resume_pressed, longer_pressed, job_pressed,
        close_pressed.
    """

    folder_pressed = Signal()
    copy_pressed = Signal()
    compare_pressed = Signal()
    resume_pressed = Signal()
    longer_pressed = Signal()
    job_pressed = Signal()
    close_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon = "check"
        self.title, self.files = QLabel(), QLabel()
        self.files.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.files.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.resume = RowButton(self.tr("Resume"), "secondary", "play")
        self.folder = RowButton(self.tr("Open folder"), "secondary", "folder")
        self.copy = RowButton(self.tr("Copy path"), "ghost", "copy")
        self.compare = RowButton(self.tr("Compare previews"), "ghost", "compare")
        self.longer = RowButton(self.tr("Train longer…"), "ghost", "plus")
        self.job = RowButton(self.tr("New job from this"), "ghost", "file")
        self.close_run = RowButton(self.tr("Close run"), "ghost", "close")
        for button, signal in (
            (self.resume, self.resume_pressed), (self.folder, self.folder_pressed),
            (self.copy, self.copy_pressed), (self.compare, self.compare_pressed),
            (self.longer, self.longer_pressed), (self.job, self.job_pressed),
            (self.close_run, self.close_pressed),
        ):  # fmt: skip
            button.clicked.connect(signal)
        top = QHBoxLayout()
        top.setContentsMargins(28, 0, 0, 0)
        top.addWidget(self.title)
        top.addStretch(1)
        row = ButtonRow(
            [self.resume, self.folder, self.copy, self.compare, self.longer, self.job],
            [self.close_run],
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 8, 20, 10)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.files)
        layout.addWidget(row)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_run(self, run: RunModel) -> None:
        """Show a run that is over."""
        state = run.state
        finished = state.finished
        done = state.status == "done"
        self._icon = "check" if done else "pause"
        words = {
            "done": self.tr("{0} is done"),
            "stopped": self.tr("{0} was stopped and saved") if state.files()
            else self.tr("{0} was stopped"),
            "aborted": self.tr("{0} was aborted"),
        }.get(state.status, "{0}")  # fmt: skip
        parts = [words.format(run.name)]
        parts.append(self.tr("step {0} of {1}").format(f"{state.step:,}", f"{state.total_steps:,}"))
        if finished is not None and finished.seconds:
            parts.append(duration_words(finished.seconds))
        self.title.setText(" · ".join(parts))
        self.title.setFont(theme.font(theme.CHOICE, bold=True))
        self.files.setText(self._file_words(run))
        self.files.setFont(theme.font(theme.SMALL))
        palette = self.files.palette()
        palette.setColor(self.files.foregroundRole(), theme.color("text2"))
        self.files.setPalette(palette)
        at = state.resume_step
        self.resume.setVisible(not done and at is not None)
        if at is not None:
            self.resume.setText(self.tr("Resume from step {0}").format(f"{at:,}"))
        self.longer.setVisible(done and at is not None)
        self.copy.setEnabled(bool(state.files()))
        self.compare.setEnabled(len({s.step for s in state.samples}) > 1)
        self.update()

    def _file_words(self, run: RunModel) -> str:
        state = run.state
        files = state.files()
        if not files:
            return self.tr("No adapter file was saved.")
        last = files[-1]
        name = last.path.rpartition("/")[2]
        words = [f"{name}, {size_words(last.size_bytes)}"]
        if len(files) > 1:
            words.append(self.tr("and {0} earlier").format(len(files) - 1))
        best = state.best
        if best is not None:
            by_path = state.finished.best_path if state.finished is not None else ""
            where = by_path.rpartition("/")[2] or self.tr("step {0}").format(f"{best.step:,}")
            words.append(
                self.tr("best by validation: {0} ({1})").format(where, figure_words(best.loss))
            )
        return " · ".join(words)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, icon and hairline."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("accent_soft"))
        painter.fillRect(QRectF(0, 0, 4, self.height()), theme.color("accent"))
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), theme.color("line"))
        middle = self.title.geometry().center().y()
        draw_icon(painter, self._icon, QRectF(20, middle - 9, 18, 18), "accent")
