"""Long work of the window's own thread, a bite a turn of the event loop."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer


class Bites(QObject):
    """Calls `step` once a turn while it says that something is left; the window answers between."""

    def __init__(self, step: Callable[[], bool], parent: QObject) -> None:
        super().__init__(parent)
        self._step = step
        self._timer = QTimer(self, interval=0, singleShot=True)
        self._timer.timeout.connect(self._on_turn)

    def start(self) -> None:
        """Begin with the next turn."""
        self._timer.start()

    def finish(self) -> None:
        """Do all that is left at once."""
        self._timer.stop()
        while self._step():
            pass

    def _on_turn(self) -> None:
        if self._step():
            self._timer.start()
