"""The engine as a subprocess: its bytes to events and log lines, our commands to its stdin."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

from app.lines import LineSplitter, log_text
from engine.protocol import Command, Event, encode, parse_event

TURN_SECONDS = 0.006  # how long one event-loop turn may read lines (spec: gui 3.5: at most 8 ms)
BATCH = 128  # lines handed on at once
STOP_SECONDS = 60  # how long a stop may take before Abort is offered
ABORT_SECONDS = 5  # how long an abort may take before the process tree is killed

Word = Literal["stop", "abort", "pause", "resume", "save", "sample"]


@dataclass(frozen=True)
class EngineCommand:
    """How the engine is started: program, its first arguments, working directory."""

    program: str
    arguments: tuple[str, ...]
    directory: str

    @classmethod
    def of_this_install(cls) -> EngineCommand:
        """`python -u main.py` with the Python that runs the window."""
        root = Path(__file__).resolve().parent.parent
        program = Path(sys.executable)
        if program.name.lower() == "pythonw.exe":
            program = program.with_name("python.exe")
        return cls(str(program), ("-u", str(root / "main.py")), str(root))


@dataclass(frozen=True)
class EngineEnd:
    """How the process ended. Whether the run ended well is told by its events alone."""

    exit_code: int | None = None
    signal: int | None = None  # it was killed by this signal (POSIX)
    asked: Literal["stop", "abort"] | None = None
    not_started: str = ""  # why it could not be started at all


class EngineProcess(QObject):
    """One engine process. A new object for each run; deleting it kills the engine.

    Signals:
        events_received: list of events, in order.
        log_received: list of log lines (stderr, and stdout lines that are no event), in order.
        countdown: seconds left before a stop counts as overdue; 0 when it is.
        ended: the process is gone and everything it wrote was handed on.
    """

    events_received = Signal(list)  # list[Event]
    log_received = Signal(list)  # list[str]
    countdown = Signal(int)
    ended = Signal(object)  # EngineEnd

    def __init__(self, command: EngineCommand, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._command = command
        self._out, self._err = LineSplitter(), LineSplitter()
        self._asked: Literal["stop", "abort"] | None = None
        self._end: EngineEnd | None = None
        self._pid = 0
        self._deadline = 0.0
        self._process = QProcess(self)
        self._process.readyReadStandardOutput.connect(self._on_ready_output)
        self._process.readyReadStandardError.connect(self._on_ready_error)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)
        self._drain_timer = QTimer(self, interval=0, singleShot=True)
        self._drain_timer.timeout.connect(self._drain)
        self._stop_timer = QTimer(self, interval=1000)
        self._stop_timer.timeout.connect(self._on_stop_tick)
        self._kill_timer = QTimer(self, singleShot=True)
        self._kill_timer.timeout.connect(self.kill)

    @property
    def pid(self) -> int:
        """The engine's process id, 0 before it started."""
        return self._pid

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def start(self, arguments: Sequence[str]) -> None:
        """Start `train …` in a session of its own, so that the whole tree can be ended."""
        process = self._process
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUTF8", "1")
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(self._command.directory)
        if os.name == "posix":
            parameters = QProcess.UnixProcessParameters()
            parameters.flags = QProcess.UnixProcessFlag.CreateNewSession
            process.setUnixProcessParameters(parameters)
        process.started.connect(self._on_started)
        process.start(self._command.program, [*self._command.arguments, *arguments])

    def send(self, word: Word) -> None:
        """Write one command line to the engine; nothing happens if it has gone."""
        if not self.is_running:
            return
        self._process.write(encode(Command(command=word)))
        if word == "stop":
            self._asked = self._asked or "stop"
            self._deadline = time.monotonic() + STOP_SECONDS
            self._stop_timer.start()
            self.countdown.emit(STOP_SECONDS)
        elif word == "abort":
            self._asked = "abort"
            self._kill_timer.start(ABORT_SECONDS * 1000)

    def kill(self) -> None:
        """End the process and all its children now."""
        if self.is_running and self._pid:
            self._kill_tree()
            self._process.kill()

    def _on_started(self) -> None:
        self._pid = self._process.processId()

    def _on_ready_output(self) -> None:
        self._out.feed(bytes(self._process.readAllStandardOutput().data()))
        if not self._drain_timer.isActive():
            self._drain()

    def _on_ready_error(self) -> None:
        self._err.feed(bytes(self._process.readAllStandardError().data()))
        if not self._drain_timer.isActive():
            self._drain()

    def _drain(self) -> None:
        """Hand lines on for some milliseconds; the rest waits for the next turn of the loop."""
        deadline = time.perf_counter() + TURN_SECONDS
        while (self._out or self._err) and time.perf_counter() < deadline:
            self._hand_on_batch()
        if self._out or self._err:
            self._drain_timer.start()
        elif self._end is not None:
            end, self._end = self._end, None
            self.ended.emit(end)

    def _hand_on_batch(self) -> None:
        events: list[Event] = []
        log: list[str] = []
        for _ in range(BATCH):
            line = self._out.take()
            if line is None:
                break
            event = parse_event(line)
            if event is not None:
                events.append(event)
            elif line.strip():
                log.append(log_text(line))
        for _ in range(BATCH):
            line = self._err.take()
            if line is None:
                break
            log.append(log_text(line))
        if log:
            self.log_received.emit(log)
        if events:
            self.events_received.emit(events)

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._stop_timer.stop()
        self._kill_timer.stop()
        self._kill_tree()  # children that outlived it
        self._on_ready_output()
        self._on_ready_error()
        self._out.close()
        self._err.close()
        crashed = status == QProcess.ExitStatus.CrashExit
        self._end = EngineEnd(
            None if crashed else code, code if crashed and os.name == "posix" else None, self._asked
        )
        self._drain_timer.start()

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._end = EngineEnd(not_started=self._process.errorString())
            self._drain_timer.start()

    def _on_stop_tick(self) -> None:
        left = max(0, round(self._deadline - time.monotonic()))
        if left == 0:
            self._stop_timer.stop()
        self.countdown.emit(left)

    def _kill_tree(self) -> None:
        """Kill the engine's session on POSIX, its children by their parents elsewhere."""
        if not self._pid:
            return
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
            return
        import psutil

        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
