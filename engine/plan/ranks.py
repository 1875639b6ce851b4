"""From the options of `[network]` to rank, alpha and learning rate of each site (networks 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from engine.plan.site import Placement, Site
from engine.schema.architectures import ARCHITECTURES, Architecture
from engine.schema.lr_weights import block_lr_weights
from engine.schema.network import Network

COMPONENTS_OF = {
    "both": ("denoiser", "text_encoder", "text_encoder_2", "text_encoder_3", "text_conditioner"),
    "denoiser": ("denoiser",),
    "text_encoder": ("text_encoder", "text_encoder_2", "text_encoder_3", "text_conditioner"),
}
"""`network.train` → the components that get adapters."""

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
    sites: Iterable[Site],
    architecture: str,
    file_ranks: FileRanks | None = None,
) -> tuple[Placement, ...]:
    """Give every site that is trained its numbers, in the order of `sites`.

    A site at rank 0 gets no placement; an alpha of 0 is the rank. Block lists decide over the
    plain rank, and `file_ranks` (option "ranks of that file") over everything: adapters absent
    from the file are not made, and its conv layers are trained whatever the options say.

    Raises:
        LrWeightError: for learning-rate weights that cannot be read.
    """
    about = ARCHITECTURES[architecture]
    blocks = _blocks(network, about)
    trained = COMPONENTS_OF[network.train]
    placements = []
    for site in sites:
        if site.component not in trained:
            continue
        if file_ranks is not None:
            rank, alpha = file_ranks.get(site.name, (0, 0.0))
        else:
            rank, alpha = _rank_and_alpha(network, blocks, site)
        weight = _lr_weight(blocks, site)
        if rank == 0 or weight == 0.0:
            continue
        group = _group(blocks, site)
        placements.append(Placement(site, rank, alpha or float(rank), weight, group))
    return tuple(placements)


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


def _rank_and_alpha(network: Network, blocks: _Blocks, site: Site) -> tuple[int, float]:
    if site.block is None:
        return network.rank, network.alpha
    if not site.default and blocks.conv_dims is None:
        return 0, 0.0
    if site.kernel != (1, 1) and blocks.conv_dims is not None:
        return blocks.conv_dims[site.block], blocks.conv_alphas[site.block]
    return blocks.dims[site.block], blocks.alphas[site.block]


def _lr_weight(blocks: _Blocks, site: Site) -> float:
    if site.block is None or blocks.lr_weights is None:
        return 1.0
    return blocks.lr_weights[site.block]


def _group(blocks: _Blocks, site: Site) -> str:
    """The name of the parameter group, as curves and logs show it (spec: networks 1.7)."""
    if site.component != "denoiser":
        return site.component.replace("text_encoder", "textencoder").replace("_", "")
    if site.block is None or blocks.lr_weights is None:
        return "unet"
    return f"unet_block{site.block}"
