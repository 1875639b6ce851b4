"""Putting adapters on a model: the frozen modules' forwards, replaced one instance at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.adapter import Adapter, Term
from engine.networks.functions import ConvShape, adapted_conv, adapted_linear


class AdaptedForward:
    """Stands as `forward` on one host and adds the parts of any number of adapters to it.

    The host stays where it is, with its weight and bias visible: libraries read them. When the
    last part leaves, the host's own forward is back, untouched.
    """

    def __init__(self, host: nn.Module) -> None:
        self.host = host
        self.parts: list[tuple[Adapter, int]] = []
        self._replaced: Callable[..., Any] | None = host.__dict__.get("forward")
        self.original: Callable[..., Any] = host.forward

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the host on x, and the adapters that act."""
        terms: list[Term] = []
        for adapter, part in self.parts:
            term = adapter.term(part, x)
            if term is not None:
                terms.append(term)
        if not terms:
            return self.original(x, *args, **kwargs)
        term = terms[0] if len(terms) == 1 else _sum_of(terms, x)
        host = self.host
        if self._replaced is None and not args and not kwargs:
            # Only the library's own layers are understood well enough to be computed here.
            if type(host) is nn.Linear and not host.weight.requires_grad:
                return adapted_linear(
                    x, host.weight, host.bias, term.down, term.up, term.scale, term.mask
                )
            if type(host) is nn.Conv2d and _is_plain(host) and not host.weight.requires_grad:
                return adapted_conv(
                    x, host.weight, host.bias, term.down, term.up, term.scale,
                    _conv_shape(host), term.mask,
                )  # fmt: skip
        return _beside(self.original(x, *args, **kwargs), x, term, host)

    def remove(self, adapter: Adapter) -> None:
        """Take an adapter's parts off; restore the host if none are left."""
        self.parts = [(a, part) for a, part in self.parts if a is not adapter]
        if self.parts or self.host.__dict__.get("forward") is not self:
            return
        if self._replaced is None:
            del self.host.__dict__["forward"]
        else:
            self.host.__dict__["forward"] = self._replaced


def put_on(host: nn.Module, adapter: Adapter, part: int) -> AdaptedForward:
    """Add one part of an adapter to a host and return the forward that stands there now."""
    forward = host.__dict__.get("forward")
    if not isinstance(forward, AdaptedForward):
        forward = AdaptedForward(host)
        host.__dict__["forward"] = forward
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


def _beside(y: Tensor, x: Tensor, term: Term, host: nn.Module) -> Tensor:
    """Add a term to the output of a host whose inside is not known, out of place."""
    x, down = x.to(y.dtype), term.down.to(y.dtype)
    up = (term.up * term.scale).to(y.dtype)
    if down.dim() == 4:
        shape = _conv_shape(host)
        h = F.conv2d(x, down, None, shape.stride, shape.padding)
    else:
        h = F.linear(x, down)
    if term.mask is not None:
        h = h * term.mask.to(h.dtype)
    return y + (F.conv2d(h, up) if down.dim() == 4 else F.linear(h, up))


def _is_plain(host: nn.Conv2d) -> bool:
    return (
        host.dilation == (1, 1)
        and host.groups == 1
        and host.padding_mode == "zeros"
        and not isinstance(host.padding, str)
    )


def _conv_shape(host: Any) -> ConvShape:
    return ConvShape(tuple(host.stride), tuple(host.padding))
