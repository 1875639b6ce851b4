"""Turn a job as written into a valid `Job`, with all its problems at once, each at its field."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from engine.schema.advice import advise
from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.options import (
    Option,
    canonical_key,
    did_you_mean,
    option_at,
    options,
    paths_named,
    steps_in,
)
from engine.schema.problem import JobError, Problem
from engine.schema.rules import broken_rules

NONE_WORDS = ("off", "none", "")
"""Texts that mean None for an optional field that is not text (TOML has no null)."""


@dataclass(frozen=True)
class Checked:
    """The outcome: `job` has defaults in place of values that are wrong."""

    job: Job
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the job from running."""
        return tuple(p for p in self.problems if p.severity == "error")


def check(data: Mapping[str, Any]) -> Checked:
    """Validate a job given as nested mappings (aliases allowed) and gather every problem."""
    tree, problems = canonical(data)
    _fill_defaults(tree)
    job, found = _validate(tree)
    problems.extend(found)
    wrong = {p.path for p in problems}
    # A rule about a field that is already wrong would speak about its stand-in.
    problems.extend(p for p in broken_rules(job) if p.path not in wrong)
    problems.extend(advise(job))
    return Checked(job, tuple(problems))


def _fill_defaults(tree: dict[str, Any]) -> None:
    """Give what the job leaves out the defaults of its architecture, where it has its own."""
    model = tree.get("model")
    name = model.get("architecture") if isinstance(model, Mapping) else None
    architecture = ARCHITECTURES.get(name) if isinstance(name, str) else None
    for path, value in architecture.defaults.items() if architecture else ():
        table, _, key = path.rpartition(".")
        here = tree.setdefault(table, {})
        if isinstance(here, dict):
            here.setdefault(key, copy.deepcopy(value))


def require(data: Mapping[str, Any], source: str = "") -> Job:
    """Return the job if it can run.

    Raises:
        JobError: with every problem, when there is at least one error.
    """
    checked = check(data)
    if checked.errors:
        raise JobError(checked.problems, source)
    return checked.job


def canonical(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Spell every key as the schema does, and drop unknown ones with a problem each."""
    problems: list[Problem] = []
    return _canonical_table(data, "", "", problems), problems


def _canonical_table(
    data: Mapping[str, Any], general: str, here: str, problems: list[Problem]
) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in data.items():
        own = canonical_key(general, key)
        path = f"{here}.{key}" if here else key
        if own is None:
            problems.append(_unknown(key, path, general))
            continue
        if own in table and own != key:
            problems.append(
                Problem(path, f"'{key}' is another name of '{own}', which is also given.")
            )
            continue
        entry = options()[f"{general}.{own}" if general else own]
        table[own] = _canonical_value(value, entry, f"{here}.{own}" if here else own, problems)
    return table


def _canonical_value(value: Any, entry: Option, here: str, problems: list[Problem]) -> Any:
    if entry.kind == "table" and isinstance(value, Mapping):
        return _canonical_table(value, entry.path, here, problems)
    if entry.kind == "tables" and isinstance(value, list):
        return [
            _canonical_table(item, f"{entry.path}[]", f"{here}[{i}]", problems)
            if isinstance(item, Mapping)
            else item
            for i, item in enumerate(value)
        ]
    if entry.optional and entry.kind != "text" and isinstance(value, str):
        return None if value.strip().lower() in NONE_WORDS else value
    return value


def _unknown(key: str, path: str, general: str) -> Problem:
    elsewhere = [p for p in paths_named(key) if "[]" not in p]
    where = f"[{general}]" if general else "the job"
    if elsewhere:
        table = elsewhere[0].rpartition(".")[0]
        return Problem(path, f"'{key}' is not an option of {where}; it belongs to [{table}].")
    near = did_you_mean(key, general)
    hint = f" Did you mean {near[0]} ({near[1].hints.label})?" if near else ""
    return Problem(path, f"'{key}' is not an option.{hint}")


def _validate(tree: dict[str, Any]) -> tuple[Job, list[Problem]]:
    """Validate; where values are wrong, drop them and validate the rest."""
    problems: list[Problem] = []
    tree = copy.deepcopy(tree)
    for _ in range(len(options()) + 1):  # each round drops at least one value
        try:
            return Job.model_validate(tree), problems
        except ValidationError as error:
            seen = {p.path for p in problems}
            for path, problem in _from_pydantic(error, tree):
                if problem.path not in seen:
                    problems.append(problem)
                    seen.add(problem.path)
                _drop(tree, path)
    raise AssertionError("a job without any value must be valid")


def _from_pydantic(error: ValidationError, tree: dict[str, Any]) -> list[tuple[str, Problem]]:
    """Every error with the concrete path of the field to drop and the problem to show."""
    found: dict[str, Problem] = {}
    for item in error.errors(include_url=False):
        path = _field_path(item["loc"])
        if path in found:
            continue  # a union gives one error a branch
        value = _value_at(tree, path)
        found[path] = Problem(path, _words(path, item, value))
    return list(found.items())


def _field_path(location: tuple[int | str, ...]) -> str:
    """Cut a pydantic location after the last part that is a field or an item of tables."""
    path = ""
    for part in location:
        if isinstance(part, int):
            candidate = f"{path}[{part}]"
            try:
                if option_at(path).kind != "tables":
                    return path
            except KeyError:
                return path
        else:
            candidate = f"{path}.{part}" if path else part
            try:
                option_at(candidate)
            except KeyError:
                return path
        path = candidate
    return path


def _value_at(tree: Any, path: str) -> Any:
    for step in steps_in(path):
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _drop(tree: Any, path: str) -> None:
    *parents, last = steps_in(path)
    for step in parents:
        tree = tree[step]
    if isinstance(last, int):
        tree[last] = {}
    else:
        del tree[last]


_TYPE_WORDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "text": "text",
    "int_list": "a list of whole numbers", "float_list": "a list of numbers",
    "text_list": "text, or a list of it", "lr_weights": "numbers or the name of a shape",
    "steps_or_share": "a number of steps or a percentage", "table": "a table",
    "tables": "a list of tables", "mapping": "a table of names and values",
}  # fmt: skip


def _words(path: str, item: Any, value: Any) -> str:
    """Say in plain words what is wrong with a value."""
    try:
        entry = option_at(path)
    except KeyError:
        shown = json.dumps(value, default=str, ensure_ascii=False)
        table = re.sub(r"\[\d+\]$", "", path)
        return f"{shown} is no table. Write it under [[{table}]], each value with its name."
    label = entry.hints.label
    shown = json.dumps(value, default=str, ensure_ascii=False)
    unit = f" {entry.hints.unit}" if entry.hints.unit else ""
    context = item.get("ctx", {})
    limits = {
        "greater_than_equal": ("ge", "at least"), "greater_than": ("gt", "above"),
        "less_than_equal": ("le", "at most"), "less_than": ("lt", "below"),
        "multiple_of": ("multiple_of", "a multiple of"),
    }  # fmt: skip
    if item["type"] in limits:
        name, words = limits[item["type"]]
        return f"{label} must be {words} {context[name]:g}{unit}; it is {shown}."
    if entry.kind == "choice":
        return f"{label} is one of {', '.join(str(c) for c in entry.choices)}; it is {shown}."
    return f"{label} is {_TYPE_WORDS.get(entry.kind, 'something else')}; {shown} is not."
