"""Ranks, alphas and learning-rate weights of a U-Net's blocks (spec: networks 4.1)."""

from __future__ import annotations

from typing import TypeVar

from engine.plan.site import Site
from engine.schema.architectures import ARCHITECTURES
from engine.schema.lr_weights import block_lr_weights
from engine.schema.network import Network

_T = TypeVar("_T")


class BlockRanks:
    """The lists with a number for each block, read once; empty for a model without such blocks."""

    def __init__(self, network: Network, architecture: str) -> None:
        """Read the lists; one of wrong length counts as not given.

        Raises:
            LrWeightError: for learning-rate weights that cannot be read.
        """
        about = ARCHITECTURES[architecture]
        count = len(about.blocks)
        self._plain = network.rank, network.alpha
        self._dims = _filled(network.block_dims, network.rank, count)
        self._alphas = _filled(network.block_alphas, network.alpha, count)
        # None: neither the 3×3 layers nor the other ones of the resnets are trained.
        self._conv_dims: list[int] | None = None
        if network.conv_dim is not None or network.conv_block_dims is not None:
            self._conv_dims = _filled(network.conv_block_dims, network.conv_dim or 0, count)
        conv_alpha = 1.0 if network.conv_alpha is None else network.conv_alpha
        self._conv_alphas = _filled(network.conv_block_alphas, conv_alpha, count)
        self.weights = block_lr_weights(network, about)

    def of(self, site: Site) -> tuple[int, float]:
        """Rank and alpha of a site's block, or the plain ones outside of blocks."""
        if site.block is None or not self._dims:
            return self._plain
        if site.kernel != (1, 1) and self._conv_dims is not None:
            return self._conv_dims[site.block], self._conv_alphas[site.block]
        return self._dims[site.block], self._alphas[site.block]

    def trains(self, site: Site) -> bool:
        """Say whether anything is trained in the site's block."""
        if site.block is None or not self._dims:
            return True
        conv = self._conv_dims[site.block] if self._conv_dims is not None else 0
        return bool(self._dims[site.block] or conv)

    def weight(self, site: Site) -> float:
        """The learning-rate weight of the site's block."""
        if site.block is None or self.weights is None:
            return 1.0
        return self.weights[site.block]


def _filled(values: list[_T] | None, default: _T, count: int) -> list[_T]:
    return values if values is not None and len(values) == count else [default] * count
