"""What the person asks of a running engine: commands on stdin, signals, a closed window.

The long phases call `check` between their parts; the loop reads the rest between steps.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from types import FrameType

from engine.protocol import parse_command
from engine.training.failures import StopRun

log = logging.getLogger(__name__)


class Control:
    """Wishes gathered from stdin and signals; plain attributes, so that any thread may set them."""

    def __init__(self) -> None:
        self.stop = False
        self.abort = False
        self.paused = False
        self.save = False
        self.sample = False
        self._news = threading.Event()

    @property
    def ending(self) -> bool:
        """Stop or abort was asked for."""
        return self.stop or self.abort

    def obey(self, command: str) -> None:
        """Take one command of the protocol."""
        log.info("asked to %s", command)
        if command == "stop":
            self.stop = True
        elif command == "abort":
            self.abort = True
        elif command == "pause":
            self.paused = True
        elif command == "resume":
            self.paused = False
        elif command == "save":
            self.save = True
        elif command == "sample":
            self.sample = True
        self._news.set()

    def check(self) -> None:
        """Between two parts of a long phase.

        Raises:
            StopRun: if the person wants to stop.
        """
        if self.ending:
            raise StopRun

    def wait(self, seconds: float) -> None:
        """Wait for the next wish, at most so long (a signal is noticed within a fifth second)."""
        for _ in range(max(1, round(seconds / 0.2))):
            if self.ending or self._news.wait(min(seconds, 0.2)):
                break
        self._news.clear()

    def take_save(self) -> bool:
        """Whether a save was asked for since the last call."""
        asked, self.save = self.save, False
        return asked

    def take_sample(self) -> bool:
        """Whether previews were asked for since the last call."""
        asked, self.sample = self.sample, False
        return asked

    def read_commands(self, stream: Iterable[bytes]) -> threading.Thread:
        """Obey the lines of a stream in a thread of their own; its end means stop."""
        thread = threading.Thread(target=self._read, args=(stream,), name="commands", daemon=True)
        thread.start()
        return thread

    def _read(self, stream: Iterable[bytes]) -> None:
        try:
            for line in stream:
                command = parse_command(line)
                if command is not None:
                    self.obey(command.command)
                elif line.strip():
                    log.warning("not a command: %s", line[:200].decode("utf-8", "replace").strip())
        except (OSError, ValueError) as error:
            log.info("the commands ended: %s", error)
        if not self.ending:
            log.info("the window is gone; stopping")
            self.obey("stop")

    def catch_signals(self) -> Callable[[], None]:
        """Let SIGINT and SIGTERM mean stop, and a second SIGINT abort; returns the undoing."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if sys.platform == "win32":
            numbers.append(signal.SIGBREAK)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}

        def undo() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        return undo

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # No logging and no locks here: a handler runs in the middle of anything, `wait` included.
        if self.stop and number == signal.SIGINT:
            self.abort = True
        self.stop = True
