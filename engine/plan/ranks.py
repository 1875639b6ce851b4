"""From the options of `[network]` to rank, alpha and learning rate of each site (networks 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.plan.family_ranks import FamilyRanks
from engine.plan.matching import ValuesByPattern
from engine.plan.selection import COMPONENTS_OF, Selection
from engine.plan.site import TEXT_ENCODERS, Placement, Site
from engine.schema.architectures import ARCHITECTURES, Architecture
from engine.schema.lr_weights import block_lr_weights
from engine.schema.network import Network

FileRanks = Mapping[str, tuple[int, float]]
"""Adapter name → rank and alpha, as a file has them."""


_T = TypeVar("_T")


@dataclass(frozen=True)
class _Blocks:
    """Rank and alpha of every block, for the linear layers and for the 3×3 ones."""

    dims: list[int]
    alphas: list[float]
    conv_dims: list[int] | None  # None: 3×3 layers and the resnets' linear ones are not trained
    conv_alphas: list[float]
    lr_weights: list[float] | None


def place(
    network: Network,
    sites: Sequence[Site],
    architecture: str,
    file_ranks: FileRanks | None = None,
) -> tuple[Placement, ...]:
    """Give every site that is trained its numbers, in the order of `sites`.

    A site at rank 0, or whose learning rate is 0 by a pattern or a block's weight, gets no
    placement; an alpha of 0 is the rank. Ranks by pattern decide over ranks by family and over
    selected blocks, and these over the plain rank. `file_ranks` (option "ranks of that file")
    decides over everything: adapters absent from the file are not made, and all that it has are
    trained whatever the options say of families.

    Raises:
        OptionError: for a pattern, a selection of blocks or a weight that cannot be used here.
    """
    about = ARCHITECTURES[architecture]
    selection = Selection(network, architecture)
    blocks = _blocks(network, about)
    families = FamilyRanks(network, architecture, sites)
    ranks = ValuesByPattern("network_reg_dims", network.network_reg_dims or (), ranks=True)
    rates = ValuesByPattern("network_reg_lrs", network.network_reg_lrs or ())
    trained = COMPONENTS_OF[network.train]
    several = len({s.component for s in sites}.intersection(TEXT_ENCODERS)) > 1
    placements = []
    for site in sites:
        if file_ranks is not None:
            rank, alpha = file_ranks.get(site.name, (0, 0.0))
            if site.component not in trained:
                continue
        elif selection.holds(site):
            rank, alpha = _rank_and_alpha(network, blocks, families, ranks, site)
        else:
            continue
        weight = _lr_weight(blocks, site)
        rule = rates.first(site) if rank else None
        rate = None if rule is None else rates.values[rule]
        if rank == 0 or weight == 0.0 or rate == 0.0:
            continue
        group = _group(blocks, site, several, rule)
        if network.rs_lora and file_ranks is None and site.kind != "norm":
            alpha = (alpha or rank) * rank**0.5  # what readers divide by the rank
        split = _parts(site) if network.split_qkv else 1
        if file_ranks is not None and split > 1:
            rank, alpha = _of_part(rank, alpha, split)
        placements.append(Placement(site, rank, alpha or float(rank), weight, group, rate, split))
    return tuple(placements)


def _parts(site: Site) -> int:
    """How many modules a fused layer lies in."""
    return len({segment.module for segment in site.segments})


def _of_part(rank: int, alpha: float, split: int) -> tuple[int, float]:
    """Rank and alpha of a split layer's part: a file holds n times both (spec: networks 6)."""
    return (rank // split, alpha / split) if rank % split == 0 else (rank, alpha)


def _blocks(network: Network, architecture: Architecture) -> _Blocks:
    count = len(architecture.blocks)
    conv = network.conv_dim is not None or network.conv_block_dims is not None
    conv_alpha = 1.0 if network.conv_alpha is None else network.conv_alpha
    return _Blocks(
        dims=_filled(network.block_dims, network.rank, count),
        alphas=_filled(network.block_alphas, network.alpha, count),
        conv_dims=_filled(network.conv_block_dims, network.conv_dim or 0, count) if conv else None,
        conv_alphas=_filled(network.conv_block_alphas, conv_alpha, count),
        lr_weights=block_lr_weights(network, architecture),
    )


def _filled(values: list[_T] | None, default: _T, count: int) -> list[_T]:
    """The list, or the default for every block; a list of wrong length keeps to the default."""
    return values if values is not None and len(values) == count else [default] * count


def _rank_and_alpha(
    network: Network,
    blocks: _Blocks,
    families: FamilyRanks,
    ranks: ValuesByPattern,
    site: Site,
) -> tuple[int, float]:
    if site.kind == "norm":
        return 0 if families.of(site) == 0 else _norm_rank(blocks, site), 1.0
    rule = ranks.first(site)
    if rule is not None:
        return int(ranks.values[rule]), network.alpha
    if site.component != "denoiser":
        return network.rank, network.alpha
    own = families.of(site)
    if own is not None or site.block is None or not blocks.dims:
        return network.rank if own is None else own, network.alpha
    if site.kernel != (1, 1) and blocks.conv_dims is not None:
        return blocks.conv_dims[site.block], blocks.conv_alphas[site.block]
    return blocks.dims[site.block], blocks.alphas[site.block]


def _norm_rank(blocks: _Blocks, site: Site) -> int:
    """1 for a norm in a block that is trained, else 0."""
    if site.block is None or not blocks.dims:
        return 1
    conv = blocks.conv_dims[site.block] if blocks.conv_dims is not None else 0
    return int(bool(blocks.dims[site.block] or conv))


def _lr_weight(blocks: _Blocks, site: Site) -> float:
    if site.block is None or blocks.lr_weights is None:
        return 1.0
    return blocks.lr_weights[site.block]


def _group(blocks: _Blocks, site: Site, several: bool, rule: int | None) -> str:
    """The name of the parameter group, as curves and logs show it (spec: networks 1.7)."""
    if site.component in TEXT_ENCODERS:
        number = TEXT_ENCODERS.index(site.component) + 1
        name = f"textencoder{number}" if several else "textencoder"
    elif site.block is None or blocks.lr_weights is None:
        name = "unet"
    else:
        name = f"unet_block{site.block}"
    return name if rule is None else f"{name}_reg_lr_{rule}"
