"""What is counted in place of wrong values, so that every figure of the window tells one story.

The plan is of a job with defaults where values cannot be used (`engine.schema.check`).
"""

from __future__ import annotations

import copy
from typing import Any

from app.document import Document
from engine.schema.options import get_at, option_at, set_at

_COUNTED = ("network.", "training.", "dataset.")  # what the plan's figures come from


def stand_ins(document: Document) -> dict[str, Any]:
    """Concrete path of each wrong value → what is counted instead."""
    wrong = [p.path for p in document.checked.errors if p.path.startswith(_COUNTED)]
    if not wrong:
        return {}
    counted = document.job.model_dump()
    return {path: value for path in wrong if (value := get_at(counted, path)) != document.get(path)}


def counted_data(document: Document) -> dict[str, Any]:
    """The job's data with the stand-ins in it."""
    found = stand_ins(document)
    if not found:
        return document.data
    data = copy.deepcopy(document.data)
    for path, value in found.items():
        set_at(data, path, value)
    return data


def stand_in_words(document: Document) -> str:
    """Say what is counted: "counted with rank 16"; empty where nothing is wrong."""
    found = stand_ins(document)
    if len(found) > 1:
        return document.tr("counted with defaults for %d wrong fields") % len(found)
    for path, value in found.items():
        label = option_at(path).label(document.architecture)
        label = label if label[1:2].isupper() else label[:1].lower() + label[1:]  # not "VAE"
        if value in (None, "") or not isinstance(value, int | float | str):
            return document.tr("counted without %s") % label
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        return document.tr("counted with %s") % f"{label} {shown}"
    return ""
