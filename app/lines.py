"""Chunks of a pipe to whole lines: cut at the newline byte first, decoded only after."""

from __future__ import annotations

import re
from collections import deque

from engine.protocol import MAX_LINE_BYTES

_HEAD_BYTES = 4096  # what is kept of a line too long to be an event
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class LineSplitter:
    """Collects bytes and gives whole lines; of a line over 1 MB only the head is kept.

    A UTF-8 letter split over two chunks survives, since nothing is decoded before the cut
    (spec: gui 0.9, 3.5).
    """

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._size = 0  # bytes of the unfinished line, dropped ones too

    def __len__(self) -> int:
        return len(self._lines)

    def feed(self, chunk: bytes) -> None:
        """Add what the pipe gave."""
        first, *others = chunk.split(b"\n")
        self._extend(first)
        if others:
            self._lines.append(self._take())
            self._lines.extend(others[:-1])
            self._extend(others[-1])

    def close(self) -> None:
        """End the stream: an unfinished line counts as a line."""
        if self._size:
            self._lines.append(self._take())

    def take(self) -> bytes | None:
        """The next whole line without its newline, or None."""
        return self._lines.popleft() if self._lines else None

    def _extend(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        self._parts.append(part)
        if self._size > MAX_LINE_BYTES:
            self._parts = [b"".join(self._parts)[:_HEAD_BYTES]]

    def _take(self) -> bytes:
        line, size = b"".join(self._parts), self._size
        self._parts, self._size = [], 0
        if size > MAX_LINE_BYTES:
            line = line[:_HEAD_BYTES] + f" … ({size:,} bytes)".encode()
        return line


def log_text(line: bytes) -> str:
    """A line for the log pane: without colors, NULs shown, of a redrawn bar its last state."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    text = _ESCAPES.sub("", text.rpartition("\r")[2])
    if len(text) > 2 * _HEAD_BYTES:
        text = f"{text[:_HEAD_BYTES]} … ({len(line):,} bytes)"
    return text.replace("\x00", "␀")
