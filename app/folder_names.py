"""Folder names of other trainers: `10_mycat` is ten repeats of pictures called mycat."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_REPEATS = re.compile(r"(\d{1,4})_(.+)")


def folder_item(path: str) -> dict[str, Any]:
    """The item of `dataset.folders` for a folder of pictures."""
    item: dict[str, Any] = {"path": path}
    match = _REPEATS.fullmatch(Path(path).name)
    if match and int(match[1]) > 0:
        item["repeats"] = float(match[1])
        item["fallback_caption"] = match[2].replace("_", " ").strip()
    return item
