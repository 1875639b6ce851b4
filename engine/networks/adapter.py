"""One adapter: the two factors of a site, in the file's layout, and what dropout does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.plan.keys import key
from engine.plan.site import Placement, Segment, Site


@dataclass(frozen=True)
class Dropouts:
    """Chances in [0, 1) that something is switched off while training (spec: networks 1.5)."""

    neuron: float = 0.0
    rank: float = 0.0
    module: float = 0.0


@dataclass(frozen=True)
class Term:
    """What an adapter adds to a host in one call: `scale · up(down(x) ∘ mask)`."""

    down: Tensor
    up: Tensor
    scale: float
    mask: Tensor | None


class Adapter(nn.Module):
    """The factors of one site.

    `down` is (r, I) or (r, c, k, k), `up` (O, r) or (O, r, 1, 1), as they stand in the file. A site
    with several segments (a fused q/k/v) has one `down`; each host gets its rows of `up`.

    Attributes:
        site: the place.
        rank, alpha: the scale is alpha / rank (spec: networks 1.3).
        weight: how strongly the adapter acts, 1 in training.
        lr_factor, group: of its placement, for the optimizer's parameter groups.
    """

    def __init__(self, placement: Placement, dropouts: Dropouts = Dropouts()) -> None:
        super().__init__()
        site = placement.site
        self.site = site
        self.rank = placement.rank
        self.alpha = placement.alpha
        self.lr_factor = placement.lr_factor
        self.group = placement.group
        self.dropouts = dropouts
        self.weight = 1.0
        self.down = nn.Parameter(torch.empty(down_shape(site, self.rank)))
        self.up = nn.Parameter(torch.zeros(up_shape(site, self.rank)))
        self._draw = _Draw()

    def init(self, seed: int) -> None:
        """Draw `down` from ±1/√fan_in and set `up` to zero: nothing is added at first.

        The numbers depend on the seed and the adapter's name alone (spec: networks 1.4).
        """
        generator = torch.Generator().manual_seed(key(seed, "init", self.site.name))
        bound = 1 / math.sqrt(self.down[0].numel())
        drawn = torch.rand(self.down.shape, generator=generator).mul_(2 * bound).sub_(bound)
        with torch.no_grad():
            self.down.copy_(drawn)
            self.up.zero_()

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied with, weight included."""
        return self.weight * self.alpha / self.rank

    def term(self, part: int, x: Tensor) -> Term | None:
        """Return what this call adds to the host of the given part; None for nothing.

        Args:
            part: index into `host_segments(site)`.
            x: the host's input: (..., I), or (b, c, h, w) for a convolution.
        """
        if self.weight == 0:
            return None
        scale, mask = self.scale, None
        if self.training and self.dropouts != Dropouts():
            drawn = self._draw.of(part, self, x)
            if drawn.skipped:
                return None
            mask = drawn.mask
            scale /= 1 - self.dropouts.rank
        return Term(self.down, self.up_rows(part), scale, mask)

    def up_rows(self, part: int) -> Tensor:
        """Return the rows of `up` that belong to one host, in the host's own order."""
        segments = host_segments(self.site)[part]
        if len(segments) == 1:
            start, stop = segments[0].source
            return self.up if stop - start == self.site.rows else self.up[start:stop]
        return torch.cat([self.up[s.source[0] : s.source[1]] for s in segments])

    def delta(self) -> Tensor:
        """Return alpha/r · up·down of the whole site as (O, I·k·k), float32, without weight."""
        up, down = self.up.detach().float().flatten(1), self.down.detach().float().flatten(1)
        return (up @ down).mul_(self.alpha / self.rank)


def down_shape(site: Site, rank: int) -> tuple[int, ...]:
    """Return the shape of `lora_down.weight` (spec: networks 1.2)."""
    is_conv = site.kind == "conv"
    return (rank, site.columns, *site.kernel) if is_conv else (rank, site.columns)


def up_shape(site: Site, rank: int) -> tuple[int, ...]:
    """Return the shape of `lora_up.weight` (spec: networks 1.2)."""
    return (site.rows, rank, 1, 1) if site.kind == "conv" else (site.rows, rank)


def host_segments(site: Site) -> list[tuple[Segment, ...]]:
    """Group a site's segments by module, each group in the order of the module's rows.

    Two segments on one module are a swap of its halves (spec: networks 1.9).
    """
    groups: dict[str, list[Segment]] = {}
    for segment in site.segments:
        groups.setdefault(segment.module, []).append(segment)
    return [tuple(sorted(g, key=lambda s: s.target)) for g in groups.values()]


@dataclass(frozen=True)
class _Drawn:
    skipped: bool
    mask: Tensor | None


class _Draw:
    """The dropout of one forward, shared by the parts of a fused adapter.

    The first part called draws; a part that is called a second time starts a new draw. Nothing is
    keyed by the input: equal inputs may come as different tensors, and recomputation under
    activation checkpointing may stop before the last part (spec: networks 1.9).
    """

    def __init__(self) -> None:
        self._drawn: _Drawn | None = None
        self._used: set[int] = set()

    def of(self, part: int, adapter: Adapter, x: Tensor) -> _Drawn:
        if self._drawn is None or part in self._used:
            self._drawn, self._used = _draw(adapter, x), set()
        self._used.add(part)
        drawn = self._drawn
        if len(self._used) == len(host_segments(adapter.site)):
            self._drawn = None
        return drawn


def _draw(adapter: Adapter, x: Tensor) -> _Drawn:
    """Draw module, neuron and rank dropout, in this order (spec: networks 1.5)."""
    dropouts = adapter.dropouts
    if dropouts.module and torch.rand(()).item() < dropouts.module:
        return _Drawn(True, None)
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
        ranks = (u > dropouts.rank).float().view(middle).expand(shape)
        mask = ranks if mask is None else mask * ranks
    return _Drawn(False, mask)


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
