"""The page of an empty start: what shall it learn?"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.engine_setup import EngineSetup
from app.icons import draw_icon
from app.theme import CHOICE, HEADLINE, SMALL, color, font, tokens
from app.widgets.button import Button
from app.widgets.card import Card
from app.widgets.label import Label

SHOWCASE = Path(__file__).resolve().parent.parent / "resources" / "demo" / "showcase"
"""Pictures of one prompt through the demo's training, in the order of their names."""

_WIDTH = 680


class FirstRunPage(QWidget):
    """Three ways to begin, and the drop area that is the whole window.

    Signals:
        demo_asked, folder_asked, job_asked: a way was chosen.
        setup_asked: the person wants to see the engine's installation.
    """

    demo_asked = Signal()
    folder_asked = Signal()
    job_asked = Signal()
    setup_asked = Signal()

    def __init__(self, setup: EngineSetup, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._setup = setup
        self._demo = _Way(
            "play",
            self.tr("Run the demo"),
            self.tr("Trains a small adapter while you watch. No download, no GPU."),
            Button(self.tr("Run the demo"), "primary"),
        )
        self._folder = _Way(
            "dataset",
            self.tr("Train on my pictures"),
            self.tr("10 to 50 pictures in one folder are enough to start."),
            Button(self.tr("Choose folder")),
        )
        self._job = _Way(
            "folder",
            self.tr("Open what I have"),
            self.tr("A job, a preset, or the settings of another trainer."),
            Button(self.tr("Open…")),
        )
        self._demo.button.clicked.connect(self.demo_asked)
        self._folder.button.clicked.connect(self.folder_asked)
        self._job.button.clicked.connect(self.job_asked)
        self._engine = _EngineLine(self)
        self._engine.button.clicked.connect(self.setup_asked)
        self._lay_out()
        setup.changed.connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        column = QVBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(Label(self.tr("What shall it learn?"), scale=HEADLINE, bold=True))
        lead = Label(
            self.tr(
                "An adapter teaches a picture model one new thing: a character, a style, an object."
            ),
            "text2",
        )
        lead.setWordWrap(True)
        column.addWidget(lead)
        column.addSpacing(10)
        for way in (self._demo, self._folder, self._job):
            column.addWidget(way)
        column.addSpacing(4)
        column.addWidget(_DropHint(self))
        strip = _Showcase(self)
        if strip.pictures:
            column.addSpacing(8)
            column.addWidget(strip)
        column.addSpacing(6)
        column.addWidget(self._engine)
        column.addStretch(1)
        holder = QWidget()
        holder.setLayout(column)
        holder.setMaximumWidth(_WIDTH)
        inside = QWidget()
        row = QHBoxLayout(inside)
        row.setContentsMargins(24, 28, 24, 24)
        row.addStretch(1)
        row.addWidget(holder, 20)
        row.addStretch(1)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)

    def refresh(self) -> None:
        """Say whether the engine is there; the demo waits for it by itself."""
        status = self._setup.status
        words, button = {
            "ready": (self.tr("The engine is installed."), ""),
            "unknown": (self.tr("Looking for the engine…"), ""),
            "installing": (self.tr("The engine is being installed."), self.tr("Show")),
            "cancelling": (self.tr("The installation is being stopped."), self.tr("Show")),
            "failed": (self.tr("The engine could not be installed."), self.tr("Show")),
        }.get(
            status.state,
            (self.tr("The engine is not installed yet; training needs it."), self.tr("Install…")),
        )
        self._engine.show_words(words, button, warn=status.state == "failed")


class _Way(Card):
    """One way to begin: icon, title, line, button."""

    def __init__(self, icon: str, title: str, words: str, button: Button) -> None:
        super().__init__()
        self.button = button
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(Label(title, scale=CHOICE, bold=True))
        line = Label(words, "text2")
        line.setWordWrap(True)
        texts.addWidget(line)
        button.setMinimumWidth(140)
        button.setAccessibleDescription(words)
        row = QHBoxLayout(self)
        row.setContentsMargins(18, 14, 18, 14)
        row.setSpacing(16)
        row.addWidget(_IconTile(icon, self))
        row.addLayout(texts, 1)
        row.addWidget(button)


class _IconTile(QWidget):
    def __init__(self, icon: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._icon = icon
        self.setFixedSize(48, 48)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color("accent_soft"))
        painter.drawRoundedRect(QRectF(self.rect()), 8, 8)
        draw_icon(painter, self._icon, QRectF(15, 15, 18, 18), "accent")


class _DropHint(QWidget):
    """A dashed line round the words; the whole window takes drops."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._text = self.tr(
            "Or drop a folder of pictures, a job, a preset or a LoRA file anywhere on this window"
        )
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self._text)

    def sizeHint(self) -> QSize:
        return QSize(300, 2 * self.fontMetrics().height() + 24)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = QPen(QColor(tokens().field), 1, Qt.PenStyle.DashLine)
        painter.setPen(pen)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
        painter.setPen(QColor(tokens().text2))
        area = QRectF(self.rect()).adjusted(16, 0, -16, 0)
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(area, int(flags), self._text)


class _EngineLine(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._label = Label("", "text2", SMALL)
        self._label.setWordWrap(True)
        self.button = Button("", "link", parent=self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._label, 1)
        row.addWidget(self.button)

    def show_words(self, words: str, button: str, warn: bool) -> None:
        """Show a sentence and, if there is something to do, its button."""
        self._label.setText(words)
        self._label.set_style("error" if warn else "text2")
        self.button.setText(button)
        self.button.setVisible(bool(button))


class _Showcase(QWidget):
    """What the demo does: one prompt, from the base model to the trained adapter."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.pictures = [
            (path.stem.partition("-")[2].replace("_", " "), image)
            for path in sorted(SHOWCASE.glob("*.png"))
            if not (image := QImage(str(path))).isNull()
        ]
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        names = ", ".join(name for name, _ in self.pictures)
        self.setAccessibleName(self.tr("What the demo does: %s") % names)

    def _side(self) -> float:
        count = max(len(self.pictures), 1)
        return min((self.width() - 10 * (count - 1)) / count, 132)

    def sizeHint(self) -> QSize:
        line = self.fontMetrics().height()
        return QSize(300, round(132 + 2.6 * line + 16))

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.FontChange:
            self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        line = self.fontMetrics().height()
        painter.setFont(font(bold=True))
        painter.setPen(QColor(tokens().text))
        painter.drawText(QRectF(0, 0, self.width(), line + 4), self.tr("What the demo does"))
        side, top = self._side(), line + 10.0
        for index, (name, image) in enumerate(self.pictures):
            rect = QRectF(index * (side + 10), top, side, side)
            path = QPainterPath()
            path.addRoundedRect(rect, 4, 4)
            painter.save()
            painter.setClipPath(path)
            painter.drawImage(rect, image)
            painter.restore()
            ends = index in (0, len(self.pictures) - 1)
            painter.setFont(font(SMALL, bold=ends))
            painter.setPen(QColor(tokens().text if ends else tokens().text2))
            words = QRectF(rect.left(), rect.bottom() + 4, side, line + 4)
            painter.drawText(words, int(Qt.AlignmentFlag.AlignLeft), name)
