"""A note on the desktop when a run ends, and a way back to a window that was put away.

The tray is absent on some desktops, so it is never the only notice (spec: gui 3.2).
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication, QMenu, QSystemTrayIcon, QWidget

from app.icons import icon
from app.run_model import RunModel
from app.words import figure_words

_SHOWN_MS = 8000
_ENDS = {
    "done": "finished", "stopped": "stopped and saved", "aborted": "aborted", "failed": "failed",
    "interrupted": "was interrupted",
}  # fmt: skip


class RunTray(QObject):
    """Notes about runs; an icon where the desktop has a place for it.

    Signals:
        window_asked: the person wants the window back.
        stop_asked: the run is to be stopped and saved.
    """

    window_asked = Signal()
    stop_asked = Signal()

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self.tells = True
        self._icon: QSystemTrayIcon | None = None
        self._stop = None
        if QSystemTrayIcon.isSystemTrayAvailable():
            self._icon = self._make_icon()

    def _make_icon(self) -> QSystemTrayIcon:
        menu = QMenu(self._window)
        menu.addAction(self.tr("Show the window")).triggered.connect(self.window_asked)
        self._stop = menu.addAction(self.tr("Stop and save"))
        self._stop.triggered.connect(self.stop_asked)
        made = QSystemTrayIcon(icon("mark", "accent", 32), self)
        made.setToolTip("Graft")
        made.setContextMenu(menu)
        made.activated.connect(self._on_activated)
        made.messageClicked.connect(self.window_asked)
        return made

    @property
    def is_there(self) -> bool:
        """Whether the desktop shows the icon."""
        return self._icon is not None

    def set_running(self, running: bool) -> None:
        """The icon is there while something trains, or the window is put away."""
        if self._icon is not None:
            self._icon.setVisible(running or not self._window.isVisible())
        if self._stop is not None:
            self._stop.setEnabled(running)

    def tell_end(self, run: RunModel) -> None:
        """Say how a run ended, unless the person looks at the window or wants no notes."""
        if not self.tells or (self._window.isVisible() and self._window.isActiveWindow()):
            return
        QApplication.alert(self._window)
        if self._icon is not None:
            self._icon.show()
            self._icon.showMessage(*end_words(run), self._icon.icon(), _SHOWN_MS)

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.ActivationReason.Trigger:
            self.window_asked.emit()


def end_words(run: RunModel) -> tuple[str, str]:
    """How a run ended, as title and line: ("otter finished", "step 1,200 of 1,200 …")."""
    state = run.state
    title = f"{run.name} {_ENDS.get(state.status, state.status)}"
    parts = [f"step {state.step:,} of {state.total_steps:,}"] if state.total_steps else []
    if state.best is not None:
        parts.append(f"best validation {figure_words(state.best.loss)}")
    if state.failure is not None:
        parts = [state.failure.message]
    elif state.died:
        parts = [state.died]
    return title, " · ".join(parts)
