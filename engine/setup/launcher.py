"""The entry in a Linux desktop's menu."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAME = "graft.desktop"


def applications_folder(env: Mapping[str, str]) -> Path:
    """Where this person's menu entries lie (XDG base directory specification)."""
    data = env.get("XDG_DATA_HOME", "")
    base = Path(data) if os.path.isabs(data) else Path(env.get("HOME", "~")).expanduser()
    return (base if os.path.isabs(data) else base / ".local" / "share") / "applications"


def desktop_entry(root: Path) -> str:
    """The menu entry that starts `root/graft.sh`, with Graft's icon."""
    return "\n".join(
        [
            "[Desktop Entry]",
            "Type=Application",
            "Version=1.5",
            "Name=Graft",
            "GenericName=LoRA trainer",
            "Comment=Train low-rank adapters of image diffusion models",
            f"Exec={quoted_argument(str(root / 'graft.sh'))}",
            f"Icon={escaped(str(root / 'resources' / 'icons' / 'graft.png'))}",
            "Terminal=false",
            "Categories=Graphics;",
            "Keywords=LoRA;diffusion;training;",
            "StartupWMClass=graft",
            "",
        ]
    )


def quoted_argument(text: str) -> str:
    """One argument of an Exec line: quoted, then escaped as every value of the file is.

    Source: the desktop entry specification, "The Exec key" and "Possible value types".
    """
    for special in '\\"`$':
        text = text.replace(special, "\\" + special)
    return escaped('"' + text.replace("%", "%%") + '"')


def escaped(value: str) -> str:
    """A string value of a desktop file."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def install_entry(root: Path, env: Mapping[str, str]) -> Path:
    """Write the menu entry, whole or not at all; returns where. Raises OSError."""
    folder = applications_folder(env)
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / (NAME + ".new")
    beside.write_text(desktop_entry(root), "utf-8")
    beside.chmod(0o755)
    os.replace(beside, folder / NAME)
    return folder / NAME


def remove_entry(env: Mapping[str, str]) -> bool:
    """Delete the menu entry; says whether there was one."""
    entry = applications_folder(env) / NAME
    if not entry.exists():
        return False
    entry.unlink()
    return True
