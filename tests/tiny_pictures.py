"""Pictures of a few pixels for tests that need files to be there."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def write_picture(path: Path, size: tuple[int, int] = (64, 48), color: str = "teal") -> Path:
    """Write a picture of one color."""
    Image.new("RGB", size, color).save(path)
    return path
