"""Which of the document's problems are told in the form, and at which row."""

from __future__ import annotations

import contextlib

from app.document import Document
from engine.schema.options import option_at
from engine.schema.problem import Problem


class ToldProblems:
    """The document's problems by the path of the row that shows them.

    An empty field is not blamed before Train was tried: `shows_missing`.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self.shows_missing = False
        self.by_path: dict[str, list[Problem]] = {}

    def refresh(self) -> bool:
        """Sort the problems anew; says whether other rows are concerned than before."""
        former = self.by_path.keys()
        found: dict[str, list[Problem]] = {}
        for problem in filter(self.is_told, self._document.problems):
            found.setdefault(place_of(problem.path), []).append(problem)
        self.by_path = found
        return former != found.keys()

    def is_told(self, problem: Problem) -> bool:
        """Whether a problem is shown now."""
        empty = self._document.get(problem.path) in (None, "", [])
        return self.shows_missing or problem.severity != "error" or not empty

    def counts(self, group: str) -> tuple[int, int, int]:
        """How many fields of a group are changed, wrong, doubtful."""
        changed = sum(p.partition(".")[0] == group for p in self._document.changed_paths())
        told = filter(self.is_told, self._document.problems)
        here = [p for p in told if p.path.partition(".")[0] == group]
        errors = sum(p.severity == "error" for p in here)
        return changed, errors, len(here) - errors


def what_keeps_off(document: Document) -> str:
    """How many fields keep Train off, in words: "2 fields to fill"; empty for none."""
    paths = {problem.path for problem in document.errors}
    if not paths:
        return ""
    count, tr = len(paths), document.tr
    if all(document.get(path) in (None, "", []) for path in paths):
        words = tr("%d fields to fill") if count > 1 else tr("%d field to fill")
    else:
        words = tr("%d fields to mend") if count > 1 else tr("%d field to mend")
    return words % count


def place_of(path: str) -> str:
    """The nearest field at or above a path; a path without any shows at the base model."""
    while path:
        with contextlib.suppress(KeyError):  # the path goes deeper than any field
            if option_at(path).kind != "table":
                return path
        shorter = path.rpartition(".")[0]
        if path.endswith("]"):
            shorter = path[: path.rindex("[")]
        path = shorter
    return "model.path"
