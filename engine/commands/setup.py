"""`python main.py setup`: install packages ahead of their use, for a person or for the window."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import TextIO

from engine.setup import start
from engine.setup.errors import SetupCancelled, SetupError
from engine.setup.install import install
from engine.setup.pins import LEVELS
from engine.setup.progress import JsonLines, Terminal
from engine.setup.torch_build import BUILDS

EXAMPLES = """\
examples:
  python main.py setup                      everything that training needs
  python main.py setup --torch cu130        another build of PyTorch
  python main.py setup --level engine --events   what the window starts

With --events, standard output is one JSON object a line: `setup` (phase, package, done, total,
bytes_done, bytes_total, speed), `warning`, and at last `finished`, `error` (kind, message, mend) or
`cancelled`. A line {"command": "cancel"} on standard input, or its end, stops the installation.
"""


def main(argv: list[str]) -> int:
    """Install a level; exit code 0 when it is there, 1 when not, 130 when it was stopped."""
    parser = argparse.ArgumentParser(
        prog="python main.py setup",
        description="Install Graft's packages into .venv.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--level", choices=LEVELS, default="engine", help="what to install for")
    parser.add_argument("--torch", choices=BUILDS, default="", help="the build of PyTorch")
    parser.add_argument("--redo", action="store_true", help="check and mend everything again")
    parser.add_argument("--check", action="store_true", help="only tell whether it is installed")
    parser.add_argument("--events", action="store_true", help="JSON lines on standard output")
    options = parser.parse_args(argv)
    if options.check:
        there = start.ready(options.level)
        print("installed" if there else "not installed")
        return 0 if there else 1
    if options.events:
        return _with_events(options.level, options.torch, options.redo)
    terminal = Terminal()
    try:
        worked = install(
            start.CODE, options.level, terminal, torch=options.torch, redo=options.redo
        )
    except SetupError as err:
        terminal.close()
        start.tell_error(f"{err.message} {err.mend}")
        return 1
    except KeyboardInterrupt:
        terminal.close()
        start.tell_error("stopped. Start again to go on: what was downloaded is kept.")
        return 130
    terminal.close()
    print("Installed." if worked else "Everything is installed already.")
    return 0


def _with_events(level: str, torch: str, redo: bool) -> int:
    reporter = JsonLines(sys.stdout, sys.stderr)
    cancel = threading.Event()
    threading.Thread(target=cancel_on_request, args=(sys.stdin, cancel), daemon=True).start()
    began = time.monotonic()
    try:
        install(start.CODE, level, reporter, torch=torch, redo=redo, is_cancelled=cancel.is_set)
    except SetupError as err:
        reporter.error(err)
        return 1
    except (SetupCancelled, KeyboardInterrupt):
        reporter.cancelled()
        return 130
    reporter.finished(level, time.monotonic() - began)
    return 0


def cancel_on_request(stream: TextIO, cancel: threading.Event) -> None:
    """Set `cancel` at a line ``{"command": "cancel"}`` or when the stream ends."""
    for line in stream:
        try:
            command = json.loads(line)
        except ValueError:
            continue
        if isinstance(command, dict) and command.get("command") == "cancel":
            break
    cancel.set()
