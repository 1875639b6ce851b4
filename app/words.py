"""Sizes, times and counts in words for read-outs."""

from __future__ import annotations

import time


def size_words(size: float) -> str:
    """Bytes as people say them: "153 MB", "20.1 GB"."""
    for unit, factor, digits in (("GB", 1e9, 1), ("MB", 1e6, 0), ("kB", 1e3, 0)):
        if size >= factor:
            value = size / factor
            return f"{value:.{1 if unit == 'MB' and value < 10 else digits}f} {unit}"
    return f"{size:.0f} bytes"


def counted(count: int, one: str, many: str) -> str:
    """A count with its noun: "1 picture", "1,204 pictures"."""
    return f"{count:,} {one if count == 1 else many}"


def duration_words(seconds: float) -> str:
    """A length of time: "45 s", "18 min", "2 h 05 min"."""
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes / 60 / 24:.1f} days"


def speed_words(seconds: float) -> tuple[str, str]:
    """Time of a step as figure and unit: ("1.62 s", "a step"), ("8.3", "steps a second")."""
    if seconds <= 0:
        return "–", "a step"
    if seconds < 0.2:
        return f"{1 / seconds:.1f}", "steps a second"
    return f"{seconds:.2f} s", "a step"


def ends_at_words(seconds: float, now: float | None = None) -> str:
    """When something that takes so long ends: "15:42", "tomorrow 03:10", "Friday 03:10"."""
    start = time.time() if now is None else now
    end = start + seconds
    clock = time.strftime("%H:%M", time.localtime(end))
    days = (time.localtime(end).tm_yday - time.localtime(start).tm_yday) % 365
    if days == 0:
        return clock
    if days == 1:
        return f"tomorrow {clock}"
    return f"{time.strftime('%A', time.localtime(end))} {clock}"


def figure_words(value: float | None) -> str:
    """A loss or rate with four figures: "0.4098", "8.3e-5", "–"."""
    if value is None or value != value:
        return "–"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
