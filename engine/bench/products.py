"""The least that adapters cost: their bare matrix products, beside no host at all.

What a step with adapters needs more than the frozen step cannot be less than these six products of
each Linear: h = x·downᵀ and h·upᵀ forward, g·up, its product with down, and the two gradients
backward (spec: adapter-performance 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Rows(NamedTuple):
    """A Linear in use: rows of its input, inputs, outputs; whether its input has a gradient."""

    rows: int
    inputs: int
    outputs: int
    passes_on: bool


def rows_of(call: Callable[[], object], linears: Sequence[nn.Linear]) -> list[Rows]:
    """Run a forward and tell what each of the layers was fed."""
    found: list[Rows] = []

    def note(layer: Any, arguments: tuple[Tensor, ...], _: object) -> None:
        x = arguments[0]
        rows = x.numel() // x.shape[-1]
        found.append(Rows(rows, x.shape[-1], layer.out_features, x.requires_grad))

    hooks = [layer.register_forward_hook(note) for layer in linears]
    call()
    for hook in hooks:
        hook.remove()
    return found


def bare_products(layers: Sequence[Rows], rank: int) -> Callable[[], None]:
    """Return a call of all their products, into memory that is there already."""
    sizes = {size: _Products(size, rank) for size in set(layers)}
    each = [sizes[size] for size in layers]

    def call() -> None:
        for products in each:
            products.forward()
        for products in reversed(each):
            products.backward()

    return call


class _Products:
    def __init__(self, size: Rows, rank: int) -> None:
        n, i, o, self.passes_on = size
        self.x, self.g, self.h = torch.randn(n, i), torch.randn(n, o), torch.randn(n, rank)
        self.down, self.up = torch.randn(rank, i), torch.randn(o, rank)
        self.y, self.gx = torch.empty(n, o), torch.empty(n, i)
        self.gdown, self.gup = torch.empty(rank, i), torch.empty(rank, o)

    def forward(self) -> None:
        torch.mm(self.x, self.down.t(), out=self.h)
        torch.mm(self.h, self.up.t(), out=self.y)

    def backward(self) -> None:
        torch.mm(self.g, self.up, out=self.h)
        if self.passes_on:
            torch.mm(self.h, self.down, out=self.gx)
        torch.mm(self.h.t(), self.x, out=self.gdown)
        torch.mm(self.h.t(), self.g, out=self.gup)
