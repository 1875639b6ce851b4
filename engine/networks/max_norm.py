"""Max-norm regularization: no adapter's ΔW grows above a limit (spec: networks 1.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.networks.adapter import Adapter


@dataclass(frozen=True)
class MaxNormReport:
    """How many adapters were scaled down, and the norms afterwards."""

    scaled: int
    mean: float
    max: float


@torch.no_grad()
def apply_max_norm(adapters: Sequence[Adapter], limit: float) -> MaxNormReport:
    """Scale both factors of every adapter whose ‖alpha/r · up·down‖ is above the limit.

    Norms are floored at half the limit, as sd-scripts reports them. All are fetched at once: one
    wait for the device.
    """
    if not adapters:
        return MaxNormReport(0, 0.0, 0.0)
    norms = torch.stack([norm_of(a) for a in adapters]).tolist()
    scaled, factors, after = [], [], []
    for adapter, measured in zip(adapters, norms, strict=True):
        norm = max(measured, limit / 2)
        ratio = min(norm, limit) / norm
        after.append(norm * ratio)
        if ratio != 1:
            scaled += [adapter.down, adapter.up]
            factors += [ratio**0.5] * 2
    if scaled:
        torch._foreach_mul_(scaled, factors)  # pyright: ignore[reportPrivateImportUsage]
    return MaxNormReport(len(scaled) // 2, sum(after) / len(after), max(after))


def norm_of(adapter: Adapter) -> Tensor:
    """Return ‖alpha/r · up·down‖ from two r×r matrices, without the full-size product.

    ‖BA‖² = Σ (BᵀB) ∘ (AAᵀ), for any kernel, flattened (adapter-performance 5).
    """
    down, up = adapter.down.float().flatten(1), adapter.up.float().flatten(1)
    square = ((up.t() @ up) * (down @ down.t())).sum()
    return square.clamp(min=0).sqrt() * (adapter.alpha / adapter.rank)
