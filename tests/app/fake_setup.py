"""Stands in for `main.py setup`: `fake_setup.py MODE setup --level engine --check|--events`."""

from __future__ import annotations

import json
import sys


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main() -> int:
    mode = sys.argv[1]
    if "--check" in sys.argv:
        sys.stdout.write("not installed\n")
        return 0 if mode == "there" else 1
    say(event="setup", phase="Downloading", package="torch", done=3, total=12)
    sys.stderr.write("Collecting torch\n")
    sys.stdout.write("this is no event\n")
    if mode == "crash":
        return 7
    if mode == "fail":
        say(event="error", kind="network", message="No network.", mend="Check the connection.")
        return 1
    if mode == "wait":
        say(event="setup", phase="Downloading", package="torch", done=3, total=12,
            bytes_done=50_000_000, bytes_total=200_000_000, speed=9_100_000)  # fmt: skip
        line = sys.stdin.readline()
        if json.loads(line) != {"command": "cancel"}:
            return 9
        say(event="cancelled")
        return 130
    say(event="warning", message="The disk is nearly full.")
    say(event="finished", level="engine", seconds=1.0)
    return 0


sys.exit(main())
