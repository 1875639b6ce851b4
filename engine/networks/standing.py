"""What stands as `forward` on one frozen module in place of its class's own.

It is a bound method, so that a compiled block depends on what the method reads and not on which
object it belongs to: one graph then serves all blocks of a kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def stand(host: nn.Module, method: Callable[..., Any]) -> None:
    """Let a bound method stand as the module's forward."""
    host.__dict__["forward"] = method


def owner_on(host: nn.Module) -> object:
    """Return the object whose method stands there; None where nothing does, or a plain function."""
    return getattr(host.__dict__.get("forward"), "__self__", None)


def restore(host: nn.Module, replaced: Callable[..., Any] | None) -> None:
    """Put back what stood there before; None for the class's own forward."""
    if replaced is None:
        del host.__dict__["forward"]
    else:
        host.__dict__["forward"] = replaced
