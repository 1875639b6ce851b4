"""All fields of the job as a flat table of `Option`: what forms, flags and docs are made from."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from engine.schema.field import Hints, When, hints_of
from engine.schema.job import Job
from engine.schema.table import Table

Kind = Literal[
    "bool", "int", "float", "text", "choice", "int_list", "float_list", "text_list",
    "lr_weights", "steps_or_share", "table", "tables", "mapping",
]  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One field: where it is, what it holds, what it says of itself.

    `path` is dotted; items of a list of tables are written `[]`: `dataset.folders[].repeats`.
    """

    path: str
    kind: Kind
    hints: Hints
    default: Any
    optional: bool  # None is allowed, and means `hints.empty`
    choices: tuple[Any, ...] = ()
    bounds: Mapping[str, float] = field(default_factory=dict)  # ge, gt, le, lt, multiple_of
    model: type[Table] | None = None  # of a table, or of each item of tables

    @property
    def key(self) -> str:
        """The name inside its table."""
        return self.path.rpartition(".")[2]

    @property
    def group(self) -> str:
        """The panel it belongs to: the top-level table."""
        return self.path.partition(".")[0]

    def label(self, architecture: str) -> str:
        """What the field is called in a job for this architecture."""
        return self.hints.label_by.get(architecture, self.hints.label)

    def choices_of(self, architecture: str) -> tuple[Any, ...]:
        """The choices that an architecture has, in the order of all."""
        return self.hints.choices_by.get(architecture, self.choices)

    def applies(self, architecture: str) -> bool:
        """Say whether the architecture has this option."""
        return not self.hints.applies_to or architecture in self.hints.applies_to

    def shown(self, data: Mapping[str, Any], item: str = "") -> bool:
        """Say whether its conditions hold in `data`, a job as nested mappings.

        `item` is the concrete path of the list item, such as `dataset.folders[0]`, for fields
        inside one.
        """
        return all(w.holds(get_at(data, concrete(w.path, item))) for w in self.hints.only_if)


def concrete(path: str, item: str) -> str:
    """Put the item's index into a path with `[]`: ("a.b[].c", "a.b[2]") → "a.b[2].c"."""
    return item + path[path.index("[]") + 2 :] if item and "[]" in path else path


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """Strip Annotated and `| None`; say whether None was allowed."""
    if get_origin(annotation) is typing.Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        optional = len(inner) < len(get_args(annotation))
        if len(inner) == 1:
            return _unwrap(inner[0])[0], optional
        flat = [_unwrap(a)[0] for a in inner]
        return tuple(flat), optional
    return annotation, False


_KINDS: dict[Any, Kind] = {
    bool: "bool", int: "int", float: "float", str: "text",
    list[int]: "int_list", list[float]: "float_list", list[str]: "text_list",
}  # fmt: skip


def _kind(annotation: Any) -> tuple[Kind, tuple[Any, ...], type[Table] | None]:
    if isinstance(annotation, tuple):
        return ("lr_weights" if list[float] in annotation else "steps_or_share"), (), None
    if annotation in _KINDS:
        return _KINDS[annotation], (), None
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation), None
    if get_origin(annotation) is dict:
        return "mapping", (), None
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return "table", (), annotation
    if get_origin(annotation) is list and issubclass(get_args(annotation)[0], Table):
        return "tables", (), get_args(annotation)[0]
    raise TypeError(f"a field of type {annotation!r} has no editor; see engine/schema/options.py")


def _option(path: str, info: FieldInfo) -> Option:
    annotation, optional = _unwrap(info.annotation)
    kind, choices, model = _kind(annotation)
    names = ("ge", "gt", "le", "lt", "multiple_of")
    bounds = {n: getattr(m, n) for m in info.metadata for n in names if hasattr(m, n)}
    if kind == "table":  # its default is what its fields say, and to make one takes long
        default = None
    elif info.default_factory is not None:  # pydantic's own get_default reads its signature first
        default = typing.cast("Callable[[], Any]", info.default_factory)()
    else:
        default = info.default
    return Option(path, kind, hints_of(info), default, optional, choices, bounds, model)


def _walk(model: type[Table], prefix: str) -> Iterator[Option]:
    for name, info in model.model_fields.items():
        found = _option(f"{prefix}{name}", info)
        yield found
        if found.model is not None:
            yield from _walk(found.model, f"{found.path}{'[]' if found.kind == 'tables' else ''}.")


@cache
def options() -> Mapping[str, Option]:
    """All options by path, in the order of the form, tables included."""
    return types.MappingProxyType({found.path: found for found in _walk(Job, "")})


def option_at(path: str) -> Option:
    """The option of a concrete or general path: `dataset.folders[0].path` is found too.

    Raises:
        KeyError: if there is none.
    """
    return options()[re.sub(r"\[\d+\]", "[]", path) if "[" in path else path]


@cache
def _spellings() -> Mapping[str, tuple[str, ...]]:
    """Every key and alias → the paths that bear it."""
    found: dict[str, list[str]] = {}
    for path, entry in options().items():
        for word in (entry.key, *entry.hints.aliases):
            found.setdefault(word, []).append(path)
    return {word: tuple(paths) for word, paths in found.items()}


def paths_named(word: str) -> tuple[str, ...]:
    """Paths whose key or alias is `word`; empty if none."""
    return _spellings().get(word, ())


def canonical_key(table: str, key: str) -> str | None:
    """The field's own key for a key or alias inside `table` (general path); None if unknown."""
    prefix = f"{table}." if table else ""
    if f"{prefix}{key}" in options():
        return key
    for path in paths_named(key):
        parent, _, own = path.rpartition(".")
        if parent == table:
            return own
    return None


def did_you_mean(word: str, table: str | None = None) -> tuple[str, Option] | None:
    """The spelling nearest to `word` and its option; one of `table` is preferred."""
    matches = difflib.get_close_matches(word, _spellings(), n=5, cutoff=0.65)
    candidates = [(match, options()[path]) for match in matches for path in _spellings()[match]]
    inside = [c for c in candidates if table is not None and c[1].path.startswith(f"{table}.")]
    return next(iter(inside or candidates), None)


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@lru_cache(4096)
def steps_in(path: str) -> tuple[str | int, ...]:
    """Split a concrete path: "dataset.folders[0].path" → ("dataset", "folders", 0, "path")."""
    return tuple(int(index) if index else name for name, index in _STEP.findall(path))


def get_at(data: Any, path: str) -> Any:
    """The value at a concrete path in nested mappings and lists; the default where absent."""
    here = data
    for step in steps_in(path):
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            known = options().get(re.sub(r"\[\d+\]", "[]", path))
            return known.default if known else None
    return here


def set_at(data: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a concrete path, making tables on the way; a list item must exist.

    Setting index `len(list)` appends.
    """
    *parents, last = steps_in(path)
    here: Any = data
    for step, following in zip(parents, [*parents[1:], last], strict=True):
        if isinstance(step, int):
            if step == len(here):
                here.append({})
            here = here[step]
        else:
            here = here.setdefault(step, [] if isinstance(following, int) else {})
    if isinstance(last, int) and last == len(here):
        here.append(value)
    else:
        here[last] = value


def conditions_in_words(entry: Option, architecture: str = "") -> str:
    """Say when a conditional option appears: "appears when 3×3 conv rank is on"."""
    words = [_condition_words(w, architecture) for w in entry.hints.only_if]
    return f"appears when {' and '.join(words)}" if words else ""


def _condition_words(when: When, architecture: str) -> str:
    other = option_at(when.path)
    labels = other.hints.choice_labels

    def said(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(labels.get(v, {True: "on", False: "off"}.get(v, v)) for v in values)

    return When(when.path, said(when.equals), said(when.not_equals), when.is_set).words(
        other.label(architecture)
    )
