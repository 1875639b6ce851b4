"""Bring job files of past schemas to the present one.

A rename or a removal is one line in `RENAMED` or `REMOVED`; a change of meaning is a function in
`_STEPS`, from its version to the next. Reading a job of any past version works or says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.schema.job import SCHEMA_VERSION
from engine.schema.options import set_at, steps_in
from engine.schema.problem import JobError, Problem

Tree = dict[str, Any]

RENAMED: dict[int, dict[str, str]] = {}
"""Version that brought the change → old path → new path (paths without list items)."""

REMOVED: dict[int, dict[str, str]] = {}
"""Version that brought the change → path → why it went and what to use instead."""

_STEPS: dict[int, Callable[[Tree], Tree]] = {}
"""Version → what turns its tree into the next version's, after renames and removals."""


def migrate(data: Tree, source: str = "") -> Tree:
    """Return the tree at the present version, without its `schema` key.

    Raises:
        JobError: if the version is no number, is newer than this program's, or the file uses
            something that was removed.
    """
    tree = dict(data)
    version = tree.pop("schema", SCHEMA_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise JobError([Problem("schema", f"schema = {version!r} is not a version.")], source)
    if version > SCHEMA_VERSION:
        words = (
            f"The file is of schema {version}; this Graft reads up to {SCHEMA_VERSION}. "
            "Update Graft to open it."
        )
        raise JobError([Problem("schema", words)], source)
    problems: list[Problem] = []
    for step in range(version + 1, SCHEMA_VERSION + 1):
        for old, why in REMOVED.get(step, {}).items():
            if _take(tree, old) is not None:
                problems.append(Problem(old, why))
        for old, new in RENAMED.get(step, {}).items():
            value = _take(tree, old)
            if value is not None:
                set_at(tree, new, value)
        if step - 1 in _STEPS:
            tree = _STEPS[step - 1](tree)
    if problems:
        raise JobError(problems, source)
    return tree


def _take(tree: Tree, path: str) -> Any:
    """Remove and return the value at a path; None if it is not there."""
    *parents, last = steps_in(path)
    here: Any = tree
    for step in parents:
        if not isinstance(here, dict) or step not in here:
            return None
        here = here[step]
    return here.pop(last, None) if isinstance(here, dict) else None
