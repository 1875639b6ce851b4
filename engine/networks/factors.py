"""Factors read from somewhere, fitted to the rank, alpha and shape that an adapter has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.networks.adapter import Adapter, down_shape, up_shape
from engine.networks.problem import AdapterProblem
from engine.plan.site import Site


@dataclass(frozen=True)
class Factors:
    """One adapter as a file holds it; `down`'s rows are the rank."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """How many directions there are."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """What the product is multiplied with."""
        return self.alpha / self.rank


def fit_shape(factors: Factors, site: Site) -> Factors:
    """Bring 2-D and 4-D spellings of a 1×1 layer to the site's own (spec: networks 1.2).

    Raises:
        AdapterProblem: if the sizes are another layer's.
    """
    down = _as(factors.down, down_shape(site, factors.rank))
    up = _as(factors.up, up_shape(site, factors.rank))
    if down is None or up is None:
        raise AdapterProblem(
            f"{site.name} has the shapes {tuple(factors.down.shape)} and "
            f"{tuple(factors.up.shape)}; this model's layer is {site.columns} → {site.rows}. The "
            "file is for another model."
        )
    return Factors(down, up, factors.alpha)


def load_into(adapter: Adapter, factors: Factors) -> float:
    """Copy factors into an adapter so that alpha/r · up·down stays what it was.

    With another alpha, `up` takes the difference; with a larger rank, the further directions start
    as new ones; with a smaller rank, the strongest directions are kept (spec: networks 1.10, Q30).

    Returns:
        The share of the squared norm that is kept: 1 unless directions had to go.
    """
    factors = fit_shape(factors, adapter.site)
    kept = 1.0
    if factors.rank > adapter.rank:
        factors, kept = strongest(factors, adapter.rank)
    ratio = factors.scale / (adapter.alpha / adapter.rank)
    rank = factors.rank
    with torch.no_grad():
        adapter.down[:rank].copy_(factors.down)
        up = factors.up.float()
        adapter.up[:, :rank].copy_(up if ratio == 1 else up * ratio)
        adapter.up[:, rank:].zero_()
    return kept


def strongest(factors: Factors, rank: int) -> tuple[Factors, float]:
    """Keep the strongest directions, by the singular values of up·down.

    Computed on the two small triangular factors, never on the full-size product.

    Returns:
        Factors of the given rank and the same scale, and the share of the squared norm kept.
    """
    down, up = factors.down.double().flatten(1), factors.up.double().flatten(1)
    q_up, r_up = torch.linalg.qr(up)
    q_down, r_down = torch.linalg.qr(down.t())
    u, sigma, v = torch.linalg.svd(r_up @ r_down.t())
    root = sigma[:rank].sqrt()
    new_up = (q_up @ u[:, :rank]) * root
    new_down = root[:, None] * (v[:rank] @ q_down.t())
    total = sigma.square().sum().item()
    kept = sigma[:rank].square().sum().item() / total if total else 1.0
    shaped = Factors(
        new_down.float().view(rank, *factors.down.shape[1:]),
        new_up.float().view(factors.up.shape[0], rank, *factors.up.shape[2:]),
        factors.scale * rank,
    )
    return shaped, kept


def _as(tensor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    if tuple(tensor.shape) == shape:
        return tensor
    same = tensor.numel() == torch.Size(shape).numel() and tensor.shape[:2] == shape[:2]
    return tensor.reshape(shape) if same else None
