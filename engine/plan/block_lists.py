"""The repeated blocks of a picture model, counted from its sites: what can wait off the device."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from engine.plan.site import Site
from engine.schema.problem import Problem

_LISTED = re.compile(r"([a-z_]+\.\d+)\.")
_STAY = 2  # blocks that must stay: the one at work and the next


def swappable(sites: Iterable[Site]) -> int:
    """How many blocks the picture model has: members of the lists at its top level."""
    modules = (s.module for site in sites if site.component == "denoiser" for s in site.segments)
    return len({match[1] for match in map(_LISTED.match, modules) if match})


def swap_problem(count: int, blocks: int) -> Iterator[Problem]:
    """Yield what is wrong with swapping `count` of so many blocks."""
    most = max(blocks - _STAY, 0)
    if count > most:
        yield Problem(
            "training.blocks_to_swap",
            f"Blocks to swap is {count}; this model has {blocks} blocks, of which at most {most} "
            "can be swapped.",
            fix=(("training.blocks_to_swap", most or None),),
            fix_label=f"Set {most}" if most else "Turn it off",
        )
