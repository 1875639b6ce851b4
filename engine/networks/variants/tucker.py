"""Tucker convolutions: `down` and `up` are 1×1, a small third factor has the kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.plan.site import Site


def has_kernel(site: Site) -> bool:
    """Say whether a site can have the third factor: a kernel larger than 1×1."""
    return site.kind == "conv" and site.kernel != (1, 1)


def mid_shape(site: Site, rank: int) -> tuple[int, ...]:
    """Return the shape of `lora_mid.weight` (spec: networks 5.1)."""
    return (rank, rank, *site.kernel)


def collapse(mid: Tensor, down: Tensor) -> Tensor:
    """Join the two inner factors into the `down` of a plain convolution.

    down'[i, c, y, x] = Σ_j mid[i, j, y, x] · down[j, c]: exact, and r/O of the host's own work.

    Args:
        mid: (r, r, k, k).
        down: (r, c, 1, 1).

    Returns:
        (r, c, k, k).
    """
    return torch.einsum("ijyx,jc->icyx", mid, down.flatten(1))
