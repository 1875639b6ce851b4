"""Graft's start: makes .venv on the first run, then hands over to the command that was asked for.

Standard library only, and readable by Pythons too old for Graft, so that those get a plain answer.
"""

from __future__ import annotations

import difflib
import importlib
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

ROOT = os.path.dirname(os.path.abspath(__file__))
OLDEST, NEWEST = (3, 11), (3, 14)  # the Pythons that every pinned package has wheels for


class Command(NamedTuple):
    """One command of the command line."""

    level: str  # the packages it needs: window, engine or dev; empty for none
    target: str  # the function that does it, called with the arguments that follow the name
    help: str


WINDOW = Command("window", "app.main:main", "open the window")
COMMANDS = {
    "": WINDOW,
    "demo": Command("engine", "engine.commands.demo:main", "train the demo adapter (--headless)"),
    "train": Command("engine", "engine.commands.train:main", "train an adapter from a job file"),
    "plan": Command("window", "engine.commands.plan:main", "foretell what a job will do"),
    "inspect": Command("engine", "engine.commands.inspect:main", "tell what a LoRA file holds"),
    "merge": Command(
        "engine", "engine.commands.tools:main_merge", "work LoRA files into a model, or join them"
    ),
    "extract": Command(
        "engine", "engine.commands.tools:main_extract", "take smaller ranks out of a DyLoRA file"
    ),
    "resize": Command(
        "engine", "engine.commands.tools:main_resize", "keep a LoRA file's strongest directions"
    ),
    "convert": Command(
        "engine", "engine.commands.tools:main_convert", "write a LoRA file for another program"
    ),
    "import": Command(
        "window", "engine.commands.import_settings:main", "take over another trainer's settings"
    ),
    "export": Command("window", "engine.commands.export:main", "write a job for another trainer"),
    "doctor": Command("", "engine.commands.doctor:main", "say what is missing, and its mend"),
    "bench": Command("engine", "engine.commands.bench:main", "measure speed and memory"),
    "test": Command("dev", "engine.commands.test:main", "run the linters and the tests"),
    "setup": Command("", "engine.commands.setup:main", "install packages ahead of their use"),
    "install-launcher": Command(
        "", "engine.commands.install_launcher:main", "put Graft into the desktop's menu"
    ),
}


def main(arguments: list[str]) -> int:
    """Run one command line; returns the exit code: 0 done, 1 failed, 2 wrong use."""
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if first in ("-V", "--version"):
        print(f"Graft {version()}")
        return 0
    name = "" if first.startswith("-") else first
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f"did you mean '{near[0]}'? " if near else ""
        complain(f"There is no command '{name}'; {meant}See: python main.py --help")
        return 2
    here = sys.version_info[:2]
    if here < OLDEST or (here > NEWEST and not os.path.isdir(os.path.join(ROOT, ".venv"))):
        code = run_with_tested_python(arguments)
        if code is not None:
            return code
    if here < OLDEST:
        complain(
            "Graft needs Python 3.11 or newer (3.11 to 3.14 are tested), and this is "
            f"{here[0]}.{here[1]}. Install one from https://www.python.org/downloads/ or your "
            "system's packages; with uv: uv run --no-project --python 3.13 main.py"
        )
        return 1
    return run(name, arguments[1:] if name else arguments)


def run(name: str, arguments: list[str]) -> int:
    """Bring the packages that a command needs, go into .venv, and call it."""
    from engine.setup import start

    command = COMMANDS[name]
    wants_help = "-h" in arguments or "--help" in arguments
    asked = [name, *arguments] if name else arguments
    if name == "demo" and not wants_help and "--headless" not in arguments and start.has_display():
        command, arguments = WINDOW, ["--demo", *arguments]  # it installs the engine itself
    if command.level and not start.ready(command.level) and not start.bring(command.level):
        return 1
    if command.level and not start.inside_venv():
        return start.relaunch(asked)
    if command is WINDOW and not wants_help and not start.can_show_windows():
        return 1
    module, function = command.target.split(":")
    return getattr(importlib.import_module(module), function)(arguments)


def run_with_tested_python(arguments: list[str]) -> int | None:
    """Start again with an installed Python of a tested version; None where there is none."""
    for minor in (13, 12, 14, 11):
        python = ["py", f"-3.{minor}"] if os.name == "nt" else [f"python3.{minor}"]
        if shutil.which(python[0]) is None:
            continue
        probe = [*python, "-c", f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}))"]
        if subprocess.call(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            return subprocess.call([*python, os.path.join(ROOT, "main.py"), *arguments])
    return None


def help_text() -> str:
    """The list of commands."""
    commands = [f"  {name or '(none)':<18}{command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: python main.py [COMMAND] [ARGUMENTS]",
            "",
            *commands,
            "",
            "python main.py COMMAND --help tells more. Examples:",
            "  python main.py demo --headless",
            "  python main.py train job.toml --set network.rank=8",
            "Exit codes: 0 done, 1 failed, 2 wrong use.",
        ]
    )


def version() -> str:
    """Graft's version as pyproject.toml has it."""
    with open(os.path.join(ROOT, "pyproject.toml"), encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("version"))
    return line.split('"')[1]


def complain(message: str) -> None:
    """Say what is wrong."""
    print(message, file=sys.stderr)


if __name__ == "__main__":
    if sys.stdout is None or sys.stderr is None:  # pythonw has no console to write to
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        complain("Stopped.")
        code = 130
    except BrokenPipeError:  # the reader had enough, as `inspect FILE | head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the exit's own flush
        code = 1
    sys.exit(code)
