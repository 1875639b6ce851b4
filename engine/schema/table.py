"""The common parent of the job's tables: strict, and forgiving only where a person writes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Table(BaseModel):
    """A table of the job file: unknown keys are errors, and assignment is validated."""

    # Built when first used: a job's own validator holds its tables', and the window starts sooner.
    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, protected_namespaces=(), defer_build=True
    )


def split_items(value: Any) -> Any:
    """Turn "4, 4, 8" or "[4, 4, 8]" into its items; other values pass unchanged."""
    if not isinstance(value, str):
        return value
    text = value.strip().removeprefix("[").removesuffix("]").strip()
    return [item.strip() for item in text.split(",")] if text else []


def _resolution(value: Any) -> Any:
    """Accept 512, "512x768" or a list of those; the used form is always a list of text."""
    items = split_items(value) if isinstance(value, str) else value
    return [str(item) for item in (items if isinstance(items, list) else [items])]


IntList = Annotated[list[int], BeforeValidator(split_items)]
FloatList = Annotated[list[float], BeforeValidator(split_items)]
TextList = Annotated[list[str], BeforeValidator(split_items)]
ResolutionList = Annotated[list[str], BeforeValidator(_resolution)]
StepsOrShare = int | float | str
"""A count of steps, a share below 1, or a percentage as text: 100, 0.1 or "10%"."""


def steps_of(value: StepsOrShare, total: int) -> int:
    """Resolve a `StepsOrShare` against the run's `total` steps.

    Raises:
        ValueError: if the text is no percentage, the number is negative, or it is 1.0, which may
            mean one step or all of them (spec: data-loop 4.4).
    """
    if isinstance(value, str):
        text = value.strip()
        if not text.endswith("%"):
            return steps_of(float(text) if "." in text else int(text), total)
        share = float(text.removesuffix("%")) / 100
        if not 0 <= share <= 1:
            raise ValueError(f"{value} is not between 0% and 100%")
        return round(share * total)
    if value < 0:
        raise ValueError(f"{value} is negative; give 0 for none")
    if isinstance(value, float):
        if value == 1.0:
            raise ValueError('1.0 can mean 1 step or 100 %: write 1 or "100%"')
        if value < 1:
            return round(value * total)
        if not value.is_integer():
            raise ValueError(f"{value} is neither whole steps nor a share below 1")
    return int(value)
