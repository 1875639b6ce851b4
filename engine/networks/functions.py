"""The adapter's arithmetic: host and adapter in one autograd Function per kind of layer.

Written out by hand because autograd's own form keeps a second full-size output and a second input
gradient, and multiplies both by the scale (8–10 % of a training step; this form needs 3–4 %). Which
way a product is taken depends on shapes and dtypes alone, so `torch.compile` sees one graph and
activation checkpointing recomputes the same numbers.

Letters: N rows of input, I inputs, O outputs, r rank, s scale, h = down(x), g = gradient of the
output. Where q = N(I+O)/(I·O) is large, the weight W + s·up·down is built once ("merged"); else the
adapter is added to the host's output in place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

MERGE_ROWS = 4.0
MERGE_PIXELS = 1.5
MERGE_CONV = 8.0
"""From which q on merging wins, for Linear, 1×1 and larger kernels (measured on CPU)."""


class ConvShape(NamedTuple):
    """How a convolution moves over its input; dilation and groups are always 1 here."""

    stride: tuple[int, int]
    padding: tuple[int, int]


def adapted_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    scale: float,
    mask: Tensor | None = None,
) -> Tensor:
    """Compute `x·Wᵀ + bias + s·((x·downᵀ) ∘ mask)·upᵀ` with W and bias frozen.

    Args:
        x: (..., I).
        weight, bias: the host's (O, I) and (O,).
        down, up: (r, I) and (O, r); gradients come back in their own dtype.
        scale: s.
        mask: (..., r) with the leading sizes of x, or None; already divided by the keep chance.

    Returns:
        (..., O), in the dtype the host gives.
    """
    rows = x.reshape(-1, x.shape[-1])
    mask = None if mask is None else mask.reshape(-1, mask.shape[-1])
    y: Any = _Rows.apply(rows, weight, bias, down, up, scale, mask)
    return y.view(*x.shape[:-1], weight.shape[0])


def adapted_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    scale: float,
    shape: ConvShape,
    mask: Tensor | None = None,
) -> Tensor:
    """Compute `host(x) + s·up(down(x) ∘ mask)` for a frozen convolution.

    Args:
        x: (b, c, h, w).
        weight, bias: the host's (O, c, k, k) and (O,).
        down: (r, c, k, k), moved with the host's stride and padding; up: (O, r, 1, 1).
        scale: s.
        shape: the host's stride and padding.
        mask: broadcastable to down's output (b, r, h', w'), or None.

    Returns:
        (b, O, h', w').
    """
    if weight.shape[2:] == (1, 1) and shape == ConvShape((1, 1), (0, 0)):
        pixels = x.reshape(x.shape[0], x.shape[1], -1)
        if mask is not None:
            mask = mask.expand(-1, -1, *x.shape[2:]).reshape(*mask.shape[:2], -1)
        down, up, flat = down.flatten(1), up.flatten(1), weight.flatten(1)
        y: Any = _Pixels.apply(pixels, flat, bias, down, up, scale, mask)
        return y.view(x.shape[0], weight.shape[0], *x.shape[2:])
    whole: Any = _Conv.apply(x, weight, bias, down, up.flatten(1), scale, shape, mask)
    return whole


def work_of(rows: int, inputs: int, outputs: int) -> float:
    """Return q: how much an unmerged adapter moves, against the cost of building a weight."""
    return rows * (inputs + outputs) / (inputs * outputs)


def may_merge(x: Tensor, weight: Tensor, mask: Tensor | None) -> bool:
    """Say whether rounding of a merged weight is harmless: full precision on the CPU only.

    In bf16 a young adapter would be lost in the rounding of W + s·up·down.
    """
    full = x.dtype == weight.dtype and x.dtype in (torch.float32, torch.float64)
    return full and mask is None and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def merged_weight(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Build W + s·up·down in the shape of W."""
    flat = torch.addmm(weight.flatten(1), up.to(weight.dtype), down.to(weight.dtype).flatten(1),
                       alpha=scale)  # fmt: skip
    return flat.view(weight.shape)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
        mask: Tensor | None,
    ) -> Tensor:
        ctx.scale = scale
        ctx.dtypes = x.dtype, down.dtype, up.dtype
        q = work_of(x.shape[0], weight.shape[1], weight.shape[0])
        ctx.merged = q >= MERGE_ROWS and may_merge(x, weight, mask)
        if ctx.merged:
            down, up = down.to(x.dtype), up.to(x.dtype)
            built = merged_weight(weight, down, up, scale)
            ctx.save_for_backward(x, built, down, up, None, None)
            return F.linear(x, built, bias)
        y = F.linear(x, weight, bias)
        # Under autocast the host chooses the precision; in-place products are not cast for us.
        x, down, up = x.to(y.dtype), down.to(y.dtype), up.to(y.dtype)
        mask = None if mask is None else mask.to(y.dtype)
        h = x @ down.t()
        if mask is not None:
            h = h * mask
        y.addmm_(h, up.t(), alpha=scale)
        kept = x if ctx.needs_input_grad[3] else None
        ctx.save_for_backward(kept, weight, down, up, h, mask)
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Any, ...]:
        g = gradients[0]
        x, weight, down, up, h, mask = ctx.saved_tensors
        need_x, need_down, need_up = (ctx.needs_input_grad[i] for i in (0, 3, 4))
        x_dtype, down_dtype, up_dtype = ctx.dtypes
        s = ctx.scale
        gx = gdown = gup = None
        gh = g @ up if need_down or (need_x and not ctx.merged) else None
        if gh is not None and mask is not None:
            gh = gh * mask
        if need_x:
            gx = g @ weight.to(g.dtype)
            if not ctx.merged:
                gx.addmm_(gh, down, alpha=s)
            gx = gx.to(x_dtype)
        if need_down:
            assert gh is not None
            gdown = scaled_product(gh.t(), x, s, down).to(down_dtype)
        if need_up:
            h = x @ down.t() if h is None else h
            gup = over_rows(g, h, s, up).to(up_dtype)
        return gx, None, None, gdown, gup, None, None


def scaled_product(a: Tensor, b: Tensor, scale: float, like: Tensor) -> Tensor:
    """s·a·b in one kernel; `like` has the shape of the result, and its numbers are not read."""
    return torch.addmm(like, a, b, beta=0, alpha=scale)


def over_rows(g: Tensor, h: Tensor, scale: float, like: Tensor) -> Tensor:
    """s·Σ over the rows of g·hᵀ; (N, O) and (N, r) → (O, r), the shape of `like`.

    On the CPU the narrow factor in front is 10 to 50 % faster, copying the result included.
    """
    if g.device.type == "cpu":
        return scaled_product(h.t(), g, scale, like.t()).t().contiguous()
    return scaled_product(g.t(), h, scale, like)


class _Pixels(torch.autograd.Function):
    """The 1×1 convolution, as matrices: (O, I) times (b, I, pixels)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
        mask: Tensor | None,
    ) -> Tensor:
        ctx.scale = scale
        ctx.dtypes = x.dtype, down.dtype, up.dtype
        q = work_of(x.shape[0] * x.shape[2], weight.shape[1], weight.shape[0])
        ctx.merged = q >= MERGE_PIXELS and may_merge(x, weight, mask)
        if ctx.merged:
            down, up = down.to(x.dtype), up.to(x.dtype)
            built = merged_weight(weight, down, up, scale)
            ctx.save_for_backward(x, built, down, up, None, None)
            return _matrices(built, bias, x)
        y = _matrices(weight, bias, x)
        x, down, up = x.to(y.dtype), down.to(y.dtype), up.to(y.dtype)
        mask = None if mask is None else mask.to(y.dtype)
        h = batched(down, x)
        if mask is not None:
            h = h * mask
        add_products(y, up, h, scale)
        kept = x if ctx.needs_input_grad[3] else None
        ctx.save_for_backward(kept, weight, down, up, h, mask)
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Any, ...]:
        g = gradients[0].contiguous()
        x, weight, down, up, h, mask = ctx.saved_tensors
        need_x, need_down, need_up = (ctx.needs_input_grad[i] for i in (0, 3, 4))
        x_dtype, down_dtype, up_dtype = ctx.dtypes
        s = ctx.scale
        gx = gdown = gup = None
        gh = batched(up.t(), g) if need_down or (need_x and not ctx.merged) else None
        if gh is not None and mask is not None:
            gh = gh * mask
        if need_x:
            gx = batched(weight.to(g.dtype).t(), g)
            if not ctx.merged:
                assert gh is not None
                add_products(gx, down.t(), gh, s)
            gx = gx.to(x_dtype)
        if need_down:
            assert gh is not None
            gdown = summed(gh, x).mul_(s).to(down_dtype)
        if need_up:
            h = batched(down, x) if h is None else h
            gup = summed(g, h).mul_(s).to(up_dtype)
        return gx, None, None, gdown, gup, None, None


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
        shape: ConvShape,
        mask: Tensor | None,
    ) -> Tensor:
        ctx.scale, ctx.shape = scale, shape
        ctx.dtypes = x.dtype, down.dtype, up.dtype
        pixels = x.shape[0] * x.shape[2] * x.shape[3] // (shape.stride[0] * shape.stride[1])
        q = work_of(pixels, weight[0].numel(), weight.shape[0])
        ctx.merged = q >= MERGE_CONV and may_merge(x, weight, mask)
        if ctx.merged:
            down, up = down.to(x.dtype), up.to(x.dtype)
            built = merged_weight(weight, down, up, scale)
            ctx.save_for_backward(x, built, down, up, None, None)
            return F.conv2d(x, built, bias, shape.stride, shape.padding)
        y = F.conv2d(x, weight, bias, shape.stride, shape.padding)
        x, down, up = x.to(y.dtype), down.to(y.dtype), up.to(y.dtype)
        mask = None if mask is None else mask.to(y.dtype)
        h = F.conv2d(x, down, None, shape.stride, shape.padding)
        if mask is not None:
            h = h * mask
        if y.is_contiguous() and h.is_contiguous():
            add_products(y.flatten(2), up, h.flatten(2), scale)
        else:  # channels_last: rows of a view would not be the output's own memory
            y = y + F.conv2d(h, (up * scale)[:, :, None, None])
        kept = x if ctx.needs_input_grad[3] or ctx.needs_input_grad[0] else None
        ctx.save_for_backward(kept, weight, down, up, h, mask)
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Any, ...]:
        g = gradients[0]
        x, weight, down, up, h, mask = ctx.saved_tensors
        need_x, need_down, need_up = (ctx.needs_input_grad[i] for i in (0, 3, 4))
        x_dtype, down_dtype, up_dtype = ctx.dtypes
        s, shape = ctx.scale, ctx.shape
        flat = g.flatten(2)
        gx = gdown = gup = None
        if need_up:
            if h is None:
                h = F.conv2d(x, down, None, shape.stride, shape.padding)
            gup = summed(flat, h.flatten(2)).mul_(s).to(up_dtype)
        if need_down or (need_x and not ctx.merged):
            size = g.shape[2:]
            gh = batched((up * s).t(), flat).view(g.shape[0], down.shape[0], *size)
            if mask is not None:
                gh = gh * mask
            through_down = need_x and not ctx.merged
            gx, gdown = conv_backward(gh, x, down, shape, through_down, need_down)
            gdown = None if gdown is None else gdown.to(down_dtype)
        if need_x:
            host, _ = conv_backward(g, x, weight.to(g.dtype), shape, True, False)
            assert host is not None
            gx = (host if gx is None else host.add_(gx)).to(x_dtype)
        return gx, None, None, gdown, gup, None, None, None


def conv_backward(
    g: Tensor, x: Tensor, weight: Tensor, shape: ConvShape, need_x: bool, need_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of a convolution's input and weight, None where not needed."""
    gx, gweight, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, shape.stride, shape.padding, (1, 1), False, (0, 0), 1,
        (need_x, need_weight, False),
    )  # fmt: skip
    return gx, gweight


def batched(matrix: Tensor, x: Tensor) -> Tensor:
    """(m, n) times (b, n, p) → (b, m, p), a plain product for one picture."""
    if x.shape[0] == 1:
        return (matrix @ x[0]).unsqueeze(0)
    return torch.bmm(matrix.expand(x.shape[0], -1, -1), x)


def _matrices(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """A 1×1 convolution of (b, c, p) with a bias; autocast applies as it does to the host."""
    if bias is None:
        return torch.matmul(weight, x)
    if x.shape[0] == 1:
        return torch.addmm(bias[:, None], weight, x[0]).unsqueeze(0)
    return torch.baddbmm(bias[:, None], weight.expand(x.shape[0], -1, -1), x)


def add_products(y: Tensor, matrix: Tensor, x: Tensor, scale: float) -> None:
    """Add s·matrix·x to y in place; (b, m, p), (m, n), (b, n, p)."""
    if y.shape[0] == 1:
        y[0].addmm_(matrix, x[0], alpha=scale)
    else:
        y.baddbmm_(matrix.expand(y.shape[0], -1, -1), x, alpha=scale)


def summed(a: Tensor, b: Tensor) -> Tensor:
    """Σ over the batch of a·bᵀ; (b, m, p) and (b, n, p) → (m, n)."""
    if a.shape[0] == 1:
        return a[0] @ b[0].t()
    return torch.bmm(a, b.transpose(1, 2)).sum(0)
