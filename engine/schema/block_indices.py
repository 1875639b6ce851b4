"""A selection of blocks as people write it: "0-3,5", "all" or "none" (spec: networks 4.2)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _selection(value: Any) -> Any:
    """Take one number or a list of numbers too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and all(type(each) is int for each in value):
        return ",".join(str(each) for each in value)
    return value


BlockIndices = Annotated[str, BeforeValidator(_selection)]
"""Numbers and ranges from 0, both ends included; "all"; "none" or nothing."""


def blocks_in(text: str, count: int) -> frozenset[int]:
    """The chosen ones of `count` blocks.

    Raises:
        ValueError: saying what cannot be read, and which numbers there are.
    """
    words = text.strip().lower()
    if words == "all":
        return frozenset(range(count))
    if words in ("", "none"):
        return frozenset()
    chosen: set[int] = set()
    for item in words.split(","):
        first, dash, last = (part.strip() for part in item.partition("-"))
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() and len(end) < 6 for end in ends):
            shown = f"'{item.strip()}'" if item.strip() else "an empty place"
            raise ValueError(
                f"{shown} is neither a number nor a range. Write numbers from 0 to {count - 1} "
                "with commas, ranges such as 0-3, all, or none"
            )
        low, high = int(ends[0]), int(ends[1])
        if low > high:
            raise ValueError(f"{low}-{high} runs backwards; write {high}-{low}")
        if high >= count:
            raise ValueError(f"there is no block {high}; they are numbered 0 to {count - 1}")
        chosen.update(range(low, high + 1))
    return frozenset(chosen)
