from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.networks import functions
from engine.networks.functions import ConvShape, adapted_conv, adapted_linear, work_of
from tests.networks.parts import error

FP64 = torch.float64


def both(
    ours: Callable[[], Tensor], plain: Callable[[], Tensor], inputs: Sequence[Tensor]
) -> float:
    """The largest error of the output and of every input's gradient, against autograd's form."""
    y, expected = ours(), plain()
    g = torch.randn_like(y)
    got = torch.autograd.grad(y, inputs, g)
    wanted = torch.autograd.grad(expected, inputs, g)
    return error([y, *got], [expected, *wanted])


@pytest.mark.parametrize("rows", [2, 200], ids=["in place", "merged"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_linear_equals_plain_autograd(rows: int, masked: bool, biased: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, rows, 20, dtype=FP64, requires_grad=True)
    weight, bias = torch.randn(24, 20, dtype=FP64), torch.randn(24, dtype=FP64)
    down = torch.randn(4, 20, dtype=FP64, requires_grad=True)
    up = torch.randn(24, 4, dtype=FP64, requires_grad=True)
    mask = torch.rand(2, rows, 4, dtype=FP64) if masked else None
    offset = bias if biased else None

    def plain() -> Tensor:
        h = F.linear(x, down)
        return F.linear(x, weight, offset) + 0.7 * F.linear(h if mask is None else h * mask, up)

    assert (work_of(2 * rows, 20, 24) >= functions.MERGE_ROWS) == (rows == 200)

    def ours() -> Tensor:
        return adapted_linear(x, weight, offset, down, up, 0.7, mask)

    assert both(ours, plain, (x, down, up)) < 1e-13


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("side", [4, 24])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (2, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("masked", ["no", "ranks", "values"])
def test_conv_equals_plain_autograd(
    batch: int, side: int, kernel: int, stride: int, masked: str
) -> None:
    torch.manual_seed(0)
    shape = ConvShape((stride, stride), (kernel // 3, kernel // 3))
    x = torch.randn(batch, 6, side, side, dtype=FP64, requires_grad=True)
    weight, bias = torch.randn(8, 6, kernel, kernel, dtype=FP64), torch.randn(8, dtype=FP64)
    down = torch.randn(4, 6, kernel, kernel, dtype=FP64, requires_grad=True)
    up = torch.randn(8, 4, 1, 1, dtype=FP64, requires_grad=True)
    hidden = F.conv2d(x, down, None, *shape)
    masks = {
        "no": None,
        "ranks": torch.rand(batch, 4, 1, 1, dtype=FP64),
        "values": torch.rand_like(hidden),
    }
    mask = masks[masked]

    def plain() -> Tensor:
        h = F.conv2d(x, down, None, *shape)
        added = F.conv2d(h if mask is None else h * mask, up)
        return F.conv2d(x, weight, bias, *shape) + 0.7 * added

    def ours() -> Tensor:
        return adapted_conv(x, weight, bias, down, up, 0.7, shape, mask)

    assert both(ours, plain, (x, down, up)) < 1e-13


def test_conv_in_channels_last_is_right() -> None:
    torch.manual_seed(0)
    shape = ConvShape((1, 1), (1, 1))
    x = torch.randn(2, 6, 4, 4, dtype=FP64).to(memory_format=torch.channels_last)
    x.requires_grad_(True)
    weight = torch.randn(8, 6, 3, 3, dtype=FP64).to(memory_format=torch.channels_last)
    down = torch.randn(4, 6, 3, 3, dtype=FP64, requires_grad=True)
    up = torch.randn(8, 4, 1, 1, dtype=FP64, requires_grad=True)

    def plain() -> Tensor:
        h = F.conv2d(x, down, None, *shape)
        return F.conv2d(x, weight, None, *shape) + F.conv2d(h, up)

    def ours() -> Tensor:
        return adapted_conv(x, weight, None, down, up, 1.0, shape)

    assert both(ours, plain, (x, down, up)) < 1e-13


def test_a_constant_input_gets_no_gradient_and_frozen_down_keeps_no_input() -> None:
    x = torch.randn(3, 20)
    weight = torch.randn(24, 20)
    down, up = torch.randn(4, 20), torch.randn(24, 4, requires_grad=True)
    y = adapted_linear(x, weight, None, down, up, 1.0)
    assert y.grad_fn is not None
    node: Any = y.grad_fn.next_functions[0][0]
    kept = [t for t in node.saved_tensors if t is not None]
    assert not any(t.data_ptr() == x.data_ptr() for t in kept)
    (gradient,) = torch.autograd.grad(y.sum(), up)
    assert error([gradient], [(x @ down.t()).sum(0).expand(24, 4)]) < 1e-5


@pytest.mark.parametrize("rows", [8, 400])
def test_autocast_keeps_the_parameters_gradients_in_float32(rows: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(rows, 32, requires_grad=True)
    weight = torch.randn(48, 32)
    down, up = (torch.randn(s, requires_grad=True) for s in ((4, 32), (48, 4)))

    def run(dtype: torch.dtype | None) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is not None):
            y = adapted_linear(x, weight, None, down, up, 0.1)
        assert y.dtype == (dtype or torch.float32)
        return [y.float(), *torch.autograd.grad(y.float().sum(), (x, down, up))]

    full, half = run(None), run(torch.bfloat16)
    assert [t.dtype for t in half[1:]] == [torch.float32] * 3
    assert 1e-4 < error(half, full) < 2e-2


def test_a_young_adapter_is_not_lost_in_half_precision() -> None:
    """Merging into a bf16 weight would round a delta of 1e-3 away (adapter-performance 2)."""
    torch.manual_seed(0)
    x, weight = torch.randn(4000, 32).bfloat16(), torch.randn(48, 32).bfloat16()
    down, up = torch.randn(4, 32) / 6, torch.randn(48, 4) * 1e-3
    # A zero weight leaves the delta alone to be looked at, in the same code path.
    y = adapted_linear(x, torch.zeros_like(weight), None, down, up, 1.0).float()
    assert error([y], [x.float() @ down.t() @ up.t()]) < 1e-2
    assert not functions.may_merge(x, weight, None)


def test_second_derivatives_are_refused() -> None:
    x = torch.randn(2, 4, requires_grad=True)
    down, up = torch.randn(2, 4, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    y = adapted_linear(x, torch.randn(3, 4), None, down, up, 1.0)
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
