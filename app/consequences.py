"""What follows from a number, said beside it: "strength × 0.50", "counts as batch 8"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Get = Callable[[str], Any]
"""A path's value as it stands in the form, which may be wrong."""


def _strength(alpha: Any, rank: Any) -> str:
    if not (_is_number(alpha) and _is_number(rank) and rank > 0):
        return ""
    return f"strength × {(alpha or rank) / rank:.2f}"


def _alpha(get: Get) -> str:
    return _strength(get("network.alpha"), get("network.rank"))


def _conv_alpha(get: Get) -> str:
    alpha = get("network.conv_alpha")
    return _strength(1.0 if alpha is None else alpha, get("network.conv_dim"))


def _accumulation(get: Get) -> str:
    times, size = get("training.gradient_accumulation"), get("training.batch_size")
    if not (_is_number(times) and _is_number(size) and times > 1):
        return ""
    return f"counts as batch {times * size}"


def _share(get: Get) -> str:
    share = get("dataset.validation_share")
    if not _is_number(share):
        return ""
    return f"{share:.0%} of the pictures" if share else "none"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_BY_PATH: dict[str, Callable[[Get], str]] = {
    "network.alpha": _alpha,
    "network.conv_alpha": _conv_alpha,
    "training.gradient_accumulation": _accumulation,
    "dataset.validation_share": _share,
}


def consequence(path: str, get: Get) -> str:
    """Words for the field at `path`; empty where its range is the better hint.

    It asks for values one by one, as the validated job takes long to make for a few words.
    """
    found = _BY_PATH.get(path)
    return found(get) if found else ""
