"""A small layer, an adapter of any variant on it, and the same written out at full size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.adapter import Adapter
from engine.networks.dropout import Dropouts
from engine.networks.variants.kinds import Kinds
from engine.plan.site import Placement, Site
from tests.networks.parts import Attention, attached, error, linear_site

ROWS, COLUMNS = 10, 6
SITE = linear_site("lora_unet_x", "x", ROWS, COLUMNS)


def variant(site: Site, host: nn.Module, kinds: Kinds, *, rank: int = 4, split: int = 1) -> Adapter:
    """An adapter in float64 that does something, and knows its host."""
    adapter = Adapter(Placement(site, rank, 2.0, group="unet", split=split), Dropouts(), kinds)
    adapter.init(1)
    adapter.double()
    hosts = [host] if not isinstance(host, Attention) else [host.to_q, host.to_k, host.to_v]
    adapter.meet(hosts)
    adapter.start_magnitude()
    for parameter in (adapter.up, adapter.scalar):
        if parameter is not None:
            nn.init.normal_(parameter, std=0.3)
    return adapter


def compared(host: nn.Linear | nn.Conv2d, adapter: Adapter, weight: Tensor, x: Tensor) -> float:
    """The error of output and gradients against a host with a weight built by autograd."""
    model = nn.ModuleDict({"x": host})
    attached(model, adapter)
    inputs = [x, *(p for p in adapter.parameters() if p.requires_grad)]
    if isinstance(host, nn.Linear):
        expected = F.linear(x, weight, host.bias)
    else:
        expected = F.conv2d(x, weight, host.bias, host.stride, host.padding)  # pyright: ignore[reportArgumentType]
    y = host(x)
    g = torch.randn_like(y)
    got, wanted = (torch.autograd.grad(out, inputs, g) for out in (y, expected))
    return error([y, *got], [expected, *wanted])


def built(host: nn.Linear | nn.Conv2d, adapter: Adapter) -> Tensor:
    """W' of a plain site with all variants, full size, with gradients."""
    down, up = adapter.down, adapter.up.flatten(1)
    if adapter.mid is not None:
        down = torch.einsum("ijyx,jc->icyx", adapter.mid, down.flatten(1))
    if adapter.scalar is not None:
        up = up * adapter.scalar
    v = host.weight + adapter.alpha / adapter.rank * (up @ down.flatten(1)).view(host.weight.shape)
    if adapter.dora_scale is None:
        return v
    axes = tuple(i for i in range(v.dim()) if i != (0 if adapter.kinds.dora == "output" else 1))
    return adapter.dora_scale * v / v.square().sum(axes, keepdim=True).sqrt()
