"""`python main.py install-launcher`: put Graft into the menu of a Linux desktop."""

from __future__ import annotations

import argparse
import os
import sys

from engine.setup.launcher import install_entry, remove_entry
from engine.setup.start import CODE


def main(argv: list[str], system: str = sys.platform) -> int:
    """Write or remove the menu entry; exit code 1 where there is none to write."""
    parser = argparse.ArgumentParser(
        prog="python main.py install-launcher",
        description="Put Graft, with its icon, into the desktop's menu (Linux). This writes "
        "graft.desktop into ~/.local/share/applications, and nothing else.",
        epilog="example: python main.py install-launcher --remove",
    )
    parser.add_argument("--remove", action="store_true", help="take it out again")
    options = parser.parse_args(argv)
    if not system.startswith("linux"):
        name = "graft.bat" if system == "win32" else "graft.command"
        print(f"This is for Linux. Here, double-click {name} in {CODE}.", file=sys.stderr)
        return 1
    try:
        if options.remove:
            there = remove_entry(os.environ)
            print("Removed from the menu." if there else "There was no entry in the menu.")
            return 0
        path = install_entry(CODE, os.environ)
    except OSError as err:
        print(
            f"The menu entry cannot be written: {err.filename} ({err.strerror}). "
            "Check that this folder is yours.",
            file=sys.stderr,
        )
        return 1
    print(f"Graft is in the menu now ({path}). If this folder moves, run this again.")
    return 0
