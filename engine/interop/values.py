"""Foreign values made into ours: numbers, switches and lists in every form people write them."""

from __future__ import annotations

import ast
import math
from typing import Any

from pydantic import ValidationError

from engine.schema.check import check
from engine.schema.job import Job
from engine.schema.options import Option, option_at, options, set_at

_TRUE = frozenset(("true", "1", "yes", "on", "y", "t"))
_FALSE = frozenset(("false", "0", "no", "off", "n", "f", "none", ""))
NOTHING = frozenset(("", "none", "null"))


class Misfit(ValueError):
    """A value that cannot be used here, in words for the person."""


def flag(value: Any) -> bool:
    """Read a switch: true, 1, yes, on and their opposites, in any capitals.

    Raises:
        Misfit: if it is none of them.
    """
    if isinstance(value, bool):
        return value
    if value is None:
        return False
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().strip("'\"").lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise Misfit(f"{brief(value)} is neither true nor false")


def number(value: Any) -> float:
    """Read a finite number, also from text such as "1e-4" or "0.1".

    Raises:
        Misfit: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Misfit(f"{brief(value)} is not a number")
    try:
        read = float(value.strip().strip("'\"") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise Misfit(f"{brief(value)} is not a number") from None
    if not math.isfinite(read):
        raise Misfit(f"{brief(value)} is not a finite number")
    return read


def whole(value: Any) -> int:
    """Read a whole number; 4.0 and "4" are some.

    Raises:
        Misfit: if it is none.
    """
    read = number(value)
    if not read.is_integer():
        raise Misfit(f"{brief(value)} is not a whole number")
    return int(read)


def numbers(value: Any) -> list[float]:
    """Read a number, or several as a list or with commas or blanks between.

    Raises:
        Misfit: if one of them is none.
    """
    return [number(item) for item in items(value)]


def items(value: Any) -> list[Any]:
    """Part text at commas, else at blanks; a list stays one, anything else becomes one."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return [value]
    text = value.strip().strip("[]()").strip()
    if "," in text:
        return [item.strip() for item in text.split(",")]
    return text.split()


def is_nothing(value: Any) -> bool:
    """Say whether a value means "not set": null, empty text, "None"."""
    return value is None or (isinstance(value, str) and value.strip().lower() in NOTHING)


def literal(text: Any) -> Any:
    """Read a value as Python writes it ("(0.9, 0.99)", "True", "1e-3"); else it stays text."""
    if not isinstance(text, str):
        return list(text) if isinstance(text, tuple) else text
    words = text.strip()
    if words.lower() in ("true", "false"):
        return words.lower() == "true"
    if len(words) > 1000:
        return words
    try:
        read = ast.literal_eval(words)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return words
    if isinstance(read, tuple):
        return list(read)
    return read if isinstance(read, bool | int | float | str | list | None) else words


def fit(path: str, value: Any) -> Any:
    """The value as the field at `path` holds it.

    Raises:
        Misfit: wrong type, out of range, or none of the choices; in the schema's words.
        KeyError: there is no such field.
    """
    option = option_at(path)
    ready = _typed(option, value)
    parent = option.path.rpartition(".")[0].removesuffix("[]")
    table = (options()[parent].model if parent else None) or Job
    held = table.model_construct()
    try:
        setattr(held, option.key, ready)
    except ValidationError:
        raise Misfit(_words(path, ready)) from None
    fitted = getattr(held, option.key)
    if option.kind == "tables":
        return [item.model_dump() for item in fitted]
    if isinstance(fitted, float) and not math.isfinite(fitted):
        raise Misfit(f"{brief(value)} is not a finite number")
    return fitted


def _typed(option: Option, value: Any) -> Any:
    """Bring text to the kind of the field, as far as that needs no judgment."""
    if option.optional and is_nothing(value):
        return None
    if option.kind == "bool":
        return flag(value)
    if option.kind == "int":
        return whole(value)
    if option.kind == "float":
        return number(value)
    if option.kind == "text":
        if isinstance(value, list | tuple | dict):
            raise Misfit(f"{brief(value)} is not text")
        return "" if value is None else str(value)
    if option.kind == "int_list":
        return [whole(item) for item in items(value)]
    if option.kind == "float_list":
        return numbers(value)
    if option.kind == "choice" and isinstance(value, str):
        return value.strip()
    return value


def _words(path: str, value: Any) -> str:
    """What the schema says of the value."""
    data: dict[str, Any] = {}
    concrete = path.replace("[]", "[0]")
    set_at(data, concrete, value)
    for problem in check(data).problems:
        if problem.path == concrete:
            return problem.message.rstrip(".")
    return f"{brief(value)} cannot be used here"


def brief(value: Any) -> str:
    """A value as it can stand inside a sentence."""
    text = repr(value) if not isinstance(value, str) else f"'{value}'"
    return text if len(text) <= 60 else f"{text[:59]}…"
