"""The optimizer's parameter groups: learning rates by part, block and factor (networks 1.7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from engine.networks.adapter import Adapter
from engine.networks.variants.norm import NormDelta
from engine.plan.site import TEXT_ENCODERS
from engine.schema.network import Network as NetworkOptions
from engine.schema.optimizer import Optimizer, text_encoder_rate

PLUS = " plus"
"""Ends the name of a group that has LoRA+'s rate."""


@dataclass(frozen=True)
class GroupSpec:
    """Parameters with one learning rate; `name` is shown in curves as lr/<name>."""

    name: str
    params: list[nn.Parameter]
    lr: float


def parameter_groups(
    adapters: Iterable[Adapter | NormDelta], network: NetworkOptions, optimizer: Optimizer
) -> list[GroupSpec]:
    """Sort the adapters' parameters into groups: text encoders first, in each what has own rates.

    With a LoRA+ ratio the `up` factors of a group follow it as "<name> plus". Groups with a
    learning rate of 0, or without parameters, are left out: they are not trained.
    """
    by_name: dict[str, list[Adapter | NormDelta]] = {}
    for adapter in sorted(adapters, key=_order):
        by_name.setdefault(adapter.group, []).append(adapter)
    groups = []
    for name, members in by_name.items():
        first = members[0]
        rate = _base_rate(optimizer, first) * first.lr_factor
        ratio = _loraplus(network, first.site.component not in TEXT_ENCODERS)
        pairs = [member.optimizer_parameters() for member in members]
        if ratio:
            groups.append(GroupSpec(name, [p for rest, _ in pairs for p in rest], rate))
            ups = [p for _, ups in pairs for p in ups]
            groups.append(GroupSpec(f"{name}{PLUS}", ups, rate * ratio))
        else:
            groups.append(
                GroupSpec(name, [p for pair in pairs for p in (*pair[0], *pair[1])], rate)
            )
    return [group for group in groups if group.lr > 0 and group.params]


def _order(adapter: Adapter | NormDelta) -> tuple[bool, bool]:
    return adapter.site.component not in TEXT_ENCODERS, adapter.rate is None


def _base_rate(optimizer: Optimizer, adapter: Adapter | NormDelta) -> float:
    """The rate before the block's weight: by pattern, of its text encoder, or of the denoiser."""
    component = adapter.site.component
    if adapter.rate is not None:
        return adapter.rate
    if component in TEXT_ENCODERS:
        own = text_encoder_rate(optimizer, TEXT_ENCODERS.index(component))
    else:
        own = optimizer.denoiser_lr
    return optimizer.learning_rate if own is None else own


def _loraplus(network: NetworkOptions, denoiser: bool) -> float | None:
    own = network.loraplus_unet_lr_ratio if denoiser else network.loraplus_text_encoder_lr_ratio
    return own or network.loraplus_lr_ratio
