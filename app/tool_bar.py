"""Area A: architecture, preset, undo and redo, queue, Train."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QWidget

from app.theme import SMALL, color
from app.widgets.button import Button, IconButton
from app.widgets.choice import ChoiceBox
from app.widgets.label import Label
from engine.schema.architectures import ARCHITECTURES
from engine.schema.presets import Preset


class ToolBar(QWidget):
    """What is always at hand.

    Signals:
        architecture_chosen: its id.
        preset_chosen: the Preset.
        save_preset_asked, queue_asked, train_asked: a button was pressed.
    """

    architecture_chosen = Signal(str)
    preset_chosen = Signal(object)
    save_preset_asked = Signal()
    queue_asked = Signal()
    train_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._presets: list[Preset] = []
        self._changed = 0
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 8, 16, 8)
        row.setSpacing(8)
        self._labels = [Label(self.tr("Architecture"), "text2", SMALL, self)]
        labels = [(a.id, a.label) for a in ARCHITECTURES.values()]
        self.architecture = ChoiceBox(labels, self, bold=True)
        self.architecture.setAccessibleName(self.tr("Architecture"))
        self.architecture.edited.connect(self.architecture_chosen.emit)
        self._labels.append(Label(self.tr("Preset"), "text2", SMALL, self))
        self.preset = ChoiceBox((), self, bold=True)
        self.preset.setAccessibleName(self.tr("Preset"))
        self.preset.edited.connect(self._on_preset_edited)
        for box in (self.architecture, self.preset):
            box.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.save_preset = IconButton("save", self.tr("Save as preset"), self, side=34)
        self.save_preset.clicked.connect(self.save_preset_asked)
        self.undo = IconButton("undo", self.tr("Undo"), self, side=34)
        self.redo = IconButton("redo", self.tr("Redo"), self, side=34)
        self.queue = Button(self.tr("Queue"), "ghost", "queue", self, tall=True)
        self.queue.setToolTip(self.tr("Add this job to the queue"))
        self.queue.clicked.connect(self.queue_asked)
        self.train = Button(self.tr("Train"), "primary", "play", self, tall=True)
        self.train.clicked.connect(self.train_asked)
        row.addWidget(self._labels[0])
        row.addWidget(self.architecture)
        row.addSpacing(8)
        row.addWidget(self._labels[1])
        row.addWidget(self.preset)
        row.addWidget(self.save_preset)
        row.addStretch(1)
        row.addWidget(self.undo)
        row.addWidget(self.redo)
        row.addSpacing(4)
        row.addWidget(_Divider(self))
        row.addSpacing(4)
        row.addWidget(self.queue)
        row.addWidget(self.train)
        # Until the job has been checked.
        self.show_train(enabled=False, queues=False, waiting=0, primary=False)

    def show_presets(self, presets: Sequence[Preset], current: Preset) -> None:
        """List the presets; the current one is added if it is in no file."""
        self._presets = list(presets)
        if all(p.name != current.name for p in self._presets):
            self._presets.insert(0, current)
        self.preset.set_choices([(p.name, p.name) for p in self._presets])
        for i, preset in enumerate(self._presets):
            self.preset.setItemData(i, preset.description, Qt.ItemDataRole.ToolTipRole)
        self.preset.set_value(current.name)
        self.preset.setToolTip(current.description)

    def _on_preset_edited(self, name: str) -> None:
        for preset in self._presets:
            if preset.name == name:
                self.preset_chosen.emit(preset)
                return

    def show_changed(self, count: int) -> None:
        """Say in the preset's box how many fields differ from it."""
        self._changed = count
        words = self.tr("%d changed") % count if self.width() > 1180 else str(count)
        self.preset.set_note(words if count else "", "changed")

    def show_undo_text(self, text: str) -> None:
        """Say what Undo would take back."""
        self.undo.setToolTip(self.tr("Undo %s") % text)

    def show_redo_text(self, text: str) -> None:
        """Say what Redo would bring back."""
        self.redo.setToolTip(self.tr("Redo %s") % text)

    def show_train(self, *, enabled: bool, queues: bool, waiting: int, primary: bool) -> None:
        """Train, or Queue it while an engine is at work."""
        self.train.setEnabled(enabled)
        self.queue.setEnabled(enabled or queues)
        self.queue.setText(self.tr("Queue %d") % waiting if waiting else self.tr("Queue"))
        self.train.setText(self.tr("Queue it") if queues else self.tr("Train"))
        self.train.set_icon("plus" if queues else "play")
        self.train.set_role("secondary" if queues or not primary else "primary")
        self.queue.updateGeometry()
        self.train.updateGeometry()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Drop the labels where room is scarce."""
        super().resizeEvent(event)
        wide = self.width() > 1180
        for label in self._labels:
            label.setVisible(wide)
        scale = max(1.0, self.fontMetrics().height() / 17)
        self.architecture.setFixedWidth(round((182 if wide else 140) * scale))
        self.preset.setFixedWidth(round((250 if wide else 176) * scale))
        self.show_changed(self._changed)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground and lower line."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), color("window"))
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), color("line"))


class _Divider(QFrame):
    """A hairline between buttons."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFixedWidth(1)
        self.setMinimumHeight(20)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the line."""
        height = min(22, self.height())
        top = (self.height() - height) / 2
        QPainter(self).fillRect(QRectF(0, top, 1, height), color("line"))
