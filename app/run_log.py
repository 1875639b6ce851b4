"""The lines of the log pane: the engine's own words and, between them, what its events say."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Literal

from app.words import size_words
from engine.protocol import Checkpoint, Event, Failure, Finished, Hello, Sample, Validation, Warn

Kind = Literal["plain", "event", "warning", "error"]
_STAMP = re.compile(r"^(?:\d{4}-\d\d-\d\d[ T])?(\d\d:\d\d:\d\d)(?:[.,]\d+)?\s+")
_LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL) [\w.]+: ")
_KINDS: dict[str, Kind] = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}
_WARNING = re.compile(r"\bwarning\b", re.IGNORECASE)
_ERROR = re.compile(r"\b\w*(?:Error|Exception)\b:|\berror\b:?|^Traceback ", re.IGNORECASE)


@dataclass(frozen=True)
class LogLine:
    """One line: clock time, kind, text."""

    clock: str
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.clock}  {self.text}"


def of_text(text: str, clock: str = "") -> LogLine:
    """A line the engine printed; its own time stamp is taken where it has one."""
    stamp = _STAMP.match(text)
    if stamp:
        clock, text = stamp[1], text[stamp.end() :]
    kind: Kind = "plain"
    level = _LEVEL.match(text)
    if level:
        text = text[level.end() :]
        kind = _KINDS.get(level[1], "plain")
    elif _ERROR.search(text):
        kind = "error"
    elif _WARNING.search(text):
        kind = "warning"
    return LogLine(clock or time.strftime("%H:%M:%S"), kind, text)


def of_event(event: Event) -> LogLine | None:
    """A line for an event worth one; None for steps and phases."""
    kind: Kind = "event"
    match event:
        case Hello():
            words = f"run {event.name} on {event.device} {event.precision}".rstrip()
            if event.resumed_from:
                words += f", resumed after step {event.resumed_from:,}"
        case Validation():
            words = f"validation at step {event.step:,}: {event.loss:.4f}"
        case Sample():
            words = f"preview at step {event.step:,}: {event.path}"
        case Checkpoint():
            words = f"saved {event.path}, {size_words(event.size_bytes)}"
        case Warn():
            kind, words = "warning", event.message
        case Failure():
            kind, words = "error", event.message
        case Finished():
            words = f"{event.reason} at step {event.step:,}"
        case _:
            return None
    return LogLine(time.strftime("%H:%M:%S", time.localtime(event.time or None)), kind, words)
