"""How many numbers an adapter of any kind has: in memory, trained, and in its file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.site import Placement
from engine.schema.network import Network


@dataclass(frozen=True)
class Numbers:
    """Counts of one adapter: `held` has what is frozen too, `stored` what the file has."""

    trained: int
    held: int
    stored: int
    keys: int  # tensors in the file, alpha included


def numbers_of(placement: Placement, network: Network) -> Numbers:
    """Count an adapter's numbers (spec: networks 1.2, 4.8, 5, 6)."""
    site, rank, parts = placement.site, placement.rank, placement.split
    if site.kind == "norm":
        count = site.parameters(1)
        return Numbers(count, count, count, 1 + site.norm_bias)
    kernel = math.prod(site.kernel)
    has_mid = network.use_tucker and site.kind == "conv" and kernel > 1
    down = parts * rank * site.columns * (1 if has_mid else kernel)
    up = rank * site.rows
    mid = rank * rank * kernel if has_mid else 0
    magnitude = 0
    if network.dora_wd:
        magnitude = site.rows if network.wd_on_output else site.columns
    held = down + up + mid + magnitude + network.use_scalar
    frozen = down if network.kind == "lora_fa" else 0
    stored = down + up * parts + mid + magnitude
    keys = 3 + has_mid + network.dora_wd
    return Numbers(held - frozen, held, stored, keys)


def total_of(numbers: Sequence[Numbers]) -> Numbers:
    """Add up."""
    return Numbers(
        sum(n.trained for n in numbers),
        sum(n.held for n in numbers),
        sum(n.stored for n in numbers),
        sum(n.keys for n in numbers),
    )
