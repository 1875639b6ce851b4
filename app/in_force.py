"""What of a job's data counts: the fields that its architecture has and its other values show."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from engine.schema.options import options


def item_of(path: str) -> str:
    """The concrete item a path lies in: "dataset.folders[0].path" → "dataset.folders[0]"."""
    return path[: path.rindex("]") + 1] if "]" in path else ""


def in_force(
    data: Mapping[str, Any], general: str, here: str, whole: Mapping[str, Any], architecture: str
) -> dict[str, Any]:
    """The values that count of the table `here`, whose options are those under `general`."""
    kept: dict[str, Any] = {}
    for key, value in data.items():
        entry = options()[f"{general}.{key}" if general else key]
        path = f"{here}.{key}" if here else key
        if not entry.applies(architecture) or not entry.shown(whole, item_of(path)):
            continue
        if entry.kind == "table":
            kept[key] = in_force(value, entry.path, path, whole, architecture)
        elif entry.kind == "tables":
            kept[key] = [
                in_force(item, f"{entry.path}[]", f"{path}[{i}]", whole, architecture)
                for i, item in enumerate(value)
            ]
        else:
            kept[key] = copy.deepcopy(value)
    return kept
