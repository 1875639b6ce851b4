"""Patterns of a job against layer names (spec: networks 4.2, 4.6; one rule for all, see Q22)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from engine.plan.site import Site
from engine.schema.patterns import PatternError, compiled, pair, pair_of_rank
from engine.schema.problem import OptionError

PATIENCE_S = 0.5  # for all names together; a plan is made at every keystroke


class Patterns:
    """The patterns of one field, searched in a site's name in the file and in its original path."""

    def __init__(self, key: str, patterns: Iterable[str]) -> None:
        """Take the patterns of the field `key`.

        Raises:
            OptionError: naming the pattern that cannot be used.
        """
        self.key = key
        try:
            self._each = [compiled(pattern) for pattern in patterns]
        except PatternError as error:
            raise OptionError(key, str(error)) from None
        self._spent = 0.0

    def first(self, site: Site) -> int | None:
        """The number of the first pattern that is found in the site's name, if any.

        Raises:
            OptionError: if the search takes too long.
        """
        if not self._each:
            return None
        began = time.perf_counter()
        found = next((i for i, each in enumerate(self._each) if _is_in(each, site)), None)
        self._spent += time.perf_counter() - began
        if self._spent > PATIENCE_S:
            raise OptionError(
                self.key, "These patterns take too long: use fewer * and + in a pattern."
            )
        return found


class ValuesByPattern:
    """Pairs pattern=number: the first pattern that is found gives the number."""

    def __init__(self, key: str, pairs: Iterable[str], *, ranks: bool = False) -> None:
        """Take the pairs of the field `key`; with `ranks` the numbers must be ranks.

        Raises:
            OptionError: naming the pair that cannot be used.
        """
        try:
            parted = [pair_of_rank(each) if ranks else pair(each) for each in pairs]
        except PatternError as error:
            raise OptionError(key, str(error)) from None
        self.values = [value for _, value in parted]
        self._patterns = Patterns(key, (pattern for pattern, _ in parted))

    def first(self, site: Site) -> int | None:
        """The number of the first pair that is for this site, if any."""
        return self._patterns.first(site)


def _is_in(pattern: re.Pattern[str], site: Site) -> bool:
    return bool(pattern.search(site.name) or pattern.search(site.original))
