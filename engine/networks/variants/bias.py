"""What other programs' files add to a layer's bias (LyCORIS' `diff_b`, PEFT's `lora_bias`).

Read, not trained. It stands behind the layer as a hook, so that it is added after all adapters,
DoRA's included, and comes off in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.networks.adapter import host_segments
from engine.plan.site import Site


@dataclass(frozen=True)
class HostBias:
    """A module, and what is added to each of its outputs."""

    host: nn.Module
    added: Tensor


class Biases:
    """The biases of a file on the modules of a model. `weight` is how strongly they act."""

    def __init__(self, each: Sequence[HostBias], weight: float) -> None:
        self.each = tuple(each)
        self.weight = weight
        self._handles: list[Any] = []

    def attach(self) -> None:
        """Let them act; once is enough."""
        if not self._handles:
            self._handles = [
                one.host.register_forward_hook(self._hook(one.added)) for one in self.each
            ]

    def detach(self) -> None:
        """Take them off; the model's outputs are bit for bit what they were."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @torch.no_grad()
    def merge(self) -> None:
        """Add them to the modules' own biases for good; a module without one gets one."""
        self.detach()
        for one in self.each:
            own = getattr(one.host, "bias", None)
            if isinstance(own, Tensor):
                own.copy_(own.float() + self.weight * one.added.to(own.device))
                continue
            weight: Any = one.host.weight
            dtype = weight.dtype if weight.is_floating_point() else torch.float32
            added = (self.weight * one.added).to(weight.device, dtype)
            one.host.bias = nn.Parameter(added, requires_grad=False)

    def _hook(self, added: Tensor) -> Callable[..., Tensor | None]:
        def add(host: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
            if self.weight == 0:
                return None
            own = (self.weight * added).to(output.device, output.dtype)
            return output + (own[:, None, None] if isinstance(host, nn.Conv2d) else own)

        return add


def host_biases(
    biases: Mapping[str, Tensor],
    sites: Sequence[Site],
    hosts: Callable[[Site], Sequence[nn.Module]],
) -> list[HostBias]:
    """The biases of sites, module by module; a module whose rows are all 0 is left alone.

    Args:
        biases: site's name → what is added, in the site's rows.
        sites: of the model.
        hosts: a site's modules, in the order of `host_segments`.
    """
    found = []
    for site in sites:
        if site.name not in biases:
            continue
        for segments, host in zip(host_segments(site), hosts(site), strict=True):
            own = torch.cat([biases[site.name][slice(*s.source)] for s in segments])
            if own.any():
                found.append(HostBias(host, own))
    return found
