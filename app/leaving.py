"""Closing the window: what it asks while something trains, and what each answer does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QApplication

from app.dialogs import Question, ask
from app.runs import RunController
from app.tray import RunTray

if TYPE_CHECKING:
    from app.file_commands import FileCommands
    from app.run_model import RunModel
    from app.window import MainWindow


class Leaving(QObject):
    """Decides whether the window may close.

    While an engine works there are three answers: stop, save and close then; leave it running
    with the window put away; stay. A window put away comes back by the tray or a second start,
    and without a tray it ends by itself after the last run.
    """

    def __init__(
        self, window: MainWindow, runs: RunController, files: FileCommands, tray: RunTray,
        close_down: Callable[[], object],
    ) -> None:  # fmt: skip
        super().__init__(window)
        self._window, self._runs, self._files = window, runs, files
        self._tray, self._close_down = tray, close_down
        self.question: Question | None = None
        self.is_leaving = False  # the window closes once nothing is at work
        self.is_away = False  # the window is hidden and the run goes on
        window.closing.connect(self._on_closing)
        runs.run_ended.connect(self._on_ended)
        runs.run_started.connect(self._on_runs)
        tray.window_asked.connect(self.come_back)
        tray.stop_asked.connect(self._stop)

    def come_back(self) -> None:
        """Show the window that was put away."""
        self.is_away = False
        self._window.show()
        self._window.raise_()
        self._window.activateWindow()
        self._tray.set_running(self._runs.is_busy)

    def _on_closing(self, event: QCloseEvent) -> None:
        if self._runs.is_busy:
            event.ignore()
            if self.question is None:
                self._ask_about_run()
        elif self._window.document.is_dirty and not self.is_leaving:
            event.ignore()
            self._files.keep_or(self._leave)
        elif event.isAccepted():
            self._close_down()

    def _leave(self) -> None:
        self.is_leaving = True
        self._window.close()

    def _ask_about_run(self) -> None:
        name = self._runs.running.name if self._runs.running is not None else ""
        self.question = ask(
            self._window,
            self.tr("%s is training") % name,
            self.tr(
                "Stop it, and the window closes once it is saved; it can be resumed. Or leave it "
                "running without the window: start Graft again to see it."
            ),
            [
                (self.tr("Leave it running"), "secondary", self._put_away),
                (self.tr("Stop, save and close"), "primary", self._stop_and_close),
            ],
        )
        self.question.finished.connect(self._on_answered)

    def _on_answered(self, _result: int) -> None:
        self.question = None

    def _stop(self) -> None:
        self._runs.hold_queue()
        self._runs.send("stop")

    def _stop_and_close(self) -> None:
        self.is_leaving = True
        self._stop()
        self._window.say(self.tr("Saving; the window closes when the run has stopped."))

    def _put_away(self) -> None:
        self.is_away = True
        self._window.session.save_if_waiting()
        self._window.save_layout()
        self._window.hide()
        self._tray.set_running(True)

    def _on_runs(self, _run: RunModel) -> None:
        self._tray.set_running(True)

    def _on_ended(self, run: RunModel) -> None:
        self._tray.tell_end(run)
        if self._runs.queue and not self._runs.waiting:
            return  # the next one starts
        self._tray.set_running(False)
        if self.is_leaving:
            self._window.close()
        elif self.is_away and not self._tray.is_there:
            self.is_leaving = True  # nobody could find it again
            self._window.close()
            QApplication.quit()
