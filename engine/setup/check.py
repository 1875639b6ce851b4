"""Looks over what is installed, run by .venv's own Python: `python -m engine.setup.check [LEVEL]`.

Prints one JSON object (`Report`). It reads every package's RECORD and compares the sizes of its
files, so that an installation killed half-way is found out even where pip believes it whole; then
it imports the packages that matter.
"""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine.setup.pins import normalized

IMPORTS = {
    "window": ("PySide6.QtCore", "pydantic", "tomlkit", "platformdirs", "PIL.Image", "psutil"),
    "engine": ("torch", "safetensors.torch", "diffusers", "transformers", "accelerate"),
    "dev": ("pytest", "hypothesis"),
}
"""What must import at each level (QtCore alone: no display and no system library is needed)."""


@dataclass
class Report:
    """What the check found."""

    versions: dict[str, str] = field(default_factory=dict)
    """Version of each whole package by its normalized name."""
    broken: dict[str, str] = field(default_factory=dict)
    """Packages with files missing or cut short: name to the folder of their metadata."""
    failed_imports: dict[str, str] = field(default_factory=dict)
    """Modules that do not import: name to the error."""
    torch_cuda: str = ""
    """The CUDA or ROCm version that torch was built for, empty for a CPU build."""


def look_over(level: str | None) -> Report:
    """Check every package of this Python's environment; import those of `level` if one is named."""
    report = Report()
    for distribution in importlib.metadata.distributions():
        folder = getattr(distribution, "_path", None)
        name = distribution.metadata["Name"] if distribution.metadata else None
        if not isinstance(folder, Path) or folder.suffix != ".dist-info" or folder.name[0] == "~":
            continue  # pip renames to ~ what it is about to uninstall
        if not name or not is_whole(folder):
            report.broken[name or folder.name] = str(folder)
        else:
            report.versions[normalized(name)] = distribution.version
    if level is None:
        return report
    for module in IMPORTS[level]:
        try:
            importlib.import_module(module)
        except Exception as err:  # noqa: BLE001 - any failure of a package is the finding
            report.failed_imports[module] = f"{type(err).__name__}: {err}"
    if torch := sys.modules.get("torch"):
        version = torch.version
        report.torch_cuda = version.cuda or (f"rocm {version.hip}" if version.hip else "")
    return report


def is_whole(folder: Path) -> bool:
    """Whether every file that a package's RECORD lists is there with its size."""
    try:
        with open(folder / "RECORD", encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except OSError:
        return False
    root = str(folder.parent)
    for row in rows:
        if len(row) < 3 or not row[2] or row[0].endswith(".pyc"):
            continue  # RECORD itself has no size, and bytecode is made anew at will
        try:
            if os.stat(os.path.join(root, row[0])).st_size != int(row[2]):
                return False
        except (OSError, ValueError):
            return False
    return bool(rows)


if __name__ == "__main__":
    sys.stdout.write(
        "\n" + json.dumps(asdict(look_over(sys.argv[1] if len(sys.argv) > 1 else None))) + "\n"
    )
