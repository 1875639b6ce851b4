"""Smaller ranks out of a DyLoRA file: its first directions, unchanged (spec: networks 4.7)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from engine.networks.file import save
from engine.networks.lycoris_kinds import KINDS
from engine.tools.convert import Written
from engine.tools.source import Source, ToolProblem, check_target, metadata_with, tensors_of


def ranks_of_unit(source: Source, unit: int) -> list[int]:
    """Every rank that a file trained in units can be cut to: unit, 2·unit … below its own.

    Raises:
        ToolProblem: the unit is not smaller than the file's rank.
    """
    whole = _whole_rank(source)
    ranks = list(range(unit, whole, unit))
    if not ranks:
        raise ToolProblem(f"The file has rank {whole}: choose a unit below it.")
    return ranks


def extract(
    source: Source, target: Path, rank: int, *, keep_strength: bool = False, overwrite: bool = False
) -> Written:
    """Write the first `rank` directions of each layer; layers of a lower rank stay whole.

    Alpha stays, so that the scale alpha ÷ rank grows; with `keep_strength` alpha is cut by √(k/r),
    which is how strongly those directions acted in training.

    Raises:
        ToolProblem: the target is there, the rank is not below the file's, or a layer is no plain
            LoRA.
        FileProblem: it cannot be written.
    """
    check_target(target, overwrite)
    whole = _whole_rank(source)
    if not 1 <= rank < whole:
        raise ToolProblem(f"The file has rank {whole}: choose a rank from 1 to {whole - 1}.")
    other = next((n for n, kinds in source.file.further.items() if KINDS & {*kinds}), None)
    if other is not None:
        raise ToolProblem(f"{other} is no plain LoRA: its first directions mean nothing alone.")
    made = {}
    for name, one in source.matched.factors.items():
        if one.mid is not None or one.magnitude is not None:
            raise ToolProblem(f"{name} is no plain LoRA: its first directions mean nothing alone.")
        k = min(rank, one.rank)
        alpha = one.alpha * math.sqrt(k / one.rank) if keep_strength else one.alpha
        made[name] = replace(one, down=one.down[:k], up=one.up[:, :k], alpha=alpha)
    before = source.file.metadata.get("ss_training_comment", "")
    words = f"split from DyLoRA, rank {whole} to {rank}"
    changes = {"ss_network_dim": str(rank)}
    changes["ss_training_comment"] = f"{words}; {before}" if before else words
    alphas = {one.alpha for one in made.values()}
    changes["ss_network_alpha"] = f"{alphas.pop():g}" if len(alphas) == 1 else "Dynamic"
    metadata = metadata_with(source, **changes)
    save(
        target,
        tensors_of(made, source.matched.norms, source.matched.biases),
        metadata,
        source.precision,
    )
    return Written(target, len(made), source.left_out)


def _whole_rank(source: Source) -> int:
    ranks = [one.rank for one in source.matched.factors.values()]
    if not ranks:
        raise ToolProblem(f"{source.file.path.name} holds no layers of a rank to cut.")
    return max(ranks)


def name_of_rank(target: Path, rank: int) -> Path:
    """The name of one of several ranks: `cat-0004.safetensors`."""
    return target.with_name(f"{target.stem}-{rank:04d}{target.suffix or '.safetensors'}")
