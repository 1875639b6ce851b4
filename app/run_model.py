"""One run as the window sees it: live from an engine, or read from its folder."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app import run_folder, run_log
from app.process import EngineEnd, EngineProcess, Word
from app.run_folder import RunFacts
from app.run_log import LogLine
from app.run_state import RunState
from app.worker import in_worker
from engine.protocol import Event

REFRESH_MS = 100  # views refresh at most so often, whatever the engine sends (spec: gui 3.5)
FOLLOW_MS = 1000
LOG_LINES = 5000
LAST_WORDS = 4
_SIGKILL = 9


class RunModel(QObject):
    """A run's state and log, and the commands to its engine if this window started it.

    Signals:
        updated: something changed; at most ten times a second.
        log_added: new log lines, list of LogLine.
        reloaded: state and log were read anew; views start over.
        ended: the engine is gone, or an opened run was found to have ended.
    """

    updated = Signal()
    log_added = Signal(list)  # list[LogLine]
    reloaded = Signal()
    countdown = Signal(int)
    ended = Signal()

    def __init__(self, name: str = "", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = RunState()
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.log_count = 0
        self.directory: Path | None = None
        self.end: EngineEnd | None = None
        self.settings: dict[str, Any] = {}  # the run's job, as far as it could be read
        self.stop_left: int | None = None  # seconds of the countdown, None: no stop asked
        self._name = name
        self._process: EngineProcess | None = None
        self._reading = False
        self._unread: list[Event] = []  # what came from the engine while its folder was read
        self._offset = 0
        self._log_offset = 0
        self._refresh = QTimer(self, interval=REFRESH_MS, singleShot=True)
        self._refresh.timeout.connect(self.updated)
        self._follow = QTimer(self, interval=FOLLOW_MS, singleShot=True)
        self._follow.timeout.connect(self._read_on)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.state.hello.name if self.state.hello is not None else self._name

    @property
    def is_live(self) -> bool:
        """Whether this window holds the engine, so that commands reach it."""
        return self._process is not None

    @property
    def engine_pid(self) -> int:
        """The process id of this window's engine, 0 if it holds none."""
        return self._process.pid if self._process is not None else 0

    def facts(self) -> RunFacts | None:
        """The run for a list of runs; None before its folder is known."""
        if self.directory is None:
            return None
        return run_folder.facts_of(self.directory, self.state)

    def last_words(self) -> str:
        """The last lines of the log that are the engine's own."""
        words = [
            line.text
            for line in self.log
            if line.kind != "event" and line.text.strip() and not line.text.startswith('{"')
        ]
        return "\n".join(words[-LAST_WORDS:])

    def file(self, relative: str) -> Path | None:
        """A file of the run folder."""
        return self.directory / relative if self.directory is not None and relative else None

    # An engine of this window

    def attach(self, process: EngineProcess) -> None:
        """Take the run's events from a process about to start."""
        self._process = process
        self._follow.stop()
        self.end = self.stop_left = None
        self.state.alive = True
        self.state.died = ""
        process.events_received.connect(self._on_events)
        process.log_received.connect(self._on_log)
        process.countdown.connect(self._on_countdown)
        process.ended.connect(self._on_ended)

    def send(self, word: Word) -> None:
        """Send a command to the engine."""
        if self._process is None:
            return
        if word in ("stop", "abort"):
            self.state.stopping = True
        self._process.send(word)
        self._touch()

    def kill(self) -> None:
        """End the engine and its children at once."""
        if self._process is not None:
            self._process.kill()

    # A folder

    def open(self, directory: Path) -> None:
        """Read a run folder in a worker; `reloaded` follows. A running one is followed."""
        self.directory = directory
        self._reading = True
        self._read_settings(directory)
        in_worker(
            self,
            lambda: (*run_folder.state_of(directory), *run_folder.read_log(directory)),
            self._on_loaded,
        )

    def _on_loaded(self, read: tuple[RunState, int, list[str], int]) -> None:
        self.state, self._offset, lines, self._log_offset = read
        self._reading = False
        self.log.clear()
        self.log_count = 0
        self._add_log([run_log.of_text(line, " ") for line in lines])
        if self._process is not None:
            self.state.alive = True
        if self._unread:
            unread, self._unread = self._unread, []
            self._on_events(unread)
        self.reloaded.emit()
        self.updated.emit()
        if self.state.alive and self._process is None:
            self._follow.start()

    def _read_settings(self, directory: Path) -> None:
        in_worker(self, lambda: run_folder.read_settings(directory), self._on_settings)

    def _on_settings(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self._touch()

    def _read_on(self) -> None:
        directory, offset, log_offset = self.directory, self._offset, self._log_offset
        hello = self.state.hello
        if directory is None or hello is None:
            return

        def read() -> tuple[list[Event], int, list[str], int, bool]:
            alive = run_folder.is_alive(hello.pid, hello.time)  # before reading: nothing is lost
            events, end = run_folder.read_events(directory, offset)
            return events, end, *run_folder.read_log(directory, log_offset), alive

        in_worker(self, read, self._on_read_on)

    def _on_read_on(self, read: tuple[list[Event], int, list[str], int, bool]) -> None:
        if self._process is not None:
            return
        events, self._offset, lines, self._log_offset, alive = read
        self.state.apply_all(events)
        self._add_log([run_log.of_text(line) for line in lines])
        self.state.alive = alive and self.state.finished is None
        self._touch()
        if self.state.alive:
            self._follow.start()
        else:
            self.ended.emit()

    # What the process says

    def _on_events(self, events: list[Event]) -> None:
        if self._reading:
            self._unread += events
            return
        self.state.apply_all(events)
        if self.directory is None and self.state.hello is not None:
            self.directory = Path(self.state.hello.run_directory)
            self._read_settings(self.directory)
        lines = [line for event in events if (line := run_log.of_event(event)) is not None]
        self._add_log(lines)
        self._touch()

    def _on_log(self, lines: list[str]) -> None:
        self._add_log([run_log.of_text(line) for line in lines])
        self._touch()

    def _add_log(self, lines: list[LogLine]) -> None:
        if lines:
            self.log.extend(lines)
            self.log_count += len(lines)
            self.log_added.emit(lines)

    def _on_countdown(self, left: int) -> None:
        self.stop_left = left
        self.countdown.emit(left)
        self._touch()

    def _on_ended(self, end: EngineEnd) -> None:
        process, self._process = self._process, None
        self.end = end
        self.stop_left = None
        self.state.alive = False
        self.state.stopping = False
        if self.state.finished is None and self.state.failure is None:
            self.state.died = died_words(end)
        self._refresh.stop()
        self.updated.emit()
        self.ended.emit()
        if process is not None:
            process.deleteLater()

    def _touch(self) -> None:
        if not self._refresh.isActive():
            self._refresh.start()


def died_words(end: EngineEnd) -> str:
    """How an engine ended that did not say so itself."""
    if end.not_started:
        return f"The engine could not be started: {end.not_started}."
    if end.asked is not None:
        return "The engine was ended as asked, before it could save."
    if end.signal == _SIGKILL:
        how = "killed by the system, often for lack of memory"
    elif end.signal is not None:
        how = f"by signal {end.signal}"
    elif end.exit_code:
        how = f"exit code {end.exit_code}"
    else:
        how = "without a word why"
    return f"The engine stopped unexpectedly ({how})."
