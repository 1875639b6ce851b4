"""How an installation tells how far it is: a line in the terminal, or JSON lines for the window."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TextIO

from engine.setup.errors import SetupError


@dataclass(frozen=True)
class Progress:
    """One moment of an installation. Zeros mean: not known."""

    phase: str
    """What is being done, in plain words: `Downloading`, `Installing`, `Checking` …"""
    package: str = ""
    done: int = 0
    total: int = 0
    """Packages taken up so far, of how many (an estimate until pip has settled them all)."""
    bytes_done: int = 0
    bytes_total: int = 0
    """Of the package being downloaded."""
    speed: float = 0.0
    """Bytes a second."""


class Reporter(Protocol):
    """What the installation talks to."""

    def progress(self, progress: Progress) -> None:
        """It is this far."""
        ...

    def log(self, line: str) -> None:
        """A line that pip printed."""
        ...

    def warning(self, message: str) -> None:
        """Something the person should know, which stops nothing."""
        ...


class Terminal:
    """One line that is written over; without a terminal, a line for each new phase or package."""

    def __init__(
        self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out or sys.stderr
        self._clock = clock
        self._live = self._out.isatty()
        self._last: Progress | None = None
        self._written_at = 0.0
        self._width = 0

    def progress(self, progress: Progress) -> None:
        """Write the line anew, ten times a second at most; or a line for each package."""
        last, now = self._last, self._clock()
        if self._live:
            moved = not last or (last.phase, last.package) != (progress.phase, progress.package)
            skip = not moved and now - self._written_at < 0.1
        else:  # a line for each package, and for each phase that has none
            same = last is not None and last.package == progress.package
            phase = last.phase if last else ""
            skip = same and (bool(progress.package) or phase == progress.phase)
        if skip:
            return
        self._last, self._written_at = progress, now
        if self._live:
            text = described(progress)
            self._out.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._out.write(described(replace(progress, speed=0, bytes_done=0)) + "\n")
        self._out.flush()

    def log(self, line: str) -> None:
        """Leave pip's own lines to the log file."""

    def warning(self, message: str) -> None:
        """Write it on a line of its own."""
        self.close()
        self._out.write(f"Note: {message}\n")
        self._out.flush()

    def close(self) -> None:
        """Leave the line that is written over."""
        if self._live and self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._width = 0
            self._out.flush()


class JsonLines:
    """One JSON object a line, as the window reads them; pip's lines go to `log`."""

    def __init__(
        self,
        out: TextIO,
        log: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._log = log
        self._clock = clock
        self._last: Progress | None = None
        self._written_at = 0.0

    def progress(self, progress: Progress) -> None:
        """A `setup` event, ten a second at most for the same package."""
        last, now = self._last, self._clock()
        moved = last is None or (last.phase, last.package) != (progress.phase, progress.package)
        if not moved and now - self._written_at < 0.1:
            return
        self._last, self._written_at = progress, now
        self._write(
            {
                "event": "setup",
                "phase": progress.phase,
                "package": progress.package,
                "done": progress.done,
                "total": progress.total,
                "bytes_done": progress.bytes_done,
                "bytes_total": progress.bytes_total,
                "speed": round(progress.speed),
            }
        )

    def log(self, line: str) -> None:
        """Pass pip's line on to the log pane."""
        self._log.write(line + "\n")
        self._log.flush()

    def warning(self, message: str) -> None:
        """A `warning` event."""
        self._write({"event": "warning", "message": message})

    def error(self, err: SetupError) -> None:
        """An `error` event: kind, message, mend."""
        self._write({"event": "error", "kind": err.kind, "message": err.message, "mend": err.mend})

    def finished(self, level: str, seconds: float) -> None:
        """The `finished` event: the level can be used."""
        self._write({"event": "finished", "level": level, "seconds": round(seconds, 1)})

    def cancelled(self) -> None:
        """The `cancelled` event: stopped on request, to be taken up again later."""
        self._write({"event": "cancelled"})

    def _write(self, event: dict[str, object]) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()


def described(progress: Progress) -> str:
    """One line in words, e.g. ``Downloading 3 of 12: torch  81 of 212 MB, 9.1 MB/s``."""
    text = progress.phase
    if progress.total:
        text += f" {progress.done} of {progress.total}"
    if progress.package:
        text += f": {progress.package}"
    if progress.bytes_total:
        size = f"{progress.bytes_total / 1e6:,.0f} MB"
        if progress.bytes_done:
            size = f"{progress.bytes_done / 1e6:,.0f} of {size}"
        text += f"  {size}" if progress.bytes_total >= 1e6 else ""
    if progress.speed >= 1e5:
        text += f", {progress.speed / 1e6:.1f} MB/s"
    return text
