"""Which fields of the form are seen: depth, search, the filters "changed" and "to mend"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.document import Document
from app.search import find_options
from engine.schema.options import Option, option_at
from engine.schema.problem import Problem

Filter = Literal["none", "changed", "mend"]


@dataclass(frozen=True)
class Showing:
    """Whether a field is shown now, and if it has no effect, why."""

    visible: bool
    absent: str = ""
    can_turn_on: bool = False


class FormFilter:
    """Decides for each option whether it is shown."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.shows_all = False
        self.which: Filter = "none"
        self.query = ""
        self.problems: Mapping[str, Sequence[Problem]] = {}
        self._found: dict[str, Showing] = {}

    @property
    def is_on(self) -> bool:
        """Whether anything but the depth limits what is seen."""
        return bool(self.query) or self.which != "none"

    def search(self, query: str) -> None:
        """Look for options; an empty query ends the search."""
        self.query = query
        document = self._document
        found = find_options(query, document.architecture, document.data)
        self._found = {f.option.path: Showing(True, f.absent, f.can_turn_on) for f in found}
        for path in list(self._found):
            if "[]" in path:
                self._found.setdefault(path.partition("[]")[0], Showing(True))

    @property
    def found_count(self) -> int:
        """How many options the search shows."""
        return sum("[]" in p or option_at(p).kind != "tables" for p in self._found)

    def found_in(self, tables: str) -> frozenset[str]:
        """General paths of found fields inside the items of a list of tables."""
        prefix = f"{tables}[]"
        return frozenset(path for path in self._found if path.startswith(prefix))

    def showing(self, option: Option) -> Showing:
        """Whether a field is shown now."""
        path, document = option.path, self._document
        if self.query:
            return self._found.get(path, Showing(False))
        if not document.is_in_force(path):
            return Showing(False)
        if self.which == "changed":
            return Showing(document.is_changed(path))
        wrong = path in self.problems or any(p.startswith(f"{path}[") for p in self.problems)
        if self.which == "mend":
            return Showing(wrong or path in self._related())
        plain = self.shows_all or option.hints.basic or wrong
        return Showing(plain or not document.is_default(path))

    def _related(self) -> set[str]:
        """Fields that a wrong field depends on, or that its mend would change."""
        related: set[str] = set()
        for path, problems in self.problems.items():
            for problem in problems:
                related.update(option_at(p).path for p, _ in problem.fix)
            if "[" not in path:
                related.update(w.path for w in option_at(path).hints.only_if)
        return related
