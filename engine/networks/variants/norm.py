"""train_norm: what is added to the weight and bias of a norm layer (spec: networks 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.problem import AdapterProblem
from engine.networks.standing import owner_on, restore, stand
from engine.plan.site import Placement


class NormDelta(nn.Module):
    """The trained differences of one norm's weight and bias, (C,) each, 0 at first.

    Attributes:
        site, lr_factor, group, rate: of its placement.
        module_dropout: chance that it is left out of a pass of training; the only dropout here.
        weight: how strongly it acts, 1 in training.
        b_norm: None for a norm without bias.
    """

    b_norm: nn.Parameter | None

    def __init__(self, placement: Placement, module_dropout: float = 0.0) -> None:
        super().__init__()
        self.site = placement.site
        self.lr_factor = placement.lr_factor
        self.group = placement.group
        self.rate = placement.rate
        self.module_dropout = module_dropout
        self.weight = 1.0
        rows = self.site.rows
        self.w_norm = nn.Parameter(torch.zeros(rows))
        self.b_norm = nn.Parameter(torch.zeros(rows)) if self.site.norm_bias else None

    def optimizer_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return what the optimizer gets; nothing of it counts as `up`."""
        return [p for p in (self.w_norm, self.b_norm) if p is not None], []

    def set_trained(self, trained: bool) -> None:
        """Ask for gradients or not."""
        self.requires_grad_(trained)

    def acts(self) -> bool:
        """Say whether it takes part in this pass; draws if there is module dropout."""
        if self.weight == 0:
            return False
        chance = self.module_dropout
        return not (self.training and chance and torch.rand(()).item() < chance)

    @torch.no_grad()
    def merge_into(self, host: nn.Module) -> None:
        """Add it to the norm's own weight and bias at its strength."""
        for name, delta in (("weight", self.w_norm), ("bias", self.b_norm)):
            if delta is not None:
                own = host.get_parameter(name)
                own.copy_(own.float() + self.weight * delta.to(own.device).float())


class NormForward:
    """Its `run` stands as `forward` on one norm and adds any number of differences to it."""

    def __init__(self, host: nn.Module) -> None:
        self.host = host
        self.deltas: list[NormDelta] = []
        self.original: Callable[..., Any] = host.forward

    def run(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the norm on x with what is added to it."""
        acting = [delta for delta in self.deltas if delta.acts()]
        if not acting or args or kwargs:
            return self.original(x, *args, **kwargs)
        weight = _sum([d.weight * d.w_norm for d in acting])
        bias = _sum([d.weight * d.b_norm for d in acting if d.b_norm is not None])
        host: Any = self.host
        assert weight is not None
        if isinstance(host, nn.LayerNorm):
            return F.layer_norm(
                x, host.normalized_shape, *_joined(host, weight, bias), eps=host.eps
            )
        if isinstance(host, nn.GroupNorm):
            return F.group_norm(x, host.num_groups, *_joined(host, weight, bias), eps=host.eps)
        wide = x.float()
        eps = torch.finfo(wide.dtype).eps if host.eps is None else host.eps
        normal = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        y: Tensor = self.original(x)
        return y + (normal * weight).to(y.dtype)

    def remove(self, delta: nn.Module) -> None:
        """Take a difference off; restore the norm if none is left."""
        self.deltas = [d for d in self.deltas if d is not delta]
        if not self.deltas and owner_on(self.host) is self:
            restore(self.host, None)


def put_on_norm(host: nn.Module, delta: NormDelta) -> NormForward:
    """Add a difference to a norm and return the forward that stands there now."""
    forward = owner_on(host)
    if not isinstance(forward, NormForward):
        forward = NormForward(host)
        stand(host, forward.run)
    forward.deltas.append(delta)
    return forward


def check_norm(host: nn.Module, delta: NormDelta, module: str) -> None:
    """Check that a host is a norm of this size whose weight can be added to.

    Raises:
        AdapterProblem: otherwise.
    """
    known = isinstance(host, (nn.LayerNorm, nn.GroupNorm)) or type(host).__name__ == "RMSNorm"
    weight = getattr(host, "weight", None)
    if not known or not isinstance(weight, Tensor) or weight.shape != delta.w_norm.shape:
        raise AdapterProblem(
            f"The module {module} is no norm of {delta.site.rows} channels; {delta.site.name} "
            "cannot be added to it."
        )


def _joined(host: Any, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The norm's own weight and bias with the differences added, in its dtype."""
    whole = (host.weight + weight.to(host.weight.device)).to(host.weight.dtype)
    if bias is None or host.bias is None:
        return whole, host.bias
    return whole, (host.bias + bias).to(host.bias.dtype)


def _sum(deltas: Sequence[Tensor]) -> Tensor | None:
    total: Tensor | None = None
    for delta in deltas:
        total = delta if total is None else total + delta
    return total
