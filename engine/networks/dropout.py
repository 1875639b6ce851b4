"""Dropout of an adapter: drawn once for a forward, shared by the parts of a fused layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.networks.adapter import Adapter


@dataclass(frozen=True)
class Dropouts:
    """Chances in [0, 1) that something is switched off while training (spec: networks 1.5)."""

    neuron: float = 0.0
    rank: float = 0.0
    module: float = 0.0


NO_DROPOUT = Dropouts()


@dataclass(frozen=True)
class Drawn:
    """What came of a draw: the module skipped, or what down(x) is multiplied with, in its shape."""

    skipped: bool
    mask: Tensor | None


class Draw:
    """The dropout of one forward, shared by the parts of a fused adapter.

    The first part called draws; a part that is called a second time starts a new draw. Nothing is
    keyed by the input: equal inputs may come as different tensors, and recomputation under
    activation checkpointing may stop before the last part (spec: networks 1.9). Split parts share
    only the decision to skip the module (spec: networks 6).
    """

    def __init__(self, hosts: int) -> None:
        self._hosts = hosts
        self._drawn: Drawn | None = None
        self._used: set[int] = set()

    def of(self, part: int, adapter: Adapter, x: Tensor) -> Drawn:
        """Return the draw for a part's call with x, the host's input; a new one when it is due."""
        if self._drawn is None or part in self._used:
            self._drawn, self._used = _draw(adapter, x), set()
        elif adapter.parts > 1 and not self._drawn.skipped:
            self._drawn = Drawn(False, _mask(adapter, x))
        self._used.add(part)
        drawn = self._drawn
        if len(self._used) == self._hosts:
            self._drawn = None
        return drawn


def _draw(adapter: Adapter, x: Tensor) -> Drawn:
    """Draw module, neuron and rank dropout, in this order (spec: networks 1.5)."""
    chance = adapter.dropouts.module
    if chance and torch.rand(()).item() < chance:
        return Drawn(True, None)
    return Drawn(False, _mask(adapter, x))


def _mask(adapter: Adapter, x: Tensor) -> Tensor | None:
    """Draw what down(x) is multiplied with; survivors are raised to keep the mean."""
    dropouts = adapter.dropouts
    shape = _hidden_shape(adapter, x)
    mask = None
    if dropouts.neuron:
        keep = 1 - dropouts.neuron
        mask = torch.empty(shape, device=x.device).bernoulli_(keep).div_(keep)
    if dropouts.rank:
        u = torch.rand(x.shape[0], adapter.rank, device=x.device)
        ones = (1,) * (len(shape) - 2)
        middle = (x.shape[0], adapter.rank, *ones)
        if adapter.site.kind != "conv":
            middle = (x.shape[0], *ones, adapter.rank)
        ranks = (u > dropouts.rank).float().div_(1 - dropouts.rank).view(middle).expand(shape)
        mask = ranks if mask is None else mask * ranks
    return mask


def _hidden_shape(adapter: Adapter, x: Tensor) -> tuple[int, ...]:
    """Return the shape of down(x)."""
    site = adapter.site
    if site.kind != "conv":
        return (*x.shape[:-1], adapter.rank)
    sides = [
        (side + 2 * pad - kernel) // stride + 1
        for side, pad, kernel, stride in zip(
            x.shape[2:], site.padding, site.kernel, site.stride, strict=True
        )
    ]
    return (x.shape[0], adapter.rank, *sides)
