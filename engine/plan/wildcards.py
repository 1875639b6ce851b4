"""Wildcards in captions: `{red|blue}`, `{2::red|blue}`, nested, and `__colors__` lists."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

Lists = Mapping[str, Sequence[str]]
"""Name of a list → its lines: `__name__` in a caption becomes one of them."""

_LIST = re.compile(r"__([\w-]+?)__")
_WEIGHT = re.compile(r"\s*(\d+(?:\.\d+)?)::")
_DEPTH = 8  # lists that name each other end here


def expand(text: str, rng: random.Random, lists: Lists | None = None) -> str:
    """Draw every choice of a caption.

    Doubled braces outside of a choice are literal braces. A choice that is never closed, and a list
    that does not exist, stay as they are written.
    """
    known = lists or {}
    for _ in range(_DEPTH):
        drawn = _LIST.sub(lambda m: _from_list(m, known, rng), text)
        if drawn == text:
            break
        text = drawn
    return _choices(text, rng)


def _from_list(match: re.Match[str], lists: Lists, rng: random.Random) -> str:
    lines = lists.get(match[1])
    return rng.choice(lines) if lines else match[0]


def _choices(text: str, rng: random.Random) -> str:
    done: list[str] = []
    at = 0
    while at < len(text):
        if text.startswith(("{{", "}}"), at):
            done.append(text[at])
            at += 2
            continue
        end = _end(text, at) if text[at] == "{" else None
        if end is None:
            done.append(text[at])
            at += 1
        else:
            done.append(_inside(_choose(text[at + 1 : end], rng), rng))
            at = end + 1
    return "".join(done)


def _inside(text: str, rng: random.Random) -> str:
    """Draw the choices within an alternative, where a brace always opens one."""
    done: list[str] = []
    at = 0
    while at < len(text):
        end = _end(text, at) if text[at] == "{" else None
        if end is None:
            done.append(text[at])
            at += 1
        else:
            done.append(_inside(_choose(text[at + 1 : end], rng), rng))
            at = end + 1
    return "".join(done)


def _end(text: str, start: int) -> int | None:
    """Where the choice that opens at `start` closes."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return None


def _choose(body: str, rng: random.Random) -> str:
    alternatives, weights = [], []
    for alternative in _split(body):
        weight = _WEIGHT.match(alternative)
        alternatives.append(alternative[weight.end() :] if weight else alternative)
        weights.append(float(weight[1]) if weight else 1.0)
    if not any(weights):
        weights = [1.0] * len(weights)
    return rng.choices(alternatives, weights)[0]


def _split(body: str) -> list[str]:
    """Split at the bars that are not inside a nested choice."""
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(body):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "|" and depth == 0:
            parts.append(body[start:at])
            start = at + 1
    return [*parts, body[start:]]
