"""Folder names of other trainers: `10_mycat` is ten repeats of pictures called mycat."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
_REPEATS = re.compile(r"(\d{1,4})_(.+)")


def folder_item(path: str) -> dict[str, Any]:
    """The item of `dataset.folders` for a folder of pictures."""
    item: dict[str, Any] = {"path": path}
    match = _REPEATS.fullmatch(Path(path).name)
    if match and int(match[1]) > 0:
        item["repeats"] = float(match[1])
        item["fallback_caption"] = match[2].replace("_", " ").strip()
    return item


def picture_folders(path: Path, limit: int = 2000) -> list[Path]:
    """The folder itself if it has pictures, else its subfolders that have some.

    At most `limit` entries of each folder are looked at, so that a huge tree answers at once.
    """
    if _has_pictures(path, limit):
        return [path]
    try:
        children = sorted(p for p in path.iterdir() if p.is_dir())
    except OSError:
        return []
    return [child for child in children[:100] if _has_pictures(child, limit)]


def _has_pictures(path: Path, limit: int) -> bool:
    try:
        for count, entry in enumerate(path.iterdir()):
            if entry.suffix.lower() in PICTURES:
                return True
            if count >= limit:
                return False
    except OSError:
        return False
    return False
