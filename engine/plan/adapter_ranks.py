"""Ranks and alphas of an adapter file in the original spelling, read from its header."""

from __future__ import annotations

from engine.plan.header import Header, read_numbers
from engine.plan.ranks import FileRanks

_DOWN = ".lora_down.weight"


def ranks_in(header: Header) -> FileRanks:
    """Adapter name → rank and alpha; a missing alpha is the rank (spec: networks 1.3, 1.10)."""
    found: dict[str, tuple[int, float]] = {}
    for name, info in header.entries.items():
        if name.endswith(_DOWN) and info.shape:
            adapter = name.removesuffix(_DOWN)
            alpha = f"{adapter}.alpha"
            value = read_numbers(header, alpha)[0] if alpha in header.entries else 0.0
            found[adapter] = (info.shape[0], value)
    return found
