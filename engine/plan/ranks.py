"""From the options of `[network]` to rank, alpha and learning rate of each site (networks 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.plan.block_ranks import BlockRanks
from engine.plan.family_ranks import FamilyRanks
from engine.plan.matching import ValuesByPattern
from engine.plan.selection import COMPONENTS_OF, Selection
from engine.plan.site import TEXT_ENCODERS, Placement, Site
from engine.schema.network import Network

FileRanks = Mapping[str, tuple[int, float]]
"""Adapter name → rank and alpha, as a file has them."""


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
    selection = Selection(network, architecture)
    ranks = _Ranks(network, sites, architecture)
    rates = ValuesByPattern("network_reg_lrs", network.network_reg_lrs or ())
    several = len({s.component for s in sites}.intersection(TEXT_ENCODERS)) > 1
    placements = []
    for site in sites:
        rank, alpha = 0, 0.0
        if file_ranks is not None:
            if site.component in COMPONENTS_OF[network.train]:
                rank, alpha = file_ranks.get(site.name, (0, 0.0))
        elif selection.holds(site):
            rank, alpha = ranks.of(site)
        if rank == 0:
            continue
        rule = rates.first(site)
        rate = None if rule is None else rates.values[rule]
        weight = ranks.blocks.weight(site)
        if weight == 0.0 or rate == 0.0:
            continue
        group = _group(site, ranks.blocks.weights is not None, several, rule)
        split = _parts(site) if network.split_qkv else 1
        if file_ranks is not None and split > 1:
            rank, alpha = _of_part(rank, alpha, split)
        placements.append(Placement(site, rank, alpha or float(rank), weight, group, rate, split))
    return tuple(placements)


class _Ranks:
    """Ranks and alphas by the options: by pattern before family, family before block."""

    def __init__(self, network: Network, sites: Sequence[Site], architecture: str) -> None:
        self.blocks = BlockRanks(network, architecture)
        self._families = FamilyRanks(network, architecture, sites)
        pairs = network.network_reg_dims or ()
        self._patterns = ValuesByPattern("network_reg_dims", pairs, ranks=True)
        self._network = network

    def of(self, site: Site) -> tuple[int, float]:
        """The rank, 0 for none, and the alpha, 0 for the rank."""
        if site.kind == "norm":
            return int(self._trains(site)), 1.0
        rank, alpha = self._of_layer(site)
        if self._network.rs_lora:
            alpha = (alpha or rank) * rank**0.5  # what readers divide by the rank
        return rank, alpha

    def _trains(self, norm: Site) -> bool:
        """A norm is trained where the layers beside it have a rank; it has none itself."""
        rule = self._patterns.first(norm)
        if rule is not None:
            return self._patterns.values[rule] != 0
        return self._families.of(norm) != 0 and self.blocks.trains(norm)

    def _of_layer(self, site: Site) -> tuple[int, float]:
        rule = self._patterns.first(site)
        if rule is not None:
            return int(self._patterns.values[rule]), self._network.alpha
        if site.component != "denoiser":
            return self._network.rank, self._network.alpha
        own = self._families.of(site)
        return self.blocks.of(site) if own is None else (own, self._network.alpha)


def _parts(site: Site) -> int:
    """How many modules a fused layer lies in."""
    return len({segment.module for segment in site.segments})


def _of_part(rank: int, alpha: float, split: int) -> tuple[int, float]:
    """Rank and alpha of a split layer's part: a file holds n times both (spec: networks 6)."""
    return (rank // split, alpha / split) if rank % split == 0 else (rank, alpha)


def _group(site: Site, by_block: bool, several: bool, rule: int | None) -> str:
    """The name of the parameter group, as curves and logs show it (spec: networks 1.7)."""
    if site.component in TEXT_ENCODERS:
        number = TEXT_ENCODERS.index(site.component) + 1
        name = f"textencoder{number}" if several else "textencoder"
    elif site.block is not None and by_block:
        name = f"unet_block{site.block}"
    else:
        name = "unet"
    return name if rule is None else f"{name}_reg_lr_{rule}"
