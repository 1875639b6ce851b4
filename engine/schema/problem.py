"""What is wrong with a job, in words for the person: which field, what, and the mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Problem:
    """An error or a warning about one field; `path` is concrete (`dataset.folders[0].path`).

    `fix` is a mend that a program can apply: pairs of path and value.
    """

    path: str
    message: str
    severity: Literal["error", "warning"] = "error"
    fix: tuple[tuple[str, Any], ...] = ()
    fix_label: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class OptionError(ValueError):
    """A value that turned out wrong where it is used; `key` is its field in the table."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


class JobError(ValueError):
    """A job that cannot run; carries every problem, errors first."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems = tuple(sorted(problems, key=lambda p: p.severity != "error"))
        self.source = source
        lines = [f"{source}:"] if source else []
        super().__init__("\n".join([*lines, *(f"  {p}" for p in self.problems)]))
