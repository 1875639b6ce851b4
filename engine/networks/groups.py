"""The optimizer's parameter groups: learning rates by part, block and factor (networks 1.7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from engine.networks.adapter import Adapter
from engine.schema.network import Network as NetworkOptions
from engine.schema.optimizer import Optimizer


@dataclass(frozen=True)
class GroupSpec:
    """Parameters with one learning rate; `name` is shown in curves as lr/<name>."""

    name: str
    params: list[nn.Parameter]
    lr: float


def parameter_groups(
    adapters: Iterable[Adapter], network: NetworkOptions, optimizer: Optimizer
) -> list[GroupSpec]:
    """Sort the adapters' parameters into groups, text encoders first.

    With a LoRA+ ratio the `up` factors of a group follow it as "<name> plus". Groups with a
    learning rate of 0 are left out: they are not trained.
    """
    by_name: dict[str, list[Adapter]] = {}
    for adapter in sorted(adapters, key=lambda a: a.site.component == "denoiser"):
        by_name.setdefault(adapter.group, []).append(adapter)
    groups = []
    for name, members in by_name.items():
        denoiser = members[0].site.component == "denoiser"
        rate = _base_rate(optimizer, denoiser) * members[0].lr_factor
        ratio = _loraplus(network, denoiser)
        downs, ups = [a.down for a in members], [a.up for a in members]
        if ratio:
            groups.append(GroupSpec(name, downs, rate))
            groups.append(GroupSpec(f"{name} plus", ups, rate * ratio))
        else:
            pairs = zip(downs, ups, strict=True)
            groups.append(GroupSpec(name, [p for pair in pairs for p in pair], rate))
    return [group for group in groups if group.lr > 0]


def _base_rate(optimizer: Optimizer, denoiser: bool) -> float:
    own = optimizer.denoiser_lr if denoiser else optimizer.text_encoder_lr
    return optimizer.learning_rate if own is None else own


def _loraplus(network: NetworkOptions, denoiser: bool) -> float | None:
    own = network.loraplus_unet_lr_ratio if denoiser else network.loraplus_text_encoder_lr_ratio
    return own or network.loraplus_lr_ratio
