"""Putting adapters on a model: the frozen modules' forwards, replaced one instance at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.adapter import Adapter, Term
from engine.networks.functions import ConvShape, adapted_conv, adapted_linear
from engine.networks.standing import owner_on, restore, stand
from engine.networks.variants.dora import Magnitude, column_gain, row_gain, without_bias
from engine.networks.variants.dora_functions import dora_conv, dora_linear


class AdaptedForward:
    """Its `run` stands as `forward` on one host and adds the parts of any number of adapters to it.

    The host stays where it is, with its weight and bias visible: libraries read them. When the
    last part leaves, the host's own forward is back, untouched.
    """

    def __init__(self, host: nn.Module) -> None:
        self.host = host
        self.parts: list[tuple[Adapter, int]] = []
        self._replaced: Callable[..., Any] | None = host.__dict__.get("forward")
        self.original: Callable[..., Any] = host.forward

    def run(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the host on x, and the adapters that act."""
        terms: list[Term] = []
        for adapter, part in self.parts:
            term = adapter.term(part, x)
            if term is not None:
                terms.append(term)
        if not terms:
            return self.original(x, *args, **kwargs)
        plain = self._replaced is None and not args and not kwargs
        if len(terms) > 1 and all(t.magnitude is None and t.noise is None for t in terms):
            terms = [_sum_of(terms, x)]
        # Only the library's own layers are understood well enough to be computed here.
        if len(terms) == 1 and plain and _is_known(self.host) and _at_full(terms[0]):
            return _with_noise(_inside(self.host, x, terms[0]), x, terms[0], self.host)
        base = self.original(x, *args, **kwargs)
        y = base
        for term in terms:
            y = _with_noise(self._beside(y, base, x, term), x, term, self.host)
        return y

    def _beside(self, y: Tensor, base: Tensor, x: Tensor, term: Term) -> Tensor:
        """Add a term to an output, out of place; `base` is what the host alone gave."""
        if term.magnitude is None:
            return y + _product(x, term, self.host, base.dtype)
        if term.magnitude.axis == "input":
            gain = _column_gain(self.host, term, term.magnitude).to(x.dtype)
            x = x * gain
            scaled: Tensor = self.original(x)
            return y + (scaled - base) + _product(x, term, self.host, base.dtype)
        gain = self._row_gain(term, term.magnitude, base)
        own = without_bias(self.host, base)
        return y + (gain - 1) * own + gain * _product(x, term, self.host, base.dtype)

    def _row_gain(self, term: Term, magnitude: Magnitude, y: Tensor) -> Tensor:
        """DoRA's c for each output; a packed host tells W·downᵀ by running on the rows of down."""
        if term.down.dim() == 4:
            weight = self.host.get_parameter("weight")
            projected = weight.flatten(1).to(y.dtype) @ term.down.flatten(1).t().to(y.dtype)
        else:
            projected = without_bias(self.host, self.original(term.down.to(y.dtype))).t()
        gain = row_gain(magnitude, projected, term.down.flatten(1), term.up.flatten(1), term.scale)
        return (gain[:, None, None] if term.down.dim() == 4 else gain).to(y.dtype)

    def remove(self, adapter: nn.Module) -> None:
        """Take an adapter's parts off; restore the host if none are left."""
        self.parts = [(a, part) for a, part in self.parts if a is not adapter]
        if not self.parts and owner_on(self.host) is self:
            restore(self.host, self._replaced)


def put_on(host: nn.Module, adapter: Adapter, part: int) -> AdaptedForward:
    """Add one part of an adapter to a host and return the forward that stands there now."""
    forward = owner_on(host)
    if not isinstance(forward, AdaptedForward):
        forward = AdaptedForward(host)
        stand(host, forward.run)
    forward.parts.append((adapter, part))
    return forward


def _sum_of(terms: list[Term], x: Tensor) -> Term:
    """Join several adapters into one of the summed rank, scales folded into `up`."""
    down = torch.cat([t.down.to(terms[0].down.dtype) for t in terms])
    up = torch.cat([t.up.to(terms[0].up.dtype) * t.scale for t in terms], dim=1)
    if all(t.mask is None for t in terms):
        return Term(down, up, 1.0, None)
    axis = 1 if terms[0].down.dim() == 4 else -1
    some = next(t.mask for t in terms if t.mask is not None)
    masks = []
    for term in terms:
        if term.mask is not None:
            masks.append(term.mask)
            continue
        shape = list(some.shape)
        shape[axis] = term.down.shape[0]
        masks.append(some.new_ones(shape))
    return Term(down, up, 1.0, torch.cat(masks, dim=axis))


def _inside(host: Any, x: Tensor, term: Term) -> Tensor:
    """Compute host and adapter together."""
    magnitude = term.magnitude
    if magnitude is not None and magnitude.axis == "input":
        x = x * _column_gain(host, term, magnitude).to(x.dtype)
        magnitude = None
    if isinstance(host, nn.Linear):
        if magnitude is not None:
            return dora_linear(
                x, host.weight, host.bias, term.down, term.up, term.scale,
                magnitude.values, magnitude.square, term.mask,
            )  # fmt: skip
        return adapted_linear(x, host.weight, host.bias, term.down, term.up, term.scale, term.mask)
    shape = _conv_shape(host)
    if magnitude is not None:
        return dora_conv(
            x, host.weight, host.bias, term.down, term.up, term.scale, shape,
            magnitude.values, magnitude.square, term.mask,
        )  # fmt: skip
    return adapted_conv(x, host.weight, host.bias, term.down, term.up, term.scale, shape, term.mask)


def _product(x: Tensor, term: Term, host: nn.Module, dtype: torch.dtype) -> Tensor:
    """Compute scale · up(down(x) ∘ mask) in the dtype of the host's output."""
    x, down = x.to(dtype), term.down.to(dtype)
    up = (term.up * term.scale).to(dtype)
    if down.dim() == 4:
        shape = _conv_shape(host)
        h = F.conv2d(x, down, None, shape.stride, shape.padding)
    else:
        h = F.linear(x, down)
    if term.mask is not None:
        h = h * term.mask.to(h.dtype)
    return F.conv2d(h, up) if down.dim() == 4 else F.linear(h, up)


def _column_gain(host: nn.Module, term: Term, magnitude: Magnitude) -> Tensor:
    """DoRA's c for each input, shaped to multiply the host's input."""
    weight = host.get_parameter("weight")
    gain = column_gain(magnitude, weight, term.down, term.up.flatten(1), term.scale)
    return gain[:, None, None] if term.down.dim() == 4 else gain


def _with_noise(y: Tensor, x: Tensor, term: Term, host: nn.Module) -> Tensor:
    """Add x times the weight noise, if there is any."""
    if term.noise is None:
        return y
    noise, x = term.noise.to(y.dtype), x.to(y.dtype)
    if noise.dim() == 4:
        shape = _conv_shape(host)
        return y + F.conv2d(x, noise, None, shape.stride, shape.padding)
    return y + F.linear(x, noise)


def _at_full(term: Term) -> bool:
    """Say whether a magnitude, if there is one, acts at strength 1, as in training."""
    return term.magnitude is None or term.magnitude.strength == 1


def _is_known(host: nn.Module) -> bool:
    known = type(host) is nn.Linear or (type(host) is nn.Conv2d and _is_plain(host))
    # A packed weight may stand in a Linear as a tensor of its own kind.
    return known and type(host.weight) is nn.Parameter and not host.weight.requires_grad


def _is_plain(host: nn.Conv2d) -> bool:
    return (
        host.dilation == (1, 1)
        and host.groups == 1
        and host.padding_mode == "zeros"
        and not isinstance(host.padding, str)
    )


def _conv_shape(host: Any) -> ConvShape:
    return ConvShape(tuple(host.stride), tuple(host.padding))
