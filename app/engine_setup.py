"""Installing the engine's packages from the window: a subprocess that tells how far it is."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Literal

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal

from app.lines import LineSplitter, log_text
from app.process import EngineCommand

State = Literal["unknown", "ready", "missing", "installing", "cancelling", "cancelled", "failed"]
_LOG_LINES = 500


@dataclass(frozen=True)
class SetupStatus:
    """Where the installation stands; zeros mean: not known.

    `done` of `total` packages; bytes are those of the package being downloaded; speed in bytes a
    second; `seconds` since it began.
    """

    state: State = "unknown"
    phase: str = ""
    package: str = ""
    done: int = 0
    total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    speed: float = 0.0
    seconds: float = 0.0
    message: str = ""  # what went wrong, in words
    mend: str = ""
    warning: str = ""

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1: packages, and of the present one its bytes."""
        if not self.total:
            return 0.0
        part = self.bytes_done / self.bytes_total if self.bytes_total else 0.0
        return min((max(self.done - 1, 0) + part) / self.total, 1.0)


class EngineSetup(QObject):
    """Asks whether the engine's packages are there, and installs them on request.

    Signals:
        changed: `status` is another one.
        logged(line): a line that the installer printed.
    """

    changed = Signal()
    logged = Signal(str)

    def __init__(self, command: EngineCommand | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._command = command or EngineCommand.of_this_install()
        self.status = SetupStatus()
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self._process: QProcess | None = None
        self._out, self._err = LineSplitter(), LineSplitter()
        self._began = 0.0
        self._answered = False

    @property
    def is_ready(self) -> bool:
        """Whether training can start."""
        return self.status.state == "ready"

    @property
    def is_working(self) -> bool:
        """Whether an installation is under way."""
        return self.status.state in ("installing", "cancelling")

    def check(self) -> None:
        """Ask, without network and without importing torch, whether everything is installed."""
        if self._process is not None:
            return
        self._start(["setup", "--level", "engine", "--check"], self._on_checked)

    def install(self) -> None:
        """Install what is missing; what an earlier try downloaded is used again."""
        if self._process is not None:
            return
        self._began = time.monotonic()
        self._answered = False
        self._put(SetupStatus("installing", phase=self.tr("Starting")))
        self._start(["setup", "--level", "engine", "--events"], self._on_installed)

    def cancel(self) -> None:
        """Stop the installation; it can be taken up again."""
        if self._process is not None and self.status.state == "installing":
            self._put(replace(self.status, state="cancelling"))
            self._process.write(b'{"command": "cancel"}\n')

    def stop(self) -> None:
        """End the process as the window closes."""
        process, self._process = self._process, None
        if process is not None:
            process.closeWriteChannel()  # the installer takes the end of its input as a cancel
            if not process.waitForFinished(3000):
                process.kill()
                process.waitForFinished(1000)

    def _start(self, arguments: list[str], finished: Any) -> None:
        self._out, self._err = LineSplitter(), LineSplitter()
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUTF8", "1")
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(self._command.directory)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_error_output)
        process.finished.connect(finished)
        process.errorOccurred.connect(self._on_process_error)
        self._process = process
        process.start(self._command.program, [*self._command.arguments, *arguments])

    def _put(self, status: SetupStatus) -> None:
        if self._began:
            status = replace(status, seconds=time.monotonic() - self._began)
        self.status = status
        self.changed.emit()

    def _on_output(self) -> None:
        if self._process is not None:
            self._out.feed(bytes(self._process.readAllStandardOutput().data()))
        while (line := self._out.take()) is not None:
            self._read(line)

    def _on_error_output(self) -> None:
        if self._process is not None:
            self._err.feed(bytes(self._process.readAllStandardError().data()))
        while (line := self._err.take()) is not None:
            self._note(log_text(line))

    def _note(self, line: str) -> None:
        if line.strip():
            self.log.append(line)
            self.logged.emit(line)

    def _read(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            self._note(log_text(line))
            return
        kind = event["event"]
        if kind == "setup":
            names = ("phase", "package", "done", "total", "bytes_done", "bytes_total", "speed")
            values = {name: event[name] for name in names if name in event}
            self._put(replace(self.status, **values))
        elif kind == "warning":
            self._put(replace(self.status, warning=str(event.get("message", ""))))
        elif kind == "error":
            self._answered = True
            self._put(
                replace(
                    self.status,
                    state="failed",
                    message=str(event.get("message", "")),
                    mend=str(event.get("mend", "")),
                )
            )
        elif kind == "cancelled":
            self._answered = True
            self._put(replace(self.status, state="cancelled"))
        elif kind == "finished":
            self._answered = True
            self._put(replace(self.status, state="ready"))

    def _end(self) -> None:
        self._on_output()
        self._on_error_output()
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()

    def _on_checked(self, code: int, _status: object) -> None:
        self._end()
        self._put(SetupStatus("ready" if code == 0 else "missing"))

    def _on_installed(self, code: int, _status: object) -> None:
        self._end()
        if not self._answered:
            words = self.tr("The installer ended unexpectedly (code %s).") % code
            mend = self.tr("Try again: what was downloaded is kept. The log says more.")
            self._put(replace(self.status, state="failed", message=words, mend=mend))

    def _on_process_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            words = self.tr("Python could not be started: %s") % self._process.errorString()
            mend = self.tr("Start Graft again with: python3 main.py")
            self._end()
            self._put(SetupStatus("failed", message=words, mend=mend))
