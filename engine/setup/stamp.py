"""The stamp that says a level is installed: compared at every start, at the price of one read."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.setup.pins import LEVELS, Pins


@dataclass(frozen=True)
class Stamp:
    """What was installed into .venv for one level, and whether it was finished and checked."""

    pins: str
    """`Pins.digest` of the level."""
    python: str
    """Major and minor version of .venv's Python."""
    torch: str = ""
    """The build of torch that was chosen, on the engine's stamp."""
    torch_wanted: str = "auto"
    """What the person asked for; kept for the next update."""
    complete: bool = False


def venv_python(root: Path) -> Path:
    """The Python inside `root/.venv` (which may not be there)."""
    if sys.platform == "win32":
        return root / ".venv" / "Scripts" / "python.exe"
    return root / ".venv" / "bin" / "python"


def stamp_path(root: Path, level: str) -> Path:
    """Where a level's stamp lies."""
    return root / ".venv" / f"graft-{level}.json"


def read_stamp(root: Path, level: str) -> Stamp | None:
    """The stamp of a level, None where there is none or it is not one of ours."""
    try:
        return Stamp(**json.loads(stamp_path(root, level).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_stamp(root: Path, level: str, stamp: Stamp) -> None:
    """Write a level's stamp whole or not at all."""
    path = stamp_path(root, level)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(stamp), indent=1) + "\n", "utf-8")
    os.replace(beside, path)


def open_stamp(root: Path, level: str) -> None:
    """Mark a level, and those built on it, as not finished: pip is about to change them."""
    for name in LEVELS[LEVELS.index(level) :]:
        if stamp := read_stamp(root, name):
            write_stamp(root, name, replace(stamp, complete=False))


def missing_levels(root: Path, pins: Pins, level: str) -> list[str]:
    """The levels up to `level` that are not installed as pinned; reads files and starts nothing."""
    wanted = list(LEVELS[: LEVELS.index(level) + 1])
    version = venv_version(root)
    if version is None:
        return wanted
    missing = []
    for name in wanted:
        stamp = read_stamp(root, name)
        good = stamp is not None and stamp.complete and stamp.pins == pins.digest(name)
        if stamp is None or not good or stamp.python != version:
            missing.append(name)
    return missing


def venv_version(root: Path) -> str | None:
    """Major.minor of .venv's Python; None when .venv or the Python it was made from is gone."""
    python = venv_python(root)
    if not python.exists():  # follows the link, so a base Python that was removed shows here
        return None
    try:
        text = (root / ".venv" / "pyvenv.cfg").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    settings = {
        key.strip().lower(): value.strip()
        for key, _, value in (line.partition("=") for line in text.splitlines())
    }
    if not os.path.isdir(settings.get("home", "")):
        return None
    # uv writes version_info where the standard library writes version.
    version = settings.get("version") or settings.get("version_info") or ""
    short = ".".join(version.split(".")[:2])
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if os.path.realpath(python) == os.path.realpath(sys.executable) and short != here:
        return None  # the base Python was replaced by another version under the same name
    return short or None
