"""The run at work, above the tabs: name, phase, buttons, progress bar, figures."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import run_folder, theme
from app.run_model import RunModel
from app.widgets.button_row import ButtonRow, RowButton
from app.words import duration_words, ends_at_words, figure_words, size_words, speed_words

_PULSE_SECONDS = 2.0


class RunHeader(QWidget):
    """Header E of the look. Its buttons only send; what they do comes back as events.

    Signals:
        pause_pressed, sample_pressed, save_pressed, stop_pressed, abort_pressed.
    """

    pause_pressed = Signal()
    sample_pressed = Signal()
    save_pressed = Signal()
    stop_pressed = Signal()
    abort_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: RunModel | None = None
        self.name, self.phase = QLabel(), QLabel()
        self.pause = RowButton(self.tr("Pause"), "ghost", "pause")
        self.sample = RowButton(self.tr("Sample now"), "ghost", "sample")
        self.save = RowButton(self.tr("Save now"), "ghost", "save")
        self.stop = RowButton(self.tr("Stop and save"), "secondary", "stop")
        self.abort = RowButton(self.tr("Abort…"), "danger", "close")
        self.pause.clicked.connect(self.pause_pressed)
        self.sample.clicked.connect(self.sample_pressed)
        self.save.clicked.connect(self.save_pressed)
        self.stop.clicked.connect(self.stop_pressed)
        self.abort.clicked.connect(self.abort_pressed)
        self.abort.setToolTip(self.tr("End the engine now. Steps since the last save are lost."))
        self.bar, self.figures, self._dot = _Bar(), _Figures(), _Dot()
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._dot)
        row.addWidget(self.name)
        row.addWidget(self.phase)
        buttons = [self.pause, self.sample, self.save, self.stop, self.abort]
        row.addWidget(ButtonRow([], buttons), 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 8, 20, 8)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.bar)
        layout.addWidget(self.figures)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.switch().changed.connect(self._restyle)
        self._restyle()

    def set_run(self, run: RunModel | None) -> None:
        """Show another run."""
        if self._run is not None:
            self._run.updated.disconnect(self.refresh)
        self._run = run
        if run is not None:
            run.updated.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what the run's state says."""
        run = self._run
        if run is None:
            return
        state = run.state
        self.name.setText(run.name)
        self.phase.setText(self._phase_words(run))
        overdue = run.stop_left == 0
        live = run.is_live and not state.stopping
        training = live and state.hello is not None
        paused = state.status == "paused"
        self.pause.setText(self.tr("Resume") if paused else self.tr("Pause"))
        self.pause.set_icon("play" if paused else "pause")
        self.pause.setEnabled(training)
        self.sample.setEnabled(training)
        self.save.setEnabled(training and state.step > 0)
        self.stop.setEnabled(live)
        self.abort.setVisible(overdue and run.is_live)
        for button in (self.pause, self.sample, self.save, self.stop):
            button.setVisible(run.is_live)
        self._dot.pulse(state.alive and not paused)
        self.bar.show_run(run)
        self.figures.show_pairs(figure_pairs(run))

    def _phase_words(self, run: RunModel) -> str:
        state = run.state
        if state.stopping:
            if run.stop_left:
                return self.tr("stopping and saving, up to {0} s").format(run.stop_left)
            if run.stop_left == 0:
                return self.tr("still stopping; Abort ends it now")
            return self.tr("aborting")
        if not run.is_live and state.alive:
            return self.tr("at work in another window or a terminal")
        phase = state.phase
        if phase is None:
            return self.tr("starting")
        words = phase.words or phase.name.replace("_", " ")
        words = words[:1].lower() + words[1:]
        if phase.total and phase.name not in (
            "training",
            "paused",
        ):  # the figures tell the steps, sooner
            words += " · " + self.tr("{0} of {1}").format(f"{phase.done:,}", f"{phase.total:,}")
        return words

    def paintEvent(self, event: QPaintEvent) -> None:
        """Raised ground with a hairline below."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("raised" if theme.tokens().dark else "panel"))
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), theme.color("line"))

    def _restyle(self) -> None:
        self.name.setFont(theme.font(bold=True))
        self.phase.setFont(theme.font(theme.SMALL))
        palette = self.phase.palette()
        palette.setColor(self.phase.foregroundRole(), theme.color("text2"))
        self.phase.setPalette(palette)


def figure_pairs(run: RunModel) -> list[tuple[str, str]]:
    """Figures with their words, the most wanted first."""
    state = run.state
    tr = QApplication.translate
    total, hello, last = state.total_steps, state.hello, state.last_step
    pairs = []
    if total:  # known once the engine has said hello
        pairs.append((f"{state.step:,}", tr("RunHeader", "of {0} steps").format(f"{total:,}")))
    if hello is not None and hello.total_epochs and state.epoch:
        words = tr("RunHeader", "of {0} epochs").format(hello.total_epochs)
        pairs.append((f"{state.epoch}", words))
    left = state.seconds_left
    if left is not None and not state.is_over:
        words = tr("RunHeader", "left, ends {0}").format(ends_at_words(left))
        if state.status == "paused":  # an hour of the clock would move on with every look at it
            words = tr("RunHeader", "left, paused")
        pairs.append((duration_words(left), words))
    if state.seconds_per_step:
        pairs.append(speed_words(state.seconds_per_step))
    if last is not None and last.memory_bytes:
        peak = size_words(last.memory_peak_bytes).split(" ")[0]
        words = tr("RunHeader", "peak {0}").format(peak) if last.memory_peak_bytes else ""
        pairs.append((size_words(last.memory_bytes), words))
    if last is not None and last.loss_smooth is not None:
        pairs.append((figure_words(last.loss_smooth), tr("RunHeader", "smoothed loss")))
    if state.validations:
        pairs.append((figure_words(state.validations[-1].loss), tr("RunHeader", "validation")))
    return pairs


class _Dot(QWidget):
    """A dot that breathes while the engine works; still where motion is not wanted."""

    def __init__(self) -> None:
        super().__init__()
        self._on = False
        self._timer = QTimer(self, interval=80)
        self._timer.timeout.connect(self.update)
        self.setFixedSize(16, 16)

    def pulse(self, on: bool) -> None:
        """Breathe or be still."""
        self._on = on
        animate = QApplication.isEffectEnabled(Qt.UIEffect.UI_General)
        if on and animate and self.isVisible():
            if not self._timer.isActive():
                self._timer.start()
        else:
            self._timer.stop()
        self.update()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nothing moves unseen."""
        self._timer.stop()

    def showEvent(self, event: QShowEvent) -> None:
        """Breathe again."""
        self.pulse(self._on)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A dot with a halo."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        token = "accent" if self._on else "text3"
        if self._on:
            phase = time.monotonic() % _PULSE_SECONDS / _PULSE_SECONDS
            painter.setBrush(theme.color(token, 0.18 + 0.16 * math.sin(2 * math.pi * phase)))
            painter.drawEllipse(QRectF(1, 1, 14, 14))
        painter.setBrush(theme.color(token))
        painter.drawEllipse(QRectF(4, 4, 8, 8))


class _Bar(QWidget):
    """Progress in steps, with ticks where files are saved; before the first, of the phase."""

    def __init__(self) -> None:
        super().__init__()
        self._part = 0.0
        self._ticks: list[float] = []
        self.setFixedHeight(16)
        self.setAccessibleName(self.tr("Progress"))

    def show_run(self, run: RunModel) -> None:
        """Take the part done from the state."""
        state = run.state
        total = max(1, state.total_steps)
        self._part = state.step / total
        phase = state.phase
        if state.step == 0 and phase is not None and phase.total:
            self._part = phase.done / phase.total
        every = 0
        if state.hello is not None:
            every = run_folder.every_steps(run.settings, "output", state.hello.steps_per_epoch)
        planned = range(every, total + 1, every) if every and total // every <= 60 else ()
        saved = [c.step for c in state.files()][-60:]
        self._ticks = sorted({step / total for step in (*planned, *saved)})
        self.setAccessibleDescription(f"{self._part:.0%}")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Track, done part, ticks below."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        track = QRectF(0, 2, self.width(), 8)
        painter.setBrush(theme.color("line" if theme.tokens().dark else "sunken"))
        painter.drawRoundedRect(track, 4, 4)
        if self._part > 0:
            done = QRectF(0, 2, max(8.0, self.width() * min(1.0, self._part)), 8)
            painter.setBrush(theme.color("accent"))
            painter.drawRoundedRect(done, 4, 4)
        for tick in self._ticks:
            token = "accent" if tick <= self._part else "field"
            x = min(self.width() - 2.0, self.width() * tick - 1)
            painter.fillRect(QRectF(x, 11, 2, 4), theme.color(token))


class _Figures(QWidget):
    """Pairs of figure and word in one line; those that do not fit are left out from the end."""

    def __init__(self) -> None:
        super().__init__()
        self._pairs: list[tuple[str, str]] = []
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_pairs(self, pairs: list[tuple[str, str]]) -> None:
        """Set what is shown."""
        if pairs != self._pairs:
            self._pairs = pairs
            self.setAccessibleName(", ".join(f"{a} {b}" for a, b in pairs))
            self.update()

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(200, self.fontMetrics().height() + 6)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the pairs that fit."""
        painter = QPainter(self)
        x = 0.0
        middle = Qt.AlignmentFlag.AlignVCenter
        for figure, words in self._pairs:
            painter.setFont(theme.font(theme.SMALL, bold=True))
            first = painter.fontMetrics().horizontalAdvance(figure)
            painter.setFont(theme.font(theme.SMALL))
            second = painter.fontMetrics().horizontalAdvance(words)
            if x + first + 5 + second > self.width() and x:
                break
            painter.setFont(theme.font(theme.SMALL, bold=True))
            painter.setPen(theme.color("text"))
            painter.drawText(QRectF(x, 0, first + 2, self.height()), middle, figure)
            painter.setFont(theme.font(theme.SMALL))
            painter.setPen(theme.color("text2"))
            painter.drawText(QRectF(x + first + 5, 0, second + 2, self.height()), middle, words)
            x += first + second + 23
