"""The dataset's filter line: `tag:hat -tag:cat caption:"red coat" size<512 nocaption`.

Words without a key look in caption and file name. All parts must hold; `-` turns one around and
`or` between two parts asks for either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.caption_file import tags_of

_PART = re.compile(
    r'(?P<minus>-?)(?:(?P<key>tag|caption|name|is):)?(?:"(?P<quoted>[^"]*)"?|(?P<word>\S+))'
)
_SIZE = re.compile(r"(size|width|height)(<=|>=|<|>|=)(\d+)$")


@dataclass(frozen=True)
class Entry:
    """What the filter sees of a picture; sizes in pixels, 0 where unknown."""

    name: str
    caption: str
    width: int = 0
    height: int = 0
    problem: str = ""
    separator: str = ","


Test = Callable[[Entry], bool]


class FilterError(ValueError):
    """A filter line that cannot be read; the message says which part."""


def parse_filter(text: str) -> Test:
    """Make a test of a filter line; an empty line lets everything pass.

    Raises:
        FilterError: for an unknown `is:` word or an `or` without a part on both sides.
    """
    groups: list[list[Test]] = []
    either = False
    for match in _PART.finditer(text):
        word = match["quoted"] if match["quoted"] is not None else match["word"]
        if match["key"] is None and match["quoted"] is None and word.lower() in ("or", "and"):
            if word.lower() == "or" and not groups:
                raise FilterError("'or' needs something before it.")
            either = word.lower() == "or"
            continue
        test = _test(match["key"], word, quoted=match["quoted"] is not None)
        if match["minus"]:
            test = _not(test)
        if either:
            groups[-1].append(test)
        else:
            groups.append([test])
        either = False
    if either:
        raise FilterError("'or' needs something after it.")
    return lambda entry: all(any(test(entry) for test in group) for group in groups)


def _not(test: Test) -> Test:
    return lambda entry: not test(entry)


def _test(key: str | None, word: str, quoted: bool) -> Test:
    lowered = word.casefold()
    if key == "tag":
        return lambda e: lowered in (t.casefold() for t in tags_of(e.caption, e.separator))
    if key == "caption":
        return lambda e: lowered in e.caption.casefold()
    if key == "name":
        return lambda e: lowered in e.name.casefold()
    if key == "is":
        return _state(lowered)
    if not quoted and lowered in ("nocaption", "problem"):
        return _state(lowered)
    size = None if quoted else _SIZE.match(lowered)
    if size:
        return _size(size[1], size[2], int(size[3]))
    return lambda e: lowered in e.caption.casefold() or lowered in e.name.casefold()


def _state(word: str) -> Test:
    if word == "nocaption":
        return lambda e: not e.caption.strip()
    if word == "problem":
        return lambda e: bool(e.problem)
    raise FilterError(f"'is:{word}' is not known; there are is:nocaption and is:problem.")


def _size(what: str, sign: str, limit: int) -> Test:
    def measure(entry: Entry) -> int:
        sides = {"width": entry.width, "height": entry.height}
        return sides.get(what, min(entry.width, entry.height))

    signs: dict[str, Callable[[int], bool]] = {
        "<": lambda v: v < limit,
        ">": lambda v: v > limit,
        "<=": lambda v: v <= limit,
        ">=": lambda v: v >= limit,
        "=": lambda v: v == limit,
    }
    return lambda entry: measure(entry) > 0 and signs[sign](measure(entry))
