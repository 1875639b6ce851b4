"""The block editor's numbers without its drawing: which bars there are, and what the tools do.

A *layer* is one number for each block: ranks, alphas or learning-rate weights. Ranks and alphas
have two *sides*: Linear and 1×1 modules above the axis, 3×3 convolutions below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.plan.sites import sites_of
from engine.schema.architectures import ARCHITECTURES, Architecture
from engine.schema.lr_weights import LrWeightError, block_lr_weights
from engine.schema.network import Network
from engine.schema.options import get_at

LayerName = Literal["rank", "alpha", "lr_weight"]
Side = Literal["linear", "conv"]

_LISTS: dict[tuple[LayerName, Side], str] = {
    ("rank", "linear"): "network.block_dims",
    ("rank", "conv"): "network.conv_block_dims",
    ("alpha", "linear"): "network.block_alphas",
    ("alpha", "conv"): "network.conv_block_alphas",
}


@dataclass(frozen=True)
class Modules:
    """How many modules of a block each side can adapt, and the parameters of rank 1."""

    linear: int
    conv: int
    resnet_linear: int  # Linear modules that only conv adapters bring with them
    linear_unit: int
    conv_unit: int
    resnet_unit: int

    def count(self, side: Side, conv_on: bool) -> int:
        """Modules of a side; resnet layers count as Linear once 3×3 adapters are on."""
        if side == "conv":
            return self.conv
        return self.linear + (self.resnet_linear if conv_on else 0)

    def unit(self, side: Side, conv_on: bool) -> int:
        """Parameters of the side's modules at rank 1."""
        if side == "conv":
            return self.conv_unit
        return self.linear_unit + (self.resnet_unit if conv_on else 0)


def modules_by_block(architecture: str) -> tuple[Modules, ...]:
    """What each block of the architecture's published size holds."""
    blocks: list[dict[str, int]] = [
        dict.fromkeys(Modules.__dataclass_fields__, 0) for _ in ARCHITECTURES[architecture].blocks
    ]
    for site in sites_of(architecture):
        if site.block is None or site.kind == "norm":
            continue
        if site.kernel != (1, 1):
            kind, unit = "conv", "conv_unit"
        elif site.default:
            kind, unit = "linear", "linear_unit"
        else:
            kind, unit = "resnet_linear", "resnet_unit"
        blocks[site.block][kind] += 1
        blocks[site.block][unit] += site.parameters(1)
    return tuple(Modules(**block) for block in blocks)


def conv_is_on(data: Mapping[str, Any]) -> bool:
    """Say whether 3×3 modules get adapters."""
    return bool(get_at(data, "network.conv_dim") or get_at(data, "network.conv_block_dims"))


def effective(data: Mapping[str, Any], layer: LayerName, side: Side) -> list[float]:
    """The value that each block ends up with, whether given as a list or as one number.

    A list that cannot be used counts as not given (its field shows the error).
    """
    architecture = ARCHITECTURES[get_at(data, "model.architecture")]
    count = len(architecture.blocks)
    if layer == "lr_weight":
        return lr_weights(data, architecture)
    given = get_at(data, _LISTS[layer, side])
    if isinstance(given, list) and len(given) == count and all(map(_is_rank, given)):
        return [float(value) for value in given]
    return [_uniform(data, layer, side)] * count


def lr_weights(data: Mapping[str, Any], architecture: Architecture) -> list[float]:
    """One factor a block; 1 where nothing is given or what is given cannot be read."""
    keys = ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold")
    values = {key: get_at(data, f"network.{key}") for key in keys}
    try:
        weights = block_lr_weights(Network(**values), architecture)
    except (LrWeightError, ValueError):
        weights = None
    return weights or [1.0] * len(architecture.blocks)


def _uniform(data: Mapping[str, Any], layer: LayerName, side: Side) -> float:
    paths = {
        ("rank", "linear"): "network.rank",
        ("rank", "conv"): "network.conv_dim",
        ("alpha", "linear"): "network.alpha",
        ("alpha", "conv"): "network.conv_alpha",
    }
    value = get_at(data, paths[layer, side])
    if value is None:
        value = 1.0 if layer == "alpha" and side == "conv" else 0.0
    return float(value) if _is_number(value) else 0.0


def _is_rank(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def edits(
    data: Mapping[str, Any], layer: LayerName, side: Side, values: Sequence[float]
) -> list[tuple[str, Any]]:
    """The fields to set so that the layer's side has these values."""
    if layer == "lr_weight":
        architecture = ARCHITECTURES[get_at(data, "model.architecture")]
        first = architecture.lr_weight_first
        changes: list[tuple[str, Any]] = []
        for key, count in zip(
            ("down_lr_weight", "mid_lr_weight", "up_lr_weight"),
            architecture.lr_weight_counts,
            strict=True,
        ):
            part = [round(v, 4) for v in values[first : first + count]]
            changes.append((f"network.{key}", None if all(v == 1 for v in part) else part))
            first += count
        return changes
    whole = layer == "rank"
    return [(_LISTS[layer, side], [round(v) if whole else round(v, 4) for v in values])]


def limits(layer: LayerName) -> tuple[float, float, float]:
    """Lowest, highest and smallest step of a layer's values."""
    return {"rank": (0, 1024, 1), "alpha": (0, 1024, 1), "lr_weight": (0, 4, 0.05)}[layer]


Tool = Callable[[Sequence[float], Sequence[bool]], list[float]]


def equal(values: Sequence[float], live: Sequence[bool]) -> list[float]:
    """All live blocks at the commonest value above 0."""
    chosen = [v for v, on in zip(values, live, strict=True) if on and v > 0]
    common = max(chosen, key=chosen.count) if chosen else 1.0
    return [common if on else 0.0 for on in live]


def ramp(values: Sequence[float], live: Sequence[bool]) -> list[float]:
    """Rising from a quarter of the highest value to all of it."""
    return _shaped(values, live, lambda t: 0.25 + 0.75 * t)


def bell(values: Sequence[float], live: Sequence[bool]) -> list[float]:
    """Highest in the middle, a quarter at both ends."""
    return _shaped(values, live, lambda t: 0.25 + 0.75 * math.sin(math.pi * t))


def zero(values: Sequence[float], live: Sequence[bool]) -> list[float]:
    """Nothing anywhere."""
    return [0.0] * len(values)


def invert(values: Sequence[float], live: Sequence[bool]) -> list[float]:
    """High where it was low: the highest value less each."""
    top = max((v for v, on in zip(values, live, strict=True) if on), default=0.0)
    return [top - v if on else 0.0 for v, on in zip(values, live, strict=True)]


def halve(values: Sequence[float], live: Sequence[bool]) -> list[float]:
    """Half of each."""
    return [v / 2 for v in values]


def double(values: Sequence[float], live: Sequence[bool]) -> list[float]:
    """Twice each."""
    return [v * 2 for v in values]


def _shaped(
    values: Sequence[float], live: Sequence[bool], shape: Callable[[float], float]
) -> list[float]:
    top = max((v for v, on in zip(values, live, strict=True) if on), default=0.0) or 1.0
    count = sum(live)
    result, seen = [], 0
    for on in live:
        result.append(top * shape(seen / max(count - 1, 1)) if on else 0.0)
        seen += on
    return result


def line(
    values: Sequence[float], live: Sequence[bool], start: tuple[int, float], end: tuple[int, float]
) -> list[float]:
    """A straight line of values from one block to another; the others stay."""
    (a, low), (b, high) = sorted((start, end))
    result = list(values)
    for i in range(a, b + 1):
        if live[i]:
            result[i] = low + (high - low) * ((i - a) / max(b - a, 1))
    return result


def clipped(layer: LayerName, value: float) -> float:
    """The nearest value the layer allows."""
    low, high, step = limits(layer)
    return min(max(round(value / step) * step, low), high)


def text_of(values: Sequence[float]) -> str:
    """The list as a person types it: whole numbers without a point."""
    return ", ".join(f"{v:g}" for v in values)


def values_of(text: str, count: int) -> list[float]:
    """Read a typed list.

    Raises:
        ValueError: with words that name the count, or the item that is no number.
    """
    items = [item.strip() for item in text.strip().strip("[]").split(",")]
    if len(items) != count:
        raise ValueError(f"{count} numbers are needed; this list has {len(items)}.")
    numbers = []
    for item in items:
        try:
            number = float(item)
        except ValueError:
            raise ValueError(f"'{item}' is not a number.") from None
        if number < 0 or not math.isfinite(number):
            raise ValueError(f"{item} is not a number from 0 up.")
        numbers.append(number)
    return numbers
