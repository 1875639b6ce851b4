"""Finding options by label, key, other trainers' names, help or group (spec: gui 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import Option, conditions_in_words, options


@dataclass(frozen=True)
class Found:
    """An option that was found; `absent` says in words why it has no effect now."""

    option: Option
    rank: int  # 0 is best: label, then key or alias, then the rest
    absent: str = ""
    can_turn_on: bool = False


@cache
def _texts(architecture: str) -> Mapping[str, tuple[str, tuple[str, ...], str]]:
    """For each option: label, its keys, and everything else that is searched, in lower case."""
    tables = {p: o.hints.label for p, o in options().items() if o.kind in ("table", "tables")}
    found = {}
    for path, option in options().items():
        if option.kind == "table" or path == "model.architecture":
            continue
        hints = option.hints
        keys = (option.key.lower(), *(a.lower() for a in hints.aliases))
        group = tables.get(option.group, "")
        label = option.label(architecture)
        words = (label, hints.label, *keys, path, hints.help, hints.section, group)
        found[path] = (label.lower(), keys, " ".join(words).lower())
    return found


def find_options(query: str, architecture: str, data: Mapping[str, Any]) -> list[Found]:
    """Options in which every word of the query occurs, in the form's order.

    A query that can only be a key or alias, having an underscore, finds that name alone. Fields
    inside list items are found by their general path.
    """
    words = query.lower().split()
    if not words:
        return []
    name = query.strip().lower()
    texts = _texts(architecture)
    exact = [path for path, (_, keys, _) in texts.items() if "_" in name and name in keys]
    found = []
    for path, (label, keys, rest) in texts.items():
        if exact and path not in exact:
            continue
        if not all(word in rest for word in words):
            continue
        option = options()[path]
        first = words[0]
        rank = 2
        if label.startswith(first):
            rank = 0
        elif any(key.startswith(first) for key in keys):
            rank = 1
        found.append(Found(option, rank, *absence(option, architecture, data)))
    return found


def absence(option: Option, architecture: str, data: Mapping[str, Any]) -> tuple[str, bool]:
    """Why an option has no effect now, in words, and whether one click could change that."""
    if not option.applies(architecture):
        return f"not for {ARCHITECTURES[architecture].label}", False
    if "[]" in option.path or option.shown(data):
        return "", False
    return conditions_in_words(option, architecture), turn_on(option, data) is not None


def turn_on(option: Option, data: Mapping[str, Any]) -> list[tuple[str, Any]] | None:
    """Values that meet an option's conditions; None where that is the person's choice."""
    from engine.schema.options import get_at

    pairs: list[tuple[str, Any]] = []
    for when in option.hints.only_if:
        if when.holds(get_at(data, when.path)):
            continue
        other = options()[when.path]
        if when.equals:
            pairs.append((when.path, when.equals[0]))
        elif when.is_set and other.kind in ("int", "float"):
            low = other.bounds.get("ge", 0)
            pairs.append((when.path, 4 if other.hints.scale == "double" else max(1, int(low))))
        elif when.not_equals:
            others = [c for c in other.choices if c not in when.not_equals]
            if not others:
                return None
            pairs.append((when.path, others[0]))
        else:
            return None
        bounds = other.bounds
        value = pairs[-1][1]
        if isinstance(value, int) and other.kind == "float" and value >= bounds.get("lt", 1e9):
            return None
    return pairs
