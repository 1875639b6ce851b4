"""Where events go: the pipe to the window, the run's events.jsonl, the terminal.

A library that prints cannot break the pipe: `take_stdout` keeps the real stdout for events alone
and points file descriptor 1 at stderr (DESIGN 4).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from engine.protocol import Event, Phase, Warn, encode

log = logging.getLogger(__name__)
PHASE_SECONDS = 0.1  # progress within one phase is not told more often


class Sink(Protocol):
    """Something that takes events."""

    def write(self, event: Event) -> None:
        """Take one event; must not raise."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class Events:
    """The engine's voice. Only rank 0 has sinks; the others are silent."""

    def __init__(self, *sinks: Sink, clock: Callable[[], float] = time.time) -> None:
        self.sinks = list(sinks)
        self._clock = clock
        self._phase: tuple[str, str] = ("", "")
        self._phase_told = 0.0

    def emit(self, event: Event) -> None:
        """Send an event everywhere, stamped with the time."""
        stamped = event.model_copy(update={"time": self._clock()})
        for sink in self.sinks:
            sink.write(stamped)

    def phase(self, name: str, words: str, done: int = 0, total: int = 0) -> None:
        """Say what goes on; progress within a phase is thinned, its first and last are not."""
        now = time.monotonic()
        same = (name, words) == self._phase
        if same and done < total and now - self._phase_told < PHASE_SECONDS:
            return
        self._phase, self._phase_told = (name, words), now
        phase = Phase.model_validate({"name": name, "words": words, "done": done, "total": total})
        self.emit(phase)

    def warn(self, message: str, path: str = "") -> None:
        """Send a warning; it stands in the log too."""
        log.warning("%s%s", f"{path}: " if path else "", message)
        self.emit(Warn(message=message, path=path))

    def close(self) -> None:
        """Close every sink."""
        for sink in self.sinks:
            sink.close()


class PipeSink:
    """Lines for the window. A window that is gone is no error: stdin tells of that."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream

    def write(self, event: Event) -> None:
        """Write one line at once."""
        if self._stream is None:
            return
        try:
            self._stream.write(encode(event))
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None
            log.info("nobody listens to the events any more")

    def close(self) -> None:
        """Nothing to do: the pipe ends with the process."""

    def give_back(self) -> None:
        """Make the pipe stdout again, for a process that takes this one's place."""
        if self._stream is not None:
            os.dup2(self._stream.fileno(), 1)


class FileSink:
    """`events.jsonl`: appended and flushed line by line; half a line of a crash is closed off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._broken = self._ends_within_a_line()

    def _ends_within_a_line(self) -> bool:
        size = self._path.stat().st_size
        if not size:
            return False
        with self._path.open("rb") as file:
            file.seek(size - 1)
            return file.read(1) != b"\n"

    def write(self, event: Event) -> None:
        """Append one line; a full disk costs the line, not the training."""
        line = encode(event)
        try:
            written = self._file.write(b"\n" + line if self._broken else line) or 0
            self._broken = written < len(line)
        except OSError as error:
            self._broken = True
            log.warning("events.jsonl could not be written: %s", error)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ListSink:
    """Keeps the events; for scripts that train in their own process."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        """Keep one event."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to close."""


def take_stdout() -> BinaryIO:
    """Keep the real stdout for events, and let everything that prints go to stderr.

    Works at the level of file descriptors, so that C libraries and child processes are included.
    """
    sys.stdout.flush()
    real = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return real
