"""The options of a foreign job by name, each taken out once, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.values import Misfit, flag, is_nothing


class Given:
    """What is left to be dealt with."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.left: dict[str, Any] = dict(values)

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def look(self, name: str, default: Any = None) -> Any:
        """A value that stays."""
        return self.left.get(name, default)

    def is_on(self, name: str) -> bool:
        """Whether a switch is there and on; it stays."""
        try:
            return name in self.left and flag(self.left[name])
        except Misfit:
            return False

    def pop(self, name: str) -> Any:
        """Take a value out; None if it is not there."""
        return self.left.pop(name, None)

    def switch(self, draft: Draft, name: str) -> bool | None:
        """Take a switch out: True if it is on.

        None if it is not there, and False if it is off or no switch; those get their line.
        """
        if name not in self.left:
            return None
        value = self.left.pop(name)
        try:
            on = flag(value)
        except Misfit as misfit:
            draft.refuse(name, value, str(misfit))
            return False
        if not on:
            draft.unset(name, value)
        return on

    def value(self, draft: Draft, name: str) -> Any:
        """Take a value out; one that says nothing gets its line and comes back as None."""
        if name not in self.left:
            return None
        value = self.left.pop(name)
        if is_nothing(value):
            draft.unset(name, value)
            return None
        return value
