"""Patterns over layer names: how they are written, and which are refused.

A pattern is a regular expression that is looked for anywhere in a layer's name; `^` and `$` bind
it to the ends. Python's own matcher can take years on a few letters such as `(a+)+`, so the ways a
pattern can be tried are counted before it is used.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator

HIGHEST_RANK = 1024
LONGEST = 200  # letters of one pattern
NAME = 64  # letters that one `*` can end at, about a layer's name
DIGITS = 4  # the same for `\d*`: names have no longer numbers
MOST_WAYS = 2 * NAME**3

_COUNTED = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")
_OPENING = re.compile(r"\(\?(?:P<\w+>|[a-zA-Z\-]*:|<?[=!]|>)?")


class PatternError(ValueError):
    """A pattern or a pair that cannot be used, in words for the person."""


def pieces(text: str) -> list[str]:
    """Cut at the commas that stand outside of brackets; empty pieces are left out."""
    found, depth, piece, escaped = [], 0, "", False
    for letter in text:
        if letter == "," and depth == 0 and not escaped:
            found.append(piece.strip())
            piece = ""
            continue
        piece += letter
        if not escaped:
            depth += (letter in "([{") - (letter in ")]}")
            depth = max(depth, 0)
        escaped = letter == "\\" and not escaped
    found.append(piece.strip())
    return [each for each in found if each]


def _patterns(value: Any) -> Any:
    """Take patterns as a list, as text with commas, or as Python writes a list or a string."""
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in ("[", "'", '"') and text[-1:] in ("]", "'", '"'):
            try:
                literal = ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return pieces(text)
            return _patterns(literal if isinstance(literal, list | tuple) else [literal])
        return pieces(text)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return pieces(",".join(value))  # a form cuts "a{1,2}" in two; here it is whole again
    return value


PatternList = Annotated[list[str], BeforeValidator(_patterns)]
"""Patterns, or pairs of pattern and number: "single_blocks=0, double_blocks_0_=8"."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern ready for `search`.

    Raises:
        PatternError: if it is no regular expression, or could take for ever.
    """
    if len(pattern) > LONGEST:
        raise PatternError(f"'{pattern[:40]}…' has more than {LONGEST} letters.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of what may once be read otherwise
            made = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"'{pattern}' is no regular expression: {error}.") from None
    if _ways(pattern) > MOST_WAYS:
        raise PatternError(
            f"'{pattern}' could be tried in too many ways. Use fewer of * + ? {{}} and |, and none "
            "around a group that has one itself."
        )
    return made


@lru_cache(maxsize=256)
def pair(text: str) -> tuple[str, float]:
    """Part "pattern=number" at the last equals sign.

    Raises:
        PatternError: if there is no pattern, or no number from 0 up.
    """
    pattern, sign, number = text.rpartition("=")
    if not sign or not pattern.strip():
        raise PatternError(f"'{text}' is no pair: write pattern=number, such as single_blocks=0.")
    try:
        value = float(number)
    except ValueError:
        raise PatternError(f"'{number.strip()}' in '{text}' is not a number.") from None
    if not 0 <= value < float("inf"):
        raise PatternError(f"The number in '{text}' must be 0 or more.")
    return pattern.strip(), value


def pair_of_rank(text: str) -> tuple[str, int]:
    """Part "pattern=rank".

    Raises:
        PatternError: if there is no pattern, or no rank from 0 to 1024.
    """
    pattern, value = pair(text)
    if value > HIGHEST_RANK or not value.is_integer():
        raise PatternError(f"The rank in '{text}' must be a whole number up to {HIGHEST_RANK}.")
    return pattern, int(value)


@dataclass
class _Group:
    """What was read of a group: its ways so far, and whether it could be read in several."""

    ways: int = 1
    earlier: int = 0  # ways of the alternatives before the last |
    several: bool = False
    last: int = 1  # ways of the last item alone
    last_several: bool = False
    alternatives: bool = False

    def add(self, ways: int, several: bool) -> None:
        self.ways = min(self.ways * ways, MOST_WAYS + 1)
        self.last, self.last_several = ways, several
        self.several |= several

    def total(self) -> int:
        return min(self.earlier + self.ways, MOST_WAYS + 1)


def _ways(pattern: str) -> int:
    """An upper bound of how often the matcher starts anew from one place in a name.

    A leading `.*` or a trailing one changes nothing about whether a pattern is found, and costs
    nothing here.
    """
    text = pattern.removeprefix("^").removesuffix("$").removeprefix(".*").removesuffix(".*")
    stack, at = [_Group()], 0
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 2
            stack[-1].add(1, False)
        elif letter == "[":
            at = _end_of_class(text, at)
            stack[-1].add(1, False)
        elif letter == "(":
            opening = _OPENING.match(text, at)
            at = opening.end() if opening else at + 1
            stack.append(_Group())
        elif letter == ")" and len(stack) > 1:
            group = stack.pop()
            stack[-1].add(group.total(), group.several or group.alternatives)
            at += 1
        elif letter == "|":
            here = stack[-1]
            here.earlier, here.ways, here.alternatives = here.total(), 1, True
            at += 1
        else:
            at = _quantifier(text, at, stack[-1])
    return stack[0].total() if len(stack) == 1 else MOST_WAYS + 1


def _quantifier(text: str, at: int, here: _Group) -> int:
    """Count `*`, `+`, `?` or `{m,n}` after an item, or a plain letter; return where to go on."""
    counted = _COUNTED.match(text, at)
    if text[at] == "?":
        here.add(2, True)
        return at + 1
    if text[at] not in "*+" and counted is None:
        here.add(1, False)
        return at + 1
    free = DIGITS if text[max(at - 2, 0) : at] == "\\d" else NAME
    most, end = free, at + 1
    if counted is not None:
        low, comma, high = counted.groups()
        end = counted.end()
        most = free if comma and not high else int(high or low or 0)
        if not here.last_several:
            most = most - int(low or 0) + 1
    # A repeated group that can itself be read in several ways multiplies with every turn.
    ways = here.last**most if here.last_several and most > 1 else most
    here.add(min(max(ways, 1), MOST_WAYS + 1), True)
    return end + (text[end : end + 1] in ("?", "+"))


def _end_of_class(text: str, at: int) -> int:
    """The place after a `[…]`; a `]` that comes first belongs to it."""
    end = at + 1 + (text[at + 1 : at + 2] == "^")
    end += text[end : end + 1] == "]"
    while end < len(text) and text[end] != "]":
        end += 1 + (text[end] == "\\")
    return end + 1
