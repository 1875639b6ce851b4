"""A tool at work: the engine's command as a subprocess, its JSON lines as signals, cancelling."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

from app.lines import LineSplitter, log_text
from app.process import EngineCommand
from app.worker import in_worker

CANCEL_SECONDS = 5  # how long a cancel may take before the process tree is killed

Outcome = Literal["done", "failed", "cancelled", "exists"]


@dataclass(frozen=True)
class Written:
    """A file that a tool wrote."""

    path: Path
    layers: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolEnd:
    """How a tool ended: `message` says why it failed, `exists` which file is in the way."""

    outcome: Outcome
    message: str = ""
    exists: str = ""


class ToolProcess(QObject):
    """One run of `main.py merge|extract|resize|convert … --json`. A new object for each run.

    Signals:
        copied(done, total): so many bytes of a model are copied; the layers come after.
        progressed(done, total): so many layers are done.
        written: a `Written`.
        kept(least, mean): what cutting ranks left of the strength, 0 to 1.
        ended: a `ToolEnd`; nothing comes after it, and nothing half-written is left.
    """

    copied = Signal(object, object)  # more than Qt's int holds
    progressed = Signal(int, int)
    written = Signal(object)
    kept = Signal(float, float)
    ended = Signal(object)

    def __init__(self, command: EngineCommand, target: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._command, self._target = command, target
        self._lines = LineSplitter()
        self._message, self._exists = "", ""
        self._cancels = self._killed = False
        self._pid = 0
        self._process = quiet_process(command, self)
        self._process.started.connect(self._on_started)
        self._process.readyReadStandardOutput.connect(self._on_output)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)
        self._kill_timer = QTimer(self, singleShot=True)
        self._kill_timer.timeout.connect(self.kill)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def start(self, arguments: Sequence[str]) -> None:
        """Start a command, such as ["resize", "cat.safetensors", "--rank", "8", "--out", …]."""
        self._process.start(self._command.program, [*self._command.arguments, *arguments, "--json"])

    def cancel(self) -> None:
        """Ask it to stop and to clear away what it began; if it does not, it is killed."""
        if self.is_running and not self._cancels:
            self._cancels = True
            self._process.write(b'{"command": "cancel"}\n')
            self._kill_timer.start(int(CANCEL_SECONDS * 1000))

    def stop(self) -> None:
        """Cancel and wait, as the window closes."""
        if self.is_running:
            self.cancel()
            if not self._process.waitForFinished(int(CANCEL_SECONDS * 1000)):
                self.kill()
                self._process.waitForFinished(1000)
                clear_away(self._target, self._pid)

    def kill(self) -> None:
        """End the process and its children now."""
        if not self.is_running:
            return
        self._killed = True
        if os.name == "posix" and self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        self._process.kill()

    def _on_started(self) -> None:
        self._pid = self._process.processId()

    def _on_output(self) -> None:
        self._lines.feed(bytes(self._process.readAllStandardOutput().data()))
        while (line := self._lines.take()) is not None:
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return  # a library's own word
        if not isinstance(said, dict):
            return
        if "copied" in said:
            self.copied.emit(int(said["copied"]), int(said["of"]))
        elif "total" in said:
            self.progressed.emit(int(said["done"]), int(said["total"]))
        elif "layers" in said:
            notes = tuple(str(note) for note in said.get("notes", ()))
            self.written.emit(Written(Path(said["path"]), int(said["layers"]), notes))
        elif "mean" in said:
            self.kept.emit(float(said["least"]), float(said["mean"]))
        elif "message" in said:
            self._message, self._exists = str(said["message"]), str(said.get("exists", ""))

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._kill_timer.stop()
        self._on_output()
        if self._killed:
            target, pid = self._target, self._pid
            in_worker(
                self, lambda: clear_away(target, pid),
                lambda _: self.ended.emit(ToolEnd("cancelled")),
                lambda error: self.ended.emit(ToolEnd("failed", str(error))),
            )  # fmt: skip
        elif code == 0 and status == QProcess.ExitStatus.NormalExit:
            self.ended.emit(ToolEnd("done"))
        elif self._cancels and not self._message:
            self.ended.emit(ToolEnd("cancelled"))
        elif self._exists:
            self.ended.emit(ToolEnd("exists", self._message, self._exists))
        else:
            self.ended.emit(ToolEnd("failed", self._message or unexpected(self._process, code)))

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            words = self.tr("It could not be started: %s") % self._process.errorString()
            self.ended.emit(ToolEnd("failed", words))


class InspectProcess(QObject):
    """One run of `main.py inspect FILE --json`.

    Signals:
        found: what it told, as a dict.
        failed: why not, in words.
    """

    found = Signal(object)
    failed = Signal(str)

    def __init__(self, command: EngineCommand, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._command = command
        self._process = quiet_process(command, self)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)

    def start(self, path: Path) -> None:
        """Look at a file."""
        arguments = [*self._command.arguments, "inspect", str(path), "--json"]
        self._process.start(self._command.program, arguments)

    def stop(self) -> None:
        """End it; it writes nothing."""
        self._process.finished.disconnect(self._on_finished)
        self._process.kill()

    def _on_finished(self, code: int, _status: object) -> None:
        text = bytes(self._process.readAllStandardOutput().data())
        try:
            found: Any = json.loads(text) if code == 0 else None
        except ValueError:
            found = None
        if isinstance(found, dict):
            self.found.emit(found)
        else:
            errors = log_text(bytes(self._process.readAllStandardError().data())).strip()
            one_line = errors and "\n" not in errors
            self.failed.emit(errors if one_line else _ended_with(code, errors))

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self.failed.emit(self.tr("It could not be started: %s") % self._process.errorString())


def quiet_process(command: EngineCommand, parent: QObject) -> QProcess:
    """A process for the engine's Python, in a session of its own so that its tree can be ended."""
    process = QProcess(parent)
    environment = QProcessEnvironment.systemEnvironment()
    environment.insert("PYTHONUTF8", "1")
    environment.insert("PYTHONUNBUFFERED", "1")
    process.setProcessEnvironment(environment)
    process.setWorkingDirectory(command.directory)
    if os.name == "posix":
        parameters = QProcess.UnixProcessParameters()
        parameters.flags = QProcess.UnixProcessFlag.CreateNewSession
        process.setUnixProcessParameters(parameters)
    return process


def unexpected(process: QProcess, code: int) -> str:
    """What to say of a process that ended without a word of its own."""
    return _ended_with(
        code, bytes(process.readAllStandardError().data()).decode("utf-8", "replace")
    )


def _ended_with(code: int, errors: str) -> str:
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
    return f"It ended unexpectedly (code {code}). {last.strip()}".strip()


def clear_away(target: Path, pid: int) -> None:
    """Remove what a killed tool had begun beside its target."""
    part = target.with_name(f".{target.name}.part")
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
    for beside in target.parent.glob(f".*.tmp-{pid}"):
        beside.unlink(missing_ok=True)
