"""A smaller rank for a whole adapter, by the singular values of each layer's change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.networks.factors import Factors, strongest
from engine.networks.file import save
from engine.networks.variants.tucker import collapse
from engine.tools.convert import Written
from engine.tools.source import Source, check_target, common_rank, metadata_with, tensors_of

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Kept:
    """What is left of an adapter file: layer → its rank, and the smallest and mean share kept."""

    ranks: dict[str, int]
    least: float
    mean: float


def resize(
    source: Source,
    target: Path,
    *,
    rank: int | None = None,
    energy: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Written, Kept]:
    """Write a file with the strongest directions of each layer.

    Args:
        source: the file.
        target: the new file.
        rank: at most so many directions a layer.
        energy: as few directions as keep this share of a layer's squared norm, in (0, 1]; with
            `rank` both limits hold.
        overwrite: write over `target`.
        progress: told (done, total) after each layer; may raise to stop.

    Raises:
        ToolProblem: the target is there already.
        FileProblem: it cannot be written.
        ValueError: neither limit is given.
    """
    if rank is None and energy is None:
        raise ValueError("give a rank, an energy, or both")
    check_target(target, overwrite)
    made: dict[str, Factors] = {}
    shares = []
    for done, (name, factors) in enumerate(source.matched.factors.items()):
        if factors.mid is not None:
            factors = replace(factors, down=collapse(factors.mid, factors.down), mid=None)
        wanted = min(rank or factors.rank, factors.rank)
        if energy is not None:
            wanted = min(wanted, rank_for(factors, energy))
        kept = 1.0
        if wanted < factors.rank:
            factors, kept = strongest(factors, wanted)
        made[name] = factors
        shares.append(kept)
        if progress is not None:
            progress(done + 1, len(source.matched.factors))
    dim, alpha = common_rank(made)
    metadata = metadata_with(source, ss_network_dim=dim, ss_network_alpha=alpha)
    save(
        target,
        tensors_of(made, source.matched.norms, source.matched.biases),
        metadata,
        source.precision,
    )
    ranks = {name: one.rank for name, one in made.items()}
    mean = sum(shares) / len(shares) if shares else 1.0
    written = Written(target, len(made), source.left_out)
    return written, Kept(ranks, min(shares, default=1.0), mean)


def rank_for(factors: Factors, energy: float) -> int:
    """As few directions as keep this share of the squared norm; at least one."""
    down, up = factors.down.double().flatten(1), factors.up.double().flatten(1)
    small = torch.linalg.qr(up).R @ torch.linalg.qr(down.t()).R.t()
    squares = torch.linalg.svdvals(small).square()
    total = squares.sum()
    if total == 0:
        return 1
    kept = squares.cumsum(0) / total
    return int((kept < energy - 1e-12).sum()) + 1
