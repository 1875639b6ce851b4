"""DoRA: a trained magnitude for each output or input of the adapted weight (spec: networks 5.4).

W' = m ∘ V/‖V‖ with V = W + alpha/r · up·down. At a strength w other than 1 it is
V·(1 + w(m/‖V‖ − 1)), as LyCORIS reads its own files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.networks.problem import AdapterProblem
from engine.networks.variants.dora_functions import TINY, squared_norms, wide
from engine.networks.variants.kinds import Axis
from engine.plan.site import Site

COLUMNS_AT_ONCE = 512  # of the identity that measures a host whose weight cannot be read


@dataclass(frozen=True)
class Magnitude:
    """The magnitude of one host's part.

    Attributes:
        axis: one number for each output or for each input.
        values: m, flat; gradients go here.
        square: ‖W‖² along the axis, flat, float32.
        strength: w; 1 in training.
    """

    axis: Axis
    values: Tensor
    square: Tensor
    strength: float = 1.0


def magnitude_shape(site: Site, axis: Axis) -> tuple[int, ...]:
    """Return the shape of `dora_scale`."""
    ones = (1, 1) if site.kind == "conv" else ()
    return (site.rows, 1, *ones) if axis == "output" else (1, site.columns, *ones)


def squares(host: nn.Module, axis: Axis, columns: int) -> Tensor:
    """Return ‖W‖² of a host by outputs or inputs, flat, float32.

    A weight that is packed (8 or 4 bits) is measured through the host: its outputs for the rows of
    the identity are W's columns.

    Raises:
        AdapterProblem: by input, if the weight cannot be read.
    """
    weight = dense_weight(host)
    if axis == "input" and type(host) not in READABLE:
        raise AdapterProblem(
            f"DoRA by input needs the weight itself, and {type(host).__name__} keeps it packed. "
            "Turn on network.wd_on_output, or load the model without quantization."
        )
    if weight is not None:
        flat = wide(weight).square()
        return (
            flat.flatten(1).sum(1) if axis == "output" else flat.transpose(0, 1).flatten(1).sum(1)
        )
    forward = getattr(host.forward, "original", host.forward)  # other adapters may be on it
    total: Tensor | None = None
    for start in range(0, columns, COLUMNS_AT_ONCE):
        some = _identity_rows(host, start, min(start + COLUMNS_AT_ONCE, columns), columns)
        part = wide(without_bias(host, forward(some))).square().sum(0)
        total = part if total is None else total + part
    assert total is not None
    return total


READABLE = (nn.Linear, nn.Conv2d)
"""The libraries' own layers: their `weight` is what they multiply with."""


def dense_weight(host: nn.Module) -> Tensor | None:
    """Return the weight a host multiplies with, or None if it is packed in a way unknown here."""
    unpack = getattr(host, "dequantized", None)
    if unpack is not None:
        return unpack()
    weight = getattr(host, "weight", None)
    if type(host) not in READABLE or type(weight) is not nn.Parameter:
        return None
    return weight.detach() if weight.is_floating_point() else None


def without_bias(host: nn.Module, y: Tensor) -> Tensor:
    """Take the bias off a host's output."""
    bias = getattr(host, "bias", None)
    if bias is None:
        return y
    bias = bias.to(y.dtype)
    return y - (bias[:, None, None] if isinstance(host, nn.Conv2d) else bias)


def row_gain(
    magnitude: Magnitude, projected: Tensor, down: Tensor, up: Tensor, scale: float
) -> Tensor:
    """Return c = 1 + w(m/‖V‖ − 1) for each output, with its gradients, float32.

    Args:
        projected: P = W·downᵀ, (O, r).
        down, up: flattened, (r, I) and (O, r).
    """
    with torch.autocast(magnitude.square.device.type, enabled=False):
        gram = wide(down) @ wide(down).t()
        norm = squared_norms(magnitude.square, projected, gram, up, scale).sqrt()
        return _at_strength(wide(magnitude.values) / norm, magnitude.strength)


def column_gain(
    magnitude: Magnitude, weight: Tensor, down: Tensor, up: Tensor, scale: float
) -> Tensor:
    """Return c for each input, (I,): the host then works on x ∘ c.

    Args:
        weight: the host's, (O, I) or (O, c, k, k).
        down: (r, I) or (r, c, k, k).
        up: flattened, (O, r).
    """
    with torch.autocast(weight.device.type, enabled=False):
        down, up = wide(down), wide(up)
        projected = (up.t() @ wide(weight).flatten(1)).view(down.shape)
        spread = ((up.t() @ up) @ down.flatten(1)).view(down.shape)
        own = 2 * scale * projected * down + scale**2 * spread * down
        square = magnitude.square + own.transpose(0, 1).flatten(1).sum(1)
        norm = (square.clamp(min=0) + TINY).sqrt()
        return _at_strength(wide(magnitude.values) / norm, magnitude.strength)


def decomposed(magnitude: Magnitude, weight: Tensor) -> Tensor:
    """Return W' of a built V, (O, I, …), at the magnitude's strength; float32."""
    ones = (1,) * (weight.dim() - 2)
    shape = (-1, 1, *ones) if magnitude.axis == "output" else (1, -1, *ones)
    gain = wide(magnitude.values) / norms(weight, magnitude.axis)
    return weight * _at_strength(gain, magnitude.strength).view(shape)


def norms(weight: Tensor, axis: Axis) -> Tensor:
    """Return the norms of a built weight along an axis, flat."""
    flat = weight if axis == "output" else weight.transpose(0, 1)
    return (flat.flatten(1).square().sum(1) + TINY).sqrt()


def _at_strength(gain: Tensor, strength: float) -> Tensor:
    return gain if strength == 1 else 1 + strength * (gain - 1)


def _identity_rows(host: nn.Module, start: int, stop: int, columns: int) -> Tensor:
    """Rows of the identity in the dtype and on the device that a packed host takes."""
    like = next((t for t in (*host.parameters(), *host.buffers())), None)
    device = like.device if like is not None else torch.device("cpu")
    bias = getattr(host, "bias", None)
    dtype = getattr(host, "compute_dtype", None) or (None if bias is None else bias.dtype)
    rows = torch.zeros(stop - start, columns, device=device, dtype=dtype or torch.float32)
    rows[torch.arange(stop - start), torch.arange(start, stop)] = 1
    return rows
