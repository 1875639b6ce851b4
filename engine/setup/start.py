"""What main.py asks before a command: are its packages there, is this .venv, is there a display."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.setup import qt_libraries
from engine.setup.pins import read_pins
from engine.setup.stamp import missing_levels, venv_python

CODE = Path(__file__).resolve().parents[2]
"""The folder that holds main.py and the engine package."""


def ready(level: str, root: Path = CODE) -> bool:
    """Whether a level is installed as pinned: a comparison of stamps, no process, no network."""
    return not missing_levels(root, read_pins(root), level)


def bring(level: str, root: Path = CODE) -> bool:
    """Install a level with its progress in the terminal; False (with the reason told) if not."""
    # Here, because a start that installs nothing should not pay for importing it.
    from engine.setup.errors import SetupCancelled, SetupError
    from engine.setup.install import install
    from engine.setup.progress import Terminal

    terminal = Terminal()
    try:
        install(root, level, terminal)
    except SetupError as err:
        terminal.close()
        tell_error(f"{err.message} {err.mend}")
        return False
    except (SetupCancelled, KeyboardInterrupt):
        terminal.close()
        tell_error("Stopped. Start again to go on: what was downloaded is kept.")
        return False
    terminal.close()
    return True


def tell_error(message: str) -> None:
    """Write an error to the terminal; started by a double click without one, show a box."""
    sys.stderr.write(f"graft: {message}\n")
    sys.stderr.flush()
    if sys.platform == "win32" and Path(sys.executable).stem.lower() == "pythonw":
        import ctypes

        ctypes.windll.user32.MessageBoxW(None, message, "Graft", 0x10)


def inside_venv(root: Path = CODE) -> bool:
    """Whether this process runs .venv's Python."""
    return os.path.realpath(sys.prefix) == os.path.realpath(root / ".venv")


def relaunch(arguments: Sequence[str], root: Path = CODE) -> int:
    """Run main.py again with .venv's Python; on POSIX this process becomes that one."""
    python = venv_python(root)
    if sys.platform == "win32" and Path(sys.executable).stem.lower() == "pythonw":
        python = python.with_name("pythonw.exe")
    command = [str(python), str(root / "main.py"), *arguments]
    env = child_environment(os.environ)
    if sys.platform != "win32":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(python, command, env)
    process = subprocess.Popen(command, env=env)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the command got it too, and ends in its own way


def child_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for .venv's Python: UTF-8 everywhere, nobody else's packages."""
    env = dict(inherited)
    for name in ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"):
        env.pop(name, None)
    return env | {"PYTHONUTF8": "1"}


def has_display(env: Mapping[str, str] | None = None, system: str = sys.platform) -> bool:
    """Whether a window could be shown here."""
    env = os.environ if env is None else env
    if env.get("QT_QPA_PLATFORM"):
        return True
    return system in ("win32", "darwin") or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def can_show_windows() -> bool:
    """Check the display and Qt's system libraries; tells what is missing and how to get it."""
    if not has_display():
        tell_error(
            "there is no display here, so no window. Without one: "
            "python main.py demo --headless, or python main.py train JOB.toml"
        )
        return False
    missing = qt_libraries.missing(os.environ)
    if missing:
        tell_error(qt_libraries.mend(missing))
    return not missing
