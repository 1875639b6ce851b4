"""How much longer a finished run shall train."""

from __future__ import annotations

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from app.run_model import RunModel
from app.widgets.button import Button
from engine.schema.options import get_at


class TrainLonger(QDialog):
    """Asks for the new length, in the unit the job uses.

    Signals:
        chosen: path and value of the job's length.
    """

    chosen = Signal(str, int)

    def __init__(self, run: RunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Train longer"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        epochs = get_at(run.settings, "training.epochs")
        self._path = "training.epochs" if epochs else "training.steps"
        now = int(epochs or run.state.total_steps)
        words = self.tr("Epochs in all") if epochs else self.tr("Steps in all")
        self.length = QSpinBox()
        self.length.setLocale(QLocale.c())
        self.length.setRange(now + 1, 2**31 - 1)
        self.length.setValue(now + max(1, now // 2))
        self.length.setAccessibleName(words)
        go = Button(self.tr("Go on training"), "primary", "play")
        go.clicked.connect(self._on_go)
        go.setDefault(True)
        cancel = Button(self.tr("Cancel"), "ghost")
        cancel.clicked.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(QLabel(words))
        row.addWidget(self.length, 1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(go)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addWidget(QLabel(
            self.tr("{0} has trained {1}. It goes on from its saved state.").format(run.name, now)
        ))  # fmt: skip
        layout.addLayout(row)
        layout.addLayout(buttons)

    def _on_go(self) -> None:
        self.chosen.emit(self._path, self.length.value())
        self.accept()
