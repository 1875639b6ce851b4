"""Which optimizers cannot run here, and why: a package or a card is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache

from engine.schema.optimizers import FURTHER, NAMED
from engine.schema.problem import Problem


@cache
def _is_installed(package: str) -> bool:
    """Whether a package is there, without importing it. Window and engine share their Python."""
    return importlib.util.find_spec(package) is not None


def optimizer_problems(name: object, reasons: Mapping[str, str]) -> list[Problem]:
    """A warning where the chosen optimizer cannot run on this machine; jobs travel, so no error."""
    reason = reasons.get(str(name), "")
    if not reason:
        return []
    words = f"{name} {reason}, which is not here. AdamW runs everywhere."
    fix = (("optimizer.name", "AdamW"),)
    return [Problem("optimizer.name", words, severity="warning", fix=fix, fix_label="Use AdamW")]


def unusable_optimizers(has_nvidia: bool | None) -> dict[str, str]:
    """Name → why it cannot be used; `has_nvidia` None: not known yet, which is no reason."""
    reasons: dict[str, str] = {}
    for name, kind in NAMED.items():
        if kind.cuda_only and has_nvidia is False:
            reasons[name] = "needs an NVIDIA card"
        elif not _is_installed(kind.library):
            reasons[name] = f"needs {kind.library}"
    if not _is_installed("pytorch_optimizer"):
        reasons |= dict.fromkeys(FURTHER, "needs pytorch_optimizer")
    return reasons
