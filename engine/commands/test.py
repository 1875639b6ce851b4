"""`python main.py test`: the linters, the type checker, the import contracts and the tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.setup.start import CODE, child_environment

HELP = """\
usage: python main.py test [PYTEST ARGUMENTS]

Without arguments: ruff check, ruff format --check, pyright, lint-imports and pytest, one after the
other; all run even when one fails, and the exit code is 1 if any did. pytest's summary comes last.
With arguments: pytest alone, with these arguments.

examples:
  python main.py test
  python main.py test tests/setup -x
  python main.py test -k buckets
"""


@dataclass(frozen=True)
class Step:
    """One check: its name and the command that runs it."""

    name: str
    command: tuple[str, ...]


def steps(pytest_arguments: Sequence[str], has_xdist: bool) -> list[Step]:
    """What to run, pytest last; given arguments for pytest, that alone."""
    python = sys.executable
    spread = ("-n", "2", "--dist", "loadfile")
    extra = spread if has_xdist and not pytest_arguments else ()
    pytest = Step("pytest", (python, "-m", "pytest", *extra, *pytest_arguments))
    if pytest_arguments:
        return [pytest]
    # -c rather than -m: import-linter has no __main__, and .venv's scripts break when it is moved.
    contracts = "from importlinter.cli import lint_imports_command as main; main()"
    return [
        Step("ruff check", (python, "-m", "ruff", "check", ".")),
        Step("ruff format", (python, "-m", "ruff", "format", "--check", ".")),
        Step("pyright", (python, "-m", "pyright")),
        Step("lint-imports", (python, "-c", contracts)),
        pytest,
    ]


def main(argv: list[str], call: Callable[[Step], int] | None = None) -> int:
    """Run the steps; exit code 0 when all passed, 1 when any failed."""
    if argv in (["-h"], ["--help"]):
        print(HELP)
        return 0
    todo = steps(argv, importlib.util.find_spec("xdist") is not None)
    told, failed = [], False
    for number, step in enumerate(todo, 1):
        last = number == len(todo)
        if last:  # so that pytest's own summary is the end of the output
            print("\n".join(told), flush=True)
        print(f"\n== {step.name} ({number} of {len(todo)})", flush=True)
        began = time.monotonic()
        code = (call or run_step)(step)
        failed |= code != 0
        seconds = time.monotonic() - began
        told.append(f"{'passed' if code == 0 else 'FAILED'}  {step.name}  {seconds:.1f} s")
        if code and not last:
            print(f"-- {step.name} failed (exit code {code})", flush=True)
    return 1 if failed else 0


def run_step(step: Step) -> int:
    """Run one command in the repository, with Qt drawing offscreen."""
    env = child_environment(os.environ)
    env.setdefault("QT_QPA_PLATFORM", "offscreen")
    env.setdefault("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1")
    return subprocess.call(step.command, cwd=CODE, env=env)
