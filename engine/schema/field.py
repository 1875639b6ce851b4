"""The one helper that declares a field of the job, and what the rest of the program sees of it.

Three forms of a value: *stored* (TOML), *shown* (an editor's text) and *used* (the attribute of
the validated model). Pydantic converts between the first and the last; `Option` carries what the
forms, the reference page and the command line need to know beyond the type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

Scale = Literal["linear", "log", "double"]
PathKind = Literal["model", "file", "folder", "new_folder"]


@dataclass(frozen=True)
class When:
    """A condition on another field; a field whose condition fails is hidden and not written.

    Exactly one of `equals`, `not_equals` and `is_set` is meant; `is_set` asks for a value that is
    neither None, False, 0 nor empty.
    """

    path: str
    equals: tuple[Any, ...] = ()
    not_equals: tuple[Any, ...] = ()
    is_set: bool = False

    def holds(self, value: Any) -> bool:
        """Say whether the other field's `value` meets the condition."""
        if self.is_set:
            return bool(value)
        if self.equals:
            return value in self.equals
        return value not in self.not_equals

    def words(self, label: str) -> str:
        """Name the condition for a person, given the other field's `label`."""
        if self.is_set:
            return f"{label} is on"
        if self.equals:
            return f"{label} is {' or '.join(str(v) for v in self.equals)}"
        return f"{label} is not {' or '.join(str(v) for v in self.not_equals)}"


@dataclass(frozen=True)
class Hints:
    """What a field says about itself beyond its type; stored beside the pydantic field."""

    label: str
    help: str
    section: str = ""  # heading inside the table's panel; empty: no heading
    unit: str = ""
    basic: bool = False  # shown in the basic view
    aliases: tuple[str, ...] = ()  # spellings of other trainers: sd-scripts first
    applies_to: tuple[str, ...] = ()  # architecture ids; empty: all
    only_if: tuple[When, ...] = ()
    scale: Scale = "linear"
    step: float | None = None
    empty: str = ""  # what None means, shown as the placeholder ("off", "same as rank")
    choice_labels: Mapping[str, str] = field(default_factory=dict)
    choices_by: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # of those with fewer
    label_by: Mapping[str, str] = field(default_factory=dict)  # architecture → its own label
    suggestions: tuple[str, ...] = ()  # for free text with known values
    path: PathKind | None = None
    extensions: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()  # names of the numbers of a list of fixed length
    blocks: bool = False  # one value for each block of the denoiser
    long_text: bool = False
    secret: bool = False


def option(
    default: Any,
    label: str,
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    multiple_of: int | None = None,
    only_if: When | tuple[When, ...] = (),
    **hints: Any,
) -> Any:
    """Declare a field: default, words for the person, range, and `Hints` by keyword.

    A mutable default (list, dict, model) is given as a callable and becomes a factory.
    """
    conditions = (only_if,) if isinstance(only_if, When) else only_if
    extra: Any = {"hints": Hints(label=label, help=help, only_if=conditions, **hints)}
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt, "multiple_of": multiple_of}
    given: dict[str, Any] = {name: bound for name, bound in bounds.items() if bound is not None}
    if callable(default):
        return Field(default_factory=default, json_schema_extra=extra, **given)
    return Field(default=default, json_schema_extra=extra, **given)


def hints_of(info: FieldInfo) -> Hints:
    """Read back the `Hints` that `option` stored in a pydantic field."""
    extra = info.json_schema_extra
    if not isinstance(extra, dict) or not isinstance(extra.get("hints"), Hints):
        raise TypeError(f"the field {info!r} was not declared with option()")
    return extra["hints"]  # pyright: ignore[reportReturnType]
