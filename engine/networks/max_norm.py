"""Max-norm regularization: no adapter's ΔW grows above a limit (spec: networks 1.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.networks.adapter import Adapter, part_rows
from engine.networks.variants.tucker import collapse


@dataclass(frozen=True)
class MaxNormReport:
    """How many adapters were scaled down, and the norms afterwards."""

    scaled: int
    mean: float
    max: float


@torch.no_grad()
def apply_max_norm(adapters: Sequence[Adapter], limit: float) -> MaxNormReport:
    """Scale every adapter whose ‖alpha/r · up·down‖ is above the limit down to it.

    Both factors take the root of the ratio; with a frozen `down`, `up` takes all of it. The parts
    of a split adapter are measured and scaled by themselves. Norms are those before DoRA, floored
    at half the limit, as sd-scripts reports them. All are fetched at once: one wait for the device.
    """
    if not adapters:
        return MaxNormReport(0, 0.0, 0.0)
    norms = torch.cat([norms_of(a) for a in adapters]).tolist()
    scaled, factors, after = [], [], []
    above = 0
    number = 0
    for adapter in adapters:
        for down, up in _scaled_of(adapter):
            norm = max(norms[number], limit / 2)
            number += 1
            ratio = min(norm, limit) / norm
            after.append(norm * ratio)
            if ratio == 1:
                continue
            above += 1
            if adapter.kinds.frozen_down:
                scaled.append(up)
                factors.append(ratio)
            else:
                scaled += [down, up]
                factors += [ratio**0.5] * 2
    if scaled:
        torch._foreach_mul_(scaled, factors)  # pyright: ignore[reportPrivateImportUsage]
    return MaxNormReport(above, sum(after) / len(after), max(after))


def norm_of(adapter: Adapter) -> Tensor:
    """Return ‖alpha/r · up·down‖ of a whole site, 0-d."""
    return norms_of(adapter).square().sum().sqrt()


@torch.no_grad()
def norms_of(adapter: Adapter) -> Tensor:
    """Return ‖alpha/r · up·down‖ of each part, (parts,), without the full-size product.

    ‖BA‖² = Σ (BᵀB) ∘ (AAᵀ), for any kernel, flattened (adapter-performance 5).
    """
    pairs = _scaled_of(adapter)
    squares = []
    for down, up in pairs:
        if adapter.mid is not None:
            down = collapse(adapter.mid, down)
        down, up = down.float().flatten(1), up.float().flatten(1)
        squares.append(((up.t() @ up) * (down @ down.t())).sum())
    norms = torch.stack(squares).clamp(min=0).sqrt() * (adapter.alpha / adapter.rank)
    return norms if adapter.scalar is None else norms * adapter.scalar.abs()


def _scaled_of(adapter: Adapter) -> list[tuple[Tensor, Tensor]]:
    """Return the pairs of factors that are measured and scaled by themselves."""
    if adapter.parts == 1:
        return [(adapter.down, adapter.up)]
    rank = adapter.rank
    return [
        (adapter.down[part * rank : (part + 1) * rank], adapter.up[start:stop])
        for part, (start, stop) in enumerate(part_rows(adapter.site))
    ]
