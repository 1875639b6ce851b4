"""Factors read from somewhere, fitted to the rank, alpha, shape and variants of an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.networks.adapter import Adapter, down_shape, part_rows, up_shape
from engine.networks.problem import AdapterProblem
from engine.networks.variants import split, tucker
from engine.networks.variants.dora import magnitude_shape
from engine.networks.variants.kinds import Axis, Kinds
from engine.networks.variants.norm import NormDelta
from engine.plan.site import Site

DOWN, UP, MID = "lora_down.weight", "lora_up.weight", "lora_mid.weight"
ALPHA, MAGNITUDE = "alpha", "dora_scale"
ENDINGS = (DOWN, UP, MID, ALPHA, MAGNITUDE)
"""What follows an adapter's name in a file (spec: networks 1.2, 5)."""

NORM_ENDINGS = ("w_norm", "b_norm")


@dataclass(frozen=True)
class Factors:
    """One adapter as a file holds it; `down`'s rows are the rank.

    `mid` is the third factor of a Tucker convolution, `magnitude` is DoRA's.
    """

    down: Tensor
    up: Tensor
    alpha: float
    mid: Tensor | None = None
    magnitude: Tensor | None = None

    @property
    def rank(self) -> int:
        """How many directions there are."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """What the product is multiplied with."""
        return self.alpha / self.rank

    @property
    def axis(self) -> Axis | None:
        """What DoRA's magnitude is of: each output, or each input (spec: networks 5.4)."""
        if self.magnitude is None:
            return None
        rows = self.up.shape[0]
        by_output = self.magnitude.numel() == rows and self.magnitude.shape[0] == rows
        return "output" if by_output and rows != 1 else "input"

    @property
    def kinds(self) -> Kinds:
        """The variants an adapter needs to hold these."""
        return Kinds(tucker=self.mid is not None, dora=self.axis)


def of_endings(name: str, parts: Mapping[str, Tensor]) -> Factors:
    """Join the tensors of one adapter, by the endings of their keys.

    Raises:
        AdapterProblem: if one of the two matrices is missing.
    """
    if DOWN not in parts or UP not in parts:
        raise AdapterProblem(f"{name} has only one of its two matrices.")
    alpha = parts.get(ALPHA)
    value = float(alpha.item()) if alpha is not None else 0.0
    down = parts[DOWN]
    return Factors(
        down, parts[UP], value or float(down.shape[0]), parts.get(MID), parts.get(MAGNITUDE)
    )


def tensors_of(member: Adapter | NormDelta) -> dict[str, Tensor]:
    """Return the file's tensors of an adapter or a norm: ending → float32 on the CPU.

    A scalar is folded into `up`; split parts stand as one adapter, whose rank and alpha are n times
    theirs (spec: networks 5.3, 6).
    """
    if isinstance(member, NormDelta):
        pairs = (("w_norm", member.w_norm), ("b_norm", member.b_norm))
        return {ending: _copied(delta) for ending, delta in pairs if delta is not None}
    up = member.up.detach()
    if member.scalar is not None:
        up = up * member.scalar.detach()
    if member.parts > 1:
        up = split.block_diagonal(up, part_rows(member.site))
    tensors = {
        ALPHA: torch.tensor(float(member.alpha * member.parts)),
        DOWN: _copied(member.down),
        UP: _copied(up),
    }
    for ending, further in ((MID, member.mid), (MAGNITUDE, member.dora_scale)):
        if further is not None:
            tensors[ending] = _copied(further)
    return tensors


def fit_shape(factors: Factors, site: Site) -> Factors:
    """Bring 2-D and 4-D spellings of a 1×1 layer to the site's own (spec: networks 1.2).

    Raises:
        AdapterProblem: if the sizes are another layer's.
    """
    has_mid = factors.mid is not None
    down = _as(factors.down, down_shape(site, factors.rank, flat=has_mid))
    up = _as(factors.up, up_shape(site, factors.rank))
    mid_fits = factors.mid is None or (
        tucker.has_kernel(site) and tuple(factors.mid.shape) == tucker.mid_shape(site, factors.rank)
    )
    magnitude = factors.magnitude
    if magnitude is not None and factors.axis is not None:
        shape = magnitude_shape(site, factors.axis)
        if magnitude.numel() != torch.Size(shape).numel():
            down = None
        else:
            magnitude = magnitude.reshape(shape)
    if down is None or up is None or not mid_fits:
        raise AdapterProblem(
            f"{site.name} has the shapes {tuple(factors.down.shape)} and "
            f"{tuple(factors.up.shape)}; this model's layer is {site.columns} → {site.rows}. The "
            "file is for another model; choose one for this."
        )
    return replace(factors, down=down, up=up, magnitude=magnitude)


@torch.no_grad()
def load_into(adapter: Adapter, factors: Factors) -> float:
    """Copy factors into an adapter so that alpha/r · up·down stays what it was.

    With another alpha, `up` takes the difference; with a larger rank, the further directions start
    as new ones; with a smaller rank, the strongest directions are kept (spec: networks 1.10, Q30).
    A fused layer's factors fall apart into a split adapter's, a Tucker convolution's join into a
    plain one's. A magnitude that the factors lack is left to the caller.

    Returns:
        The share of the squared norm that is kept: 1 unless directions had to go.

    Raises:
        AdapterProblem: if the adapter has not the variants to hold what the factors do.
    """
    factors = fit_shape(factors, adapter.site)
    _check_variants(adapter, factors)
    ratio = factors.scale / (adapter.alpha / adapter.rank)
    if factors.mid is not None and adapter.mid is not None:
        _load_mid(adapter.mid, factors.mid, factors.rank)
    elif factors.mid is not None:
        factors = replace(factors, down=tucker.collapse(factors.mid, factors.down), mid=None)
    rows = part_rows(adapter.site) if adapter.parts > 1 else [(0, adapter.site.rows)]
    pairs = [(factors.down, factors.up)]
    if adapter.parts > 1:
        pairs = split.part_factors(factors.down, factors.up, rows)
    kept = 1.0
    for part, ((down, up), (start, stop)) in enumerate(zip(pairs, rows, strict=True)):
        if down.shape[0] > adapter.rank:
            smaller, share = strongest(Factors(down, up, 1.0), adapter.rank)
            down, up = smaller.down, smaller.up * (smaller.alpha / adapter.rank * down.shape[0])
            kept = min(kept, share)
        first, rank = part * adapter.rank, down.shape[0]
        adapter.down[first : first + rank].copy_(down)
        own = adapter.up[start:stop]
        own[:, :rank].copy_(up.float() if ratio == 1 else up.float() * ratio)
        own[:, rank:].zero_()
    if adapter.scalar is not None:
        adapter.scalar.fill_(1.0)
    if adapter.dora_scale is not None and factors.magnitude is not None:
        adapter.dora_scale.copy_(factors.magnitude)
    return kept


def load_norm(member: NormDelta, parts: Mapping[str, Tensor]) -> None:
    """Copy a norm's differences; one that the file lacks is 0.

    Raises:
        AdapterProblem: if the sizes are another layer's.
    """
    for ending, own in (("w_norm", member.w_norm), ("b_norm", member.b_norm)):
        given = parts.get(ending)
        if given is not None and (own is None or given.numel() != own.numel()):
            raise AdapterProblem(
                f"{member.site.name}.{ending} has {given.numel()} numbers; this model's norm has "
                f"{0 if own is None else own.numel()}. The file is for another model."
            )
        if own is not None:
            with torch.no_grad():
                own.copy_(torch.zeros_like(own) if given is None else given.reshape(own.shape))


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
        magnitude=factors.magnitude,
    )
    return shaped, kept


def _check_variants(adapter: Adapter, factors: Factors) -> None:
    """Refuse what would change the effect of the factors."""
    name = adapter.site.name
    if factors.axis is not None and factors.axis != adapter.kinds.dora:
        options = "dora_wd" if factors.axis == "output" else "dora_wd and clear wd_on_output"
        raise AdapterProblem(
            f"{name} has DoRA magnitudes by {factors.axis}, this network has not: turn on "
            f"network.{options} to go on with the file."
        )
    if adapter.mid is None:
        return
    if factors.mid is None:
        raise AdapterProblem(
            f"{name} is a plain convolution in the file: turn off network.use_tucker to go on "
            "with it."
        )
    if factors.rank > adapter.rank:
        raise AdapterProblem(
            f"{name} is a Tucker convolution of rank {factors.rank} in the file; such a rank "
            f"cannot be cut to {adapter.rank}. Set network.conv_dim to {factors.rank} or more."
        )


def _load_mid(own: Tensor, mid: Tensor, rank: int) -> None:
    """Copy a third factor into the corner of a larger one; new directions do not mix into old."""
    own[:rank, :rank].copy_(mid)
    own[:rank, rank:].zero_()


def _as(tensor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    if tuple(tensor.shape) == shape:
        return tensor
    same = tensor.numel() == torch.Size(shape).numel() and tensor.shape[0] == shape[0]
    return tensor.reshape(shape) if same else None


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
