"""One adapter: the factors of a site, and what its variants make of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from engine.networks.dropout import NO_DROPOUT, Draw, Dropouts
from engine.networks.variants import dora, split, tucker
from engine.networks.variants.dora import Magnitude
from engine.networks.variants.dylora import Units, transposed_up
from engine.networks.variants.ggpo import WeightNoise
from engine.networks.variants.kinds import PLAIN, Kinds
from engine.plan.keys import key
from engine.plan.site import Placement, Segment, Site


@dataclass(frozen=True)
class Term:
    """What an adapter adds to a host in one call: `scale · up(down(x) ∘ mask)`.

    With a magnitude the scale is alpha / rank, whatever the strength: that is in the magnitude.
    `noise` is a weight of the host's shape that x is multiplied with beside all that.
    """

    down: Tensor
    up: Tensor
    scale: float
    mask: Tensor | None
    magnitude: Magnitude | None = None
    noise: Tensor | None = None


class Adapter(nn.Module):
    """The factors of one site.

    `down` is (r, I) or (r, c, k, k), `up` (O, r) or (O, r, 1, 1), as they stand in the file. A site
    with several segments (a fused q/k/v) has one `down`; each host gets its rows of `up`. The
    variants are few: `mid` and `scalar` go into the factors, `dora_scale` into the host's output,
    `units` and `noise` into the passes of training.

    Attributes:
        site: the place.
        rank, alpha: the scale is alpha / rank (spec: networks 1.3).
        kinds: which variants it has.
        parts: 1, or how many factors of their own a fused layer's parts have (`split`).
        weight: how strongly the adapter acts, 1 in training.
        lr_factor, group, rate: of its placement, for the optimizer's parameter groups.
    """

    mid: nn.Parameter | None
    scalar: nn.Parameter | None
    dora_scale: nn.Parameter | None
    square: Tensor | None

    def __init__(
        self, placement: Placement, dropouts: Dropouts = NO_DROPOUT, kinds: Kinds = PLAIN
    ) -> None:
        super().__init__()
        site, rank = placement.site, placement.rank
        self.site = site
        self._spans = row_spans(site)
        self.rank = rank
        self.alpha = placement.alpha
        self.lr_factor = placement.lr_factor
        self.group = placement.group
        self.rate = placement.rate
        self.dropouts = dropouts
        self.kinds = kinds
        self.parts = placement.split
        self.weight = 1.0
        has_mid = kinds.tucker and tucker.has_kernel(site)
        down = down_shape(site, rank * self.parts, flat=has_mid)
        self.down = nn.Parameter(torch.empty(down), requires_grad=not kinds.frozen_down)
        up = up_shape(site, rank)
        self.up = nn.Parameter(transposed_up(up) if kinds.unit else torch.zeros(up))
        self.mid = nn.Parameter(torch.empty(tucker.mid_shape(site, rank))) if has_mid else None
        self.scalar = nn.Parameter(torch.zeros(())) if kinds.scalar else None
        self.dora_scale = None
        if kinds.dora is not None:
            self.dora_scale = nn.Parameter(torch.ones(dora.magnitude_shape(site, kinds.dora)))
        self.register_buffer("square", None, persistent=False)
        self.units = Units(rank, kinds.unit, kinds.truncating) if kinds.unit else None
        self.noise = WeightNoise(site.rows, *kinds.ggpo) if kinds.ggpo is not None else None
        self._draw = Draw(len(host_segments(site)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast; magnitudes, norms and other small numbers are never rounded.

        In bf16 a magnitude and the norm it is divided by would differ by 0.4 % from the start.
        """
        further = [t for m in (self.units, self.noise) if m is not None for t in m.buffers()]
        exact = {id(t) for t in (self.dora_scale, self.square, *further) if t is not None}

        def careful(tensor: Tensor) -> Tensor:
            applied = fn(tensor)
            narrower = applied.element_size() < tensor.element_size()
            return tensor.to(applied.device) if id(tensor) in exact and narrower else applied

        return super()._apply(careful, recurse)

    def init(self, seed: int) -> None:
        """Draw the first values so that nothing is added at first.

        The numbers depend on the seed and the adapter's name alone. `down` and `mid` come from
        ±1/√fan_in and `up` is zero; with a scalar, which is zero, `up` is drawn too; LoRA-FA's
        `down` is normal (spec: networks 1.4, 4.8, 5.1, 5.3).
        """
        with torch.no_grad():
            if self.kinds.frozen_down:
                deviation = math.sqrt(2 / (self.site.columns + self.rank))
                generator = torch.Generator().manual_seed(key(seed, "init", self.site.name))
                drawn = torch.empty(self.down.shape).normal_(0, deviation, generator=generator)
                self.down.copy_(drawn)
            else:
                self._draw_uniform(self.down, seed, "init")
            if self.mid is not None:
                self._draw_uniform(self.mid, seed, "init mid")
            self.up.zero_()
            if self.scalar is not None:
                self.scalar.zero_()
                self._draw_uniform(self.up, seed, "init up")

    def _draw_uniform(self, factor: Tensor, seed: int, purpose: str) -> None:
        """Kaiming-uniform with a = √5: ±1/√fan_in."""
        generator = torch.Generator().manual_seed(key(seed, purpose, self.site.name))
        bound = 1 / math.sqrt(factor[0].numel())
        factor.copy_(torch.rand(factor.shape, generator=generator).mul_(2 * bound).sub_(bound))

    @torch.no_grad()
    def meet(self, hosts: Sequence[nn.Module]) -> None:
        """Measure the hosts, in the order of `host_segments`, where a variant needs it.

        Raises:
            AdapterProblem: DoRA by input on a weight that cannot be read.
        """
        axis = self.kinds.dora
        if axis is None and self.noise is None:
            return
        measured = [dora.squares(host, axis or "output", self.site.columns) for host in hosts]
        whole = measured[0] if axis == "input" else self._by_site_rows(measured)
        if axis is not None:
            self.square = whole
        if self.noise is not None:
            self.noise.meet(whole.sqrt(), self.site.name)

    @torch.no_grad()
    def start_magnitude(self) -> None:
        """Let DoRA start as the base model's own norms: nothing is added at first."""
        if self.dora_scale is not None and self.square is not None:
            self.dora_scale.copy_(self.square.sqrt().view(self.dora_scale.shape))

    def optimizer_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return what the optimizer gets: LoRA+'s faster `up` factors, and before them the rest.

        With DyLoRA these are views of the factors, one for each unit.
        """
        further = [p for p in (self.mid, self.scalar, self.dora_scale) if p is not None]
        if self.units is not None:
            downs, ups = self.units.parameters_of(self.down, self.up)
            return [*downs, *further], ups
        downs = [] if self.kinds.frozen_down else [self.down]
        return [*downs, *further], [self.up]

    def set_trained(self, trained: bool) -> None:
        """Ask for gradients or not; LoRA-FA's `down` never does."""
        self.requires_grad_(trained)
        if self.kinds.frozen_down:
            self.down.requires_grad_(False)

    def _by_site_rows(self, measured: Sequence[Tensor]) -> Tensor:
        """Bring numbers of the hosts' rows into the order of the site's rows."""
        whole = measured[0].new_zeros(self.site.rows)
        for segments, numbers in zip(host_segments(self.site), measured, strict=True):
            for segment in segments:
                whole[slice(*segment.source)] = numbers[slice(*segment.target)]
        return whole

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
        mask = None
        if self.training and self.dropouts != NO_DROPOUT:
            drawn = self._draw.of(part, self, x)
            if drawn.skipped:
                return None
            mask = drawn.mask
        down, up = self.factors(part)
        noise = self._noise_of(part, down, x) if self.noise is not None and self.training else None
        if self.dora_scale is None:
            return Term(down, up, self.scale, mask, None, noise)
        return Term(down, up, self.alpha / self.rank, mask, self.magnitude(part), noise)

    def factors(self, part: int) -> tuple[Tensor, Tensor]:
        """Return `down` (r, …) and one host's rows of `up`, with all variants in them."""
        down, up = self.down, self.up
        if self.units is not None and self.training:
            down, up = self.units.gated(down, up)
        if self.mid is not None:
            down = tucker.collapse(self.mid, down)
        if self.parts > 1:
            down = down[part * self.rank : (part + 1) * self.rank]
        up = self._rows_of(part, up)
        if self.scalar is not None:
            up = up * self.scalar
        return down, up

    def magnitude(self, part: int) -> Magnitude | None:
        """Return one host's rows of DoRA's magnitude."""
        if self.dora_scale is None or self.kinds.dora is None:
            return None
        assert self.square is not None, "the hosts have not been measured"
        values, square = self.dora_scale.flatten(), self.square
        if self.kinds.dora == "output":
            values, square = self._rows_of(part, values), self._rows_of(part, square)
        return Magnitude(self.kinds.dora, values, square, self.weight)

    def _rows_of(self, part: int, whole: Tensor) -> Tensor:
        """Return the rows of a site's tensor that belong to one host, in the host's own order."""
        spans = self._spans[part]
        if spans is None:
            return whole
        if len(spans) == 1:
            return whole[spans[0][0] : spans[0][1]]
        return torch.cat([whole[start:stop] for start, stop in spans])

    def _noise_of(self, part: int, down: Tensor, x: Tensor) -> Tensor:
        """Draw one host's weight noise."""
        assert self.noise is not None
        strengths = self._rows_of(part, self.noise.strengths())
        return self.noise.draw(strengths, down.shape[1:], x)

    @torch.no_grad()
    def measure_noise(self, gradient_scale: float) -> None:
        """Let GGPO take the norms of this step's factors and gradients."""
        up = self.up.grad
        if self.noise is None or up is None:
            return
        down = torch.zeros_like(self.down) if self.down.grad is None else self.down.grad
        self.noise.measure(
            self.down.flatten(1), self.up.flatten(1), down.flatten(1) / gradient_scale,
            up.flatten(1) / gradient_scale, self.alpha / self.rank,
        )  # fmt: skip

    def whole_factors(self) -> tuple[Tensor, Tensor]:
        """Return detached `down` (R, I, …) and `up` (O, R, …) of the whole site, float32.

        All variants but DoRA are in them; R is n·r for split parts. alpha/r · up·down is ΔW.
        """
        down, up = self.down.detach().float(), self.up.detach().float()
        if self.mid is not None:
            down = tucker.collapse(self.mid.detach().float(), down)
        if self.scalar is not None:
            up = up * self.scalar.detach().float()
        if self.parts > 1:
            up = split.block_diagonal(up, part_rows(self.site))
        return down, up

    def delta(self) -> Tensor:
        """Return alpha/r · up·down of the whole site as (O, I·k·k), float32, without weight.

        It is what stands before DoRA.
        """
        down, up = self.whole_factors()
        return (up.flatten(1) @ down.flatten(1)).mul_(self.alpha / self.rank)

    @torch.no_grad()
    def merged(self, part: int, weight: Tensor) -> Tensor:
        """Return one host's weight with this adapter in it at its strength, float32."""
        segments = host_segments(self.site)[part]
        delta = self.delta()
        rows = torch.cat([delta[s.source[0] : s.source[1]] for s in segments])
        rows = rows.view(weight.shape).to(weight.device)
        magnitude = self.magnitude(part)
        if self.weight == 0:
            return weight.float()
        if magnitude is None:
            return weight.float() + self.weight * rows
        return dora.decomposed(magnitude, weight.float() + rows)


def down_shape(site: Site, rank: int, *, flat: bool = False) -> tuple[int, ...]:
    """Return the shape of `lora_down.weight` (spec: networks 1.2); `flat` with a Tucker factor."""
    if site.kind != "conv":
        return (rank, site.columns)
    return (rank, site.columns, 1, 1) if flat else (rank, site.columns, *site.kernel)


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


def row_spans(site: Site) -> tuple[tuple[tuple[int, int], ...] | None, ...]:
    """Return each host's rows of a site's tensors, in the order of `host_segments`.

    None stands for all rows as they are. A compiled block depends on these numbers and on no
    module's name, so that one graph serves all blocks of a kind.
    """
    each = [tuple(s.source for s in segments) for segments in host_segments(site)]
    return tuple(None if spans == ((0, site.rows),) else spans for spans in each)


def part_rows(site: Site) -> list[split.Rows]:
    """Return the rows of a fused site that each of its hosts has; each is one piece."""
    return [segments[0].source for segments in host_segments(site)]
