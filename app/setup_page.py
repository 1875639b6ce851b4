"""The page "Getting the engine ready": what is installed, how far, how fast, and how to stop it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from app.engine_setup import EngineSetup, SetupStatus
from app.icons import draw_icon
from app.theme import HEADLINE, SMALL, font, tokens
from app.widgets.button import Button
from app.widgets.card import Card
from app.widgets.label import Label
from app.words import duration_words, size_words

_WIDTH = 660


class SetupPage(QWidget):
    """Shows an `EngineSetup`.

    Signals:
        left: the person goes back to what was there before.
    """

    left = Signal()

    def __init__(self, setup: EngineSetup, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._setup = setup
        self._title = Label("", scale=HEADLINE, bold=True)
        self._lead = Label("", "text2")
        self._lead.setWordWrap(True)
        self._bar = _SetupBar(self)
        self._speed = Label("", "text3", SMALL)
        self._warning = Label("", "warn", SMALL)
        self._warning.setWordWrap(True)
        self._log = QPlainTextEdit(self)
        self._log.setReadOnly(True)
        self._log.setMaximumBlockCount(500)
        self._log.setFont(font(mono=True))
        self._log.setMinimumHeight(120)
        self._log.setAccessibleName(self.tr("Installer's log"))
        self._log.hide()
        self._log_button = Button(self.tr("Show log"), "ghost", "log", self)
        self._log_button.clicked.connect(self._toggle_log)
        self._main_button = Button(self.tr("Install"), "primary", "download", self)
        self._main_button.clicked.connect(setup.install)
        self._cancel_button = Button(self.tr("Cancel"), "secondary", "", self)
        self._cancel_button.clicked.connect(setup.cancel)
        self._back_button = Button(self.tr("Go on"), "primary", "", self)
        self._back_button.clicked.connect(self.left)
        self._lay_out()
        setup.changed.connect(self.refresh)
        setup.logged.connect(self._log.appendPlainText)
        self.refresh()

    def _lay_out(self) -> None:
        card = Card(self)
        inside = QVBoxLayout(card)
        inside.setContentsMargins(20, 18, 20, 14)
        inside.setSpacing(8)
        inside.addWidget(self._bar)
        inside.addWidget(self._speed)
        inside.addWidget(self._warning)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self._log_button)
        buttons.addStretch(1)
        for button in (self._cancel_button, self._main_button, self._back_button):
            buttons.addWidget(button)
        inside.addLayout(buttons)
        inside.addWidget(self._log, 1)
        column = QVBoxLayout()
        column.setSpacing(10)
        column.addStretch(1)
        column.addWidget(self._title)
        column.addWidget(self._lead)
        column.addSpacing(10)
        column.addWidget(card)
        column.addStretch(2)
        row = QHBoxLayout(self)
        row.setContentsMargins(20, 20, 20, 20)
        holder = QWidget(self)
        holder.setLayout(column)
        holder.setMaximumWidth(_WIDTH)
        column.setContentsMargins(0, 0, 0, 0)
        row.addStretch(1)
        row.addWidget(holder, 20)
        row.addStretch(1)

    def refresh(self) -> None:
        """Show the present status."""
        status = self._setup.status
        title, lead = self._words(status)
        self._title.setText(title)
        self._lead.setText(lead)
        self._bar.show_status(status)
        self._speed.setText(_speed_words(status))
        self._speed.setVisible(self._setup.is_working)
        self._warning.setText(status.warning)
        self._warning.setVisible(bool(status.warning))
        self._cancel_button.setVisible(self._setup.is_working)
        self._cancel_button.setEnabled(status.state == "installing")
        waiting = status.state in ("missing", "cancelled", "failed")
        self._main_button.setVisible(waiting)
        again = status.state in ("cancelled", "failed")
        self._main_button.setText(self.tr("Go on installing") if again else self.tr("Install"))
        self._back_button.setVisible(status.state == "ready")

    def _words(self, status: SetupStatus) -> tuple[str, str]:
        if status.state == "failed":
            return self.tr("The engine could not be installed"), f"{status.message} {status.mend}"
        if status.state == "cancelled":
            return self.tr("Installing was stopped"), self.tr(
                "What was downloaded is kept; it goes on from there."
            )
        if status.state == "ready":
            return self.tr("The engine is ready"), self.tr("Train can be pressed now.")
        if status.state == "missing":
            return self.tr("The engine is not installed yet"), self.tr(
                "Training needs PyTorch and the diffusers library: about 1 GB on a computer "
                "without an NVIDIA card, 3 GB with one. They go into Graft's own folder."
            )
        return self.tr("Getting the engine ready"), self.tr(
            "The window works already: set up the job meanwhile. Train wakes when this is done. "
            "If it is interrupted, it goes on from here."
        )

    def _toggle_log(self) -> None:
        shown = self._log.isVisible()
        self._log.setVisible(not shown)
        self._log_button.setText(self.tr("Show log") if shown else self.tr("Hide log"))


def _speed_words(status: SetupStatus) -> str:
    parts = []
    if status.speed >= 1e5:
        parts.append(f"{size_words(status.speed)} a second")
        left = status.bytes_total - status.bytes_done
        if left > 0:
            parts.append(f"{duration_words(left / status.speed)} for this one")
    if status.seconds >= 1:
        parts.append(f"{duration_words(status.seconds)} so far")
    return " · ".join(parts)


class _SetupBar(QWidget):
    """The phase in words with a bar below: packages, and within one its bytes."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._status = SetupStatus()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_status(self, status: SetupStatus) -> None:
        """Draw another status."""
        self._status = status
        left, right = self._texts()
        self.setAccessibleName(f"{left}. {right}")
        self.update()

    def _texts(self) -> tuple[str, str]:
        status = self._status
        words = {
            "ready": self.tr("Everything is installed"),
            "missing": self.tr("Not installed"),
            "cancelled": self.tr("Stopped"),
            "cancelling": self.tr("Stopping…"),
            "failed": self.tr("Stopped by an error"),
        }.get(status.state)
        left = words or " ".join(p for p in (status.phase, status.package) if p)
        right = ""
        if status.state == "installing" and status.bytes_total >= 1e6:
            done, total = size_words(status.bytes_done), size_words(status.bytes_total)
            right = self.tr("%1 of %2").replace("%1", done).replace("%2", total)
        elif status.state == "installing" and status.total:
            right = self.tr("package %1 of %2").replace("%1", str(status.done))
            right = right.replace("%2", str(status.total))
        return left, right

    def sizeHint(self) -> QSize:
        return QSize(400, self.fontMetrics().height() + 24)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        left, right = self._texts()
        status = self._status
        line = QRectF(26, 0, self.width() - 26, self.fontMetrics().height() + 6)
        icon, token = {
            "ready": ("check", "accent"),
            "failed": ("error", "error"),
        }.get(status.state, ("download", "text2"))
        draw_icon(painter, icon, QRectF(0, 0, 16, line.height()), token)
        painter.setFont(font(bold=True))
        painter.setPen(QColor(tokens().text))
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | middle, left)
        painter.drawText(line, Qt.AlignmentFlag.AlignRight | middle, right)
        bar = QRectF(0, self.height() - 10, self.width(), 8)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens().sunken if not tokens().dark else tokens().line))
        painter.drawRoundedRect(bar, 4, 4)
        share = 1.0 if status.state == "ready" else status.share
        if share > 0:
            bar.setWidth(max(self.width() * share, 8))
            painter.setBrush(
                QColor(tokens().error if status.state == "failed" else tokens().accent)
            )
            painter.drawRoundedRect(bar, 4, 4)
