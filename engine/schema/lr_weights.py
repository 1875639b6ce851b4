"""Block learning-rate weights: from numbers and shapes to one factor a block."""

from __future__ import annotations

import math

from engine.schema.architectures import Architecture
from engine.schema.network import LR_SHAPES, Network
from engine.schema.problem import OptionError


class LrWeightError(OptionError):
    """A weight that cannot be read; `key` is the field of `[network]` it stands in."""


def block_lr_weights(network: Network, architecture: Architecture) -> list[float] | None:
    """The factor of each block, in the order of `block_dims`; None if no weight is given.

    Shapes with n values, i = 0…n−1: sine sin(π/2·i/(n−1)), cosine the same reversed, linear
    i/(n−1), reverse_linear, zeros; "+x" adds x to each. Short lists are filled with 1, empty items
    are 0, weights at or below the threshold are 0 (spec: networks 4.1).

    Raises:
        LrWeightError: unknown shape, a number below 0, or more numbers than blocks.
    """
    keys = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
    given = [getattr(network, key) for key in keys]
    if all(value is None for value in given) or not architecture.blocks:
        return None
    weights = [1.0] * architecture.lr_weight_first
    for key, value, count in zip(keys, given, architecture.lr_weight_counts, strict=True):
        weights += _weights(key, value, count, architecture)
    weights += [1.0] * (len(architecture.blocks) - len(weights))
    return [0.0 if w <= network.block_lr_zero_threshold else w for w in weights]


def _weights(
    key: str, value: list[float] | str | None, count: int, architecture: Architecture
) -> list[float]:
    if value is None:
        return [1.0] * count
    if isinstance(value, str):
        return _shape(key, value, count)
    if len(value) > count:
        raise LrWeightError(
            key, f"{len(value)} numbers, but {architecture.label} has {count} blocks there."
        )
    if any(w < 0 or not math.isfinite(w) for w in value):
        raise LrWeightError(key, "A weight is a number from 0 up; 0 leaves the block untouched.")
    if len(value) == 1:
        return value * count  # a lone number is meant for all
    return value + [1.0] * (count - len(value))


def _shape(key: str, text: str, count: int) -> list[float]:
    name, _, addition = text.replace(" ", "").partition("+")
    try:
        added = float(addition) if addition else 0.0
    except ValueError:
        raise LrWeightError(key, f"'{addition}' after the + is not a number.") from None
    last = max(count - 1, 1)
    shapes = {
        "sine": [math.sin(math.pi / 2 * i / last) for i in range(count)],
        "cosine": [math.sin(math.pi / 2 * (last - i) / last) for i in range(count)],
        "linear": [i / last for i in range(count)],
        "reverse_linear": [(last - i) / last for i in range(count)],
        "zeros": [0.0] * count,
    }
    if name not in shapes:
        raise LrWeightError(key, f"'{name}' is no shape; there are {', '.join(LR_SHAPES)}.")
    return [w + added for w in shapes[name]]
