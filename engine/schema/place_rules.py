"""Rules of `[network]` about where adapters sit: lists by block, selections, families, patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.schema.architectures import Architecture
from engine.schema.block_indices import blocks_in
from engine.schema.job import Job
from engine.schema.lr_weights import LrWeightError, block_lr_weights
from engine.schema.network import Network
from engine.schema.options import option_at
from engine.schema.patterns import HIGHEST_RANK, PatternError, compiled, pair, pair_of_rank
from engine.schema.problem import Problem

EMBEDDER_COUNTS = {"in_dims": 5, "emb_dims": 6, "embedder_dims": 3}
PATTERN_READERS: dict[str, Callable[[str], object]] = {
    "exclude_patterns": compiled,
    "include_patterns": compiled,
    "network_reg_dims": lambda text: compiled(pair_of_rank(text)[0]),
    "network_reg_lrs": lambda text: compiled(pair(text)[0]),
}


def broken_places(job: Job, architecture: Architecture) -> Iterator[Problem]:
    """Yield what is wrong with the options that say where adapters sit."""
    network = job.network
    yield from _block_lists(network, architecture)
    yield from _selections(network, architecture)
    for key, count in EMBEDDER_COUNTS.items():
        yield from _numbers(network, key, count, architecture)
    yield from _patterns(network)


def _block_lists(network: Network, architecture: Architecture) -> Iterator[Problem]:
    count = len(architecture.blocks)
    for key in ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas"):
        yield from _numbers(network, key, count, architecture)
    try:
        block_lr_weights(network, architecture)
    except LrWeightError as error:
        yield Problem(f"network.{error.key}", str(error))


def _numbers(
    network: Network, key: str, count: int, architecture: Architecture
) -> Iterator[Problem]:
    """One number for each of `count` places; ranks up to the highest."""
    values = getattr(network, key)
    path = f"network.{key}"
    option = option_at(path)
    label = option.label(architecture.id)
    if not values or not option.applies(architecture.id):
        return
    if len(values) != count:
        yield Problem(
            path,
            f"{label} needs {count} numbers for {architecture.label}; this list has {len(values)}.",
        )
    elif min(values) < 0:
        yield Problem(path, f"{label} has a number below 0; 0 leaves a place untouched.")
    elif key.endswith("_dims") and max(values) > HIGHEST_RANK:
        yield Problem(path, f"{label} has a rank above {HIGHEST_RANK}.")


def _selections(network: Network, architecture: Architecture) -> Iterator[Problem]:
    """Selections against the largest published model; the model at hand may have fewer blocks."""
    for key, count in architecture.block_counts.items():
        try:
            blocks_in(getattr(network, key), count)
        except ValueError as error:
            words = str(error)
            yield Problem(f"network.{key}", f"{words[0].upper()}{words[1:]}.")


def _patterns(network: Network) -> Iterator[Problem]:
    for key, read in PATTERN_READERS.items():
        for text in getattr(network, key) or ():
            try:
                read(text)
            except PatternError as error:
                yield Problem(f"network.{key}", str(error))
                break
