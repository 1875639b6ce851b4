"""Making .venv, and making it anew when what is there cannot be used."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.setup.errors import UV_LINE, SetupError
from engine.setup.stamp import venv_python, venv_version

Call = Callable[[Sequence[str]], tuple[int, str]]
"""Runs a command; returns its exit code and everything it printed."""


def base_python() -> str:
    """The Python that .venv is made from: this one, or the one behind the .venv we run in."""
    return getattr(sys, "_base_executable", None) or sys.executable


def ensure_venv(root: Path, call: Call, which: Callable[[str], str | None] = shutil.which) -> bool:
    """Make `root/.venv` unless a working one is there; says whether it was made.

    A broken one (its Python gone or of another version, no pip) is set aside first and deleted
    once the new one stands; if the new one cannot be made, the old one comes back.
    A .venv whose folder was moved or renamed still works, as everything in it is started through
    its Python, so it is kept.
    """
    folder = root / ".venv"
    if folder.exists() and _works(root, call):
        return False
    aside = _set_aside(root)
    try:
        _create(folder, call, which)
        if not _works(root, call):
            raise SetupError(
                "venv",
                "The .venv that Python made does not start.",
                "Reinstall Python from python.org or your system's packages and start again.",
            )
    except BaseException:
        if aside is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(aside, folder)
        raise
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def sweep(root: Path) -> None:
    """Delete what an interrupted rebuild set aside."""
    for aside in (root / ".setup").glob("old-venv-*"):
        shutil.rmtree(aside, ignore_errors=True)


def _works(root: Path, call: Call) -> bool:
    """Whether .venv's Python runs, is new enough, is the version it was made as, and has pip."""
    recorded = venv_version(root)
    if recorded is None:
        return False
    probe = "import pip, sys; print('graft-venv %d.%d' % sys.version_info[:2])"
    code, printed = call([str(venv_python(root)), "-c", probe])
    return code == 0 and f"graft-venv {recorded}" in printed


def _set_aside(root: Path) -> Path | None:
    folder = root / ".venv"
    if not os.path.lexists(folder):
        return None
    aside = root / ".setup" / f"old-venv-{time.time_ns()}"
    try:
        aside.parent.mkdir(exist_ok=True)
        os.replace(folder, aside)
    except OSError as err:
        raise SetupError(
            "permission",
            f"The old .venv cannot be set aside ({err.strerror}).",
            "Close every other Graft window and terminal that uses it, then start again.",
        ) from err
    return aside


def _create(folder: Path, call: Call, which: Callable[[str], str | None]) -> None:
    code, printed = call([base_python(), "-m", "venv", str(folder)])
    if code == 0:
        return
    shutil.rmtree(folder, ignore_errors=True)
    if "No space left" in printed or "Errno 28" in printed:
        raise SetupError("space", "The disk is full.", "Free some gigabytes and start again.")
    uv = which("uv")
    if uv and call([uv, "venv", "--seed", "--python", base_python(), str(folder)])[0] == 0:
        return
    shutil.rmtree(folder, ignore_errors=True)
    if "ensurepip" in printed or "No module named venv" in printed:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            "no_venv",
            "This Python comes without the venv module.",
            f"On Debian and Ubuntu: sudo apt install python{version}-venv; or with uv: {UV_LINE}.",
        )
    last = printed.strip().splitlines()[-1] if printed.strip() else f"exit code {code}"
    raise SetupError(
        "venv",
        f"Python could not make .venv ({last}).",
        "Check that this folder is yours and can be written, then start again.",
    )
