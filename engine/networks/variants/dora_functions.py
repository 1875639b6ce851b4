"""DoRA by output: host, adapter and magnitude in one autograd Function per kind of layer.

y = c ∘ (W + s·up·down)x + b with c = m / n, n the row norms of W + s·up·down. The norms come from
small matrices, never from a full-size weight: with P = W·downᵀ and G = down·downᵀ,
n² = ‖W‖² + 2s·Σ P∘up + s²·Σ (up·G)∘up. The gradient flows through them (spec: networks 5.4,
adapter-performance 3).

Letters as in `engine.networks.functions`; d = the gradient of c, summed over all rows; and
e = −d·c/n², the gradient of n² doubled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from engine.networks.functions import (
    ConvShape,
    add_products,
    conv_backward,
    may_merge,
    over_rows,
    summed,
    work_of,
)

MERGE_ROWS = 1.0
MERGE_PIXELS = 1.0
MERGE_CONV = 8.0
"""From which q on it is cheaper to build c ∘ (W + s·up·down) once (measured on CPU)."""

TINY = torch.finfo(torch.float32).eps ** 2


def dora_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    scale: float,
    magnitude: Tensor,
    square: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """Compute a Linear with the weight m ∘ V/‖V‖, V = W + s·up·down, W and bias frozen.

    Args:
        x: (..., I).
        weight, bias: the host's (O, I) and (O,).
        down, up, scale: of the adapter, (r, I) and (O, r).
        magnitude: m, (O,).
        square: ‖W‖² of every row, (O,), float32.
        mask: (..., r), or None; it acts on down(x), not on the norms.

    Returns:
        (..., O), in the dtype the host gives.
    """
    rows = x.reshape(-1, x.shape[-1])
    mask = None if mask is None else mask.reshape(-1, mask.shape[-1])
    y: Any = _DoraRows.apply(rows, weight, bias, down, up, magnitude, square, scale, mask)
    return y.view(*x.shape[:-1], weight.shape[0])


def dora_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    scale: float,
    shape: ConvShape,
    magnitude: Tensor,
    square: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """The same for a convolution: x (b, c, h, w), down (r, c, k, k), up (O, r, 1, 1)."""
    y: Any = _DoraConv.apply(
        x, weight, bias, down, up.flatten(1), magnitude, square, scale, shape, mask
    )
    return y


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, or as it is in float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def squared_norms(
    square: Tensor, projected: Tensor, gram: Tensor, up: Tensor, scale: float
) -> Tensor:
    """Return n² of W + s·up·down by rows, (O,), float32; `projected` is P (O, r), `gram` G."""
    up = wide(up)
    cross = (wide(projected) * up).sum(1)
    own = ((up @ gram) * up).sum(1)
    return (square + (2 * scale) * cross + scale**2 * own).clamp(min=0) + TINY


def _gains(
    square: Tensor, projected: Tensor, down: Tensor, up: Tensor, magnitude: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return c, n and G in float32, from flattened factors."""
    # Under autocast these small products would be rounded to half precision.
    with torch.autocast(square.device.type, enabled=False):
        gram = wide(down) @ wide(down).t()
        norm = squared_norms(square, projected, gram, up, scale).sqrt()
    return wide(magnitude) / norm, norm, gram


def _norm_gradients(
    e: Tensor, projected: Tensor, gram: Tensor, down: Tensor, up: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """What the norms add to the gradients of `up`, and of `down` without its part through W."""
    weighted = e[:, None] * up
    gup = scale * e[:, None] * (projected + scale * (up @ gram))
    gdown = scale**2 * (weighted.t() @ up) @ down
    return gup, gdown


class _DoraRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        magnitude: Tensor,
        square: Tensor,
        scale: float,
        mask: Tensor | None,
    ) -> Tensor:
        ctx.scale = scale
        ctx.dtypes = x.dtype, down.dtype, up.dtype, magnitude.dtype
        q = work_of(x.shape[0], weight.shape[1], weight.shape[0])
        ctx.merged = q >= MERGE_ROWS and may_merge(x, weight, mask)
        if ctx.merged:
            down, up = down.to(x.dtype), up.to(x.dtype)
            projected = weight @ down.t()
            gain, norm, gram = _gains(square, projected, down, up, magnitude, scale)
            built = torch.addmm(weight, up, down, alpha=scale).mul_(gain.to(x.dtype)[:, None])
            y = F.linear(x, built, bias)
            ctx.save_for_backward(
                x, weight, bias, down, up, magnitude, projected, gram, norm, gain, built, y, None
            )
            return y
        # The rows of `down` go through the host beside x: W is read once for both.
        both = F.linear(torch.cat([x, down.to(x.dtype)]), weight)
        u, projected = both[: x.shape[0]], both[x.shape[0] :].t()
        x, down, up = x.to(u.dtype), down.to(u.dtype), up.to(u.dtype)
        mask = None if mask is None else mask.to(u.dtype)
        h = x @ down.t()
        if mask is not None:
            h = h * mask
        u.addmm_(h, up.t(), alpha=scale)
        gain, norm, gram = _gains(square, projected, down, up, magnitude, scale)
        factor = gain.to(u.dtype)
        y = u * factor if bias is None else torch.addcmul(bias.to(u.dtype), u, factor)
        kept = x if ctx.needs_input_grad[3] else None
        ctx.save_for_backward(
            kept, weight, mask, down, up, magnitude, projected, gram, norm, gain, None, u, h
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        work = _rows_merged if ctx.merged else _rows_beside
        gx, gdown, gup, gmagnitude = work(ctx, gradients[0], *saved)
        x_dtype, down_dtype, up_dtype, magnitude_dtype = ctx.dtypes
        return (
            None if gx is None else gx.to(x_dtype),
            None,
            None,
            None if gdown is None else gdown.to(down_dtype),
            gup.to(up_dtype),
            gmagnitude.to(magnitude_dtype),
            None,
            None,
            None,
        )


def _rows_beside(
    ctx: Any, g: Tensor, x: Tensor | None, weight: Tensor, mask: Tensor | None, down: Tensor,
    up: Tensor, magnitude: Tensor, projected: Tensor, gram: Tensor, norm: Tensor, gain: Tensor,
    built: None, u: Tensor, h: Tensor,
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:  # fmt: skip
    """Gradients where host and adapter were added: x, down, up, magnitude."""
    s, rows, rank = ctx.scale, g.shape[0], down.shape[0]
    need_x, need_down = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
    through = g.new_empty(rows + rank, g.shape[1])
    gu = torch.mul(g, gain.to(g.dtype), out=through[:rows])
    d, _ = _column_sums(g, u, gain)
    e = -d * gain / norm.square()
    through[rows:] = (e[:, None] * up).t().to(g.dtype)
    gh = gu @ up
    if mask is not None:
        gh = gh * mask
    gup, gdown = _norm_gradients(e, wide(projected), gram, wide(down), wide(up), s)
    gup = gup.add_(over_rows(gu, h, s, up))
    gx = None
    if need_x:  # again one product for both: the host's gradient, and that of P through W
        both = through @ weight.to(g.dtype)
        gx = both[:rows].addmm_(gh, down, alpha=s)
        of_rows = both[rows:]
    else:
        of_rows = through[rows:] @ weight.to(g.dtype) if need_down else None
    if not need_down:
        return gx, None, gup, d / norm
    assert x is not None
    assert of_rows is not None
    gdown = gdown.add_(of_rows, alpha=s).add_(gh.t() @ x, alpha=s)
    return gx, gdown, gup, d / norm


def _rows_merged(
    ctx: Any, g: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor,
    magnitude: Tensor, projected: Tensor, gram: Tensor, norm: Tensor, gain: Tensor, built: Tensor,
    y: Tensor, h: None,
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:  # fmt: skip
    """The same where the weight was built; y − b stands for c∘u."""
    s = ctx.scale
    scaled, of_bias = _column_sums(g, y, gain)
    if bias is not None:
        scaled = scaled - bias * of_bias
    e = -scaled / norm.square()
    gup, gdown = _norm_gradients(e, projected, gram, down, up, s)
    gup.add_(gain[:, None] * over_rows(g, x @ down.t(), s, up))
    gx = g @ built if ctx.needs_input_grad[0] else None
    gmagnitude = _over(scaled, magnitude)
    if not ctx.needs_input_grad[3]:
        return gx, None, gup, gmagnitude
    gh = g @ (gain[:, None] * up)
    gdown.add_(gh.t() @ x, alpha=s).add_((e[:, None] * up).t() @ weight, alpha=s)
    return gx, gdown, gup, gmagnitude


def _column_sums(g: Tensor, y: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ g∘y and Σ g over the rows, (O,) each, in `gain`'s dtype; it gives only that.

    g∘y would be one more full-size tensor, and writing it costs several times what reading g and
    y does. The backward of a layer norm with mean 0 and deviation 1 has both sums in one pass.
    """
    if g.device.type != "cpu" or g.dtype != gain.dtype or y.dtype != gain.dtype:
        return (g * y).sum(0, dtype=gain.dtype), g.sum(0, dtype=gain.dtype)
    ones = g.new_ones(g.shape[0], 1)
    _, products, plain = torch.ops.aten.native_layer_norm_backward(
        g, y, [g.shape[1]], torch.zeros_like(ones), ones, gain, gain, [False, True, True]
    )
    return products, plain


def _over(scaled: Tensor, magnitude: Tensor) -> Tensor:
    """Divide c·d by m to d/n; a magnitude of exactly 0 hides it and gets no gradient."""
    zero = magnitude == 0
    return torch.where(zero, torch.zeros_like(scaled), scaled / torch.where(zero, 1, magnitude))


class _DoraConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        magnitude: Tensor,
        square: Tensor,
        scale: float,
        shape: ConvShape,
        mask: Tensor | None,
    ) -> Tensor:
        ctx.scale, ctx.shape = scale, shape
        ctx.dtypes = x.dtype, down.dtype, up.dtype, magnitude.dtype
        pixels = x.shape[0] * x.shape[2] * x.shape[3] // (shape.stride[0] * shape.stride[1])
        q = work_of(pixels, weight[0].numel(), weight.shape[0])
        least = MERGE_PIXELS if weight[0, 0].numel() == 1 else MERGE_CONV
        ctx.merged = q >= least and may_merge(x, weight, mask)
        if ctx.merged:
            down, up = down.to(x.dtype), up.to(x.dtype)
            projected = weight.flatten(1) @ down.flatten(1).t()
            gain, norm, gram = _gains(square, projected, down.flatten(1), up, magnitude, scale)
            built = torch.addmm(weight.flatten(1), up, down.flatten(1), alpha=scale)
            built = built.mul_(gain.to(x.dtype)[:, None]).view(weight.shape)
            y = F.conv2d(x, built, bias, shape.stride, shape.padding)
            ctx.save_for_backward(
                x, weight, bias, down, up, magnitude, projected, gram, norm, gain, built, y, None
            )
            return y
        u = F.conv2d(x, weight, None, shape.stride, shape.padding)
        x, down, up = x.to(u.dtype), down.to(u.dtype), up.to(u.dtype)
        mask = None if mask is None else mask.to(u.dtype)
        projected = weight.flatten(1).to(u.dtype) @ down.flatten(1).t()
        h = F.conv2d(x, down, None, shape.stride, shape.padding)
        if mask is not None:
            h = h * mask
        if u.is_contiguous() and h.is_contiguous():
            add_products(u.flatten(2), up, h.flatten(2), scale)
        else:  # channels_last
            u = u + F.conv2d(h, (up * scale)[:, :, None, None])
        gain, norm, gram = _gains(square, projected, down.flatten(1), up, magnitude, scale)
        factor = gain.to(u.dtype)[:, None, None]
        y = (
            u * factor
            if bias is None
            else torch.addcmul(bias.to(u.dtype)[:, None, None], u, factor)
        )
        ctx.save_for_backward(
            x, weight, mask, down, up, magnitude, projected, gram, norm, gain, None, u, h
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Any, ...]:
        g = gradients[0]
        x, weight, third, down, up, magnitude, projected, gram, norm, gain, built, u, h = (
            ctx.saved_tensors
        )
        s, shape = ctx.scale, ctx.shape
        need_x, need_down = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
        summed_gu = (g * u).sum((0, 2, 3), dtype=norm.dtype)
        if ctx.merged:
            if third is not None:
                summed_gu = summed_gu - third * g.sum((0, 2, 3))
            e, gmagnitude = -summed_gu / norm.square(), _over(summed_gu, wide(magnitude))
            h = F.conv2d(x, down, None, shape.stride, shape.padding)
        else:
            e, gmagnitude = -summed_gu * gain / norm.square(), summed_gu / norm
        gu = g * gain.to(g.dtype)[:, None, None]
        flat_down = down.flatten(1)
        gup, gdown = _norm_gradients(e, wide(projected), gram, wide(flat_down), wide(up), s)
        gup = gup.add_(summed(gu.flatten(2), h.flatten(2)), alpha=s)
        gh = F.conv2d(gu, (up * s).t()[:, :, None, None])
        if not ctx.merged and third is not None:
            gh = gh * third
        through_down = need_x and not ctx.merged
        gx = None
        of_down = None
        if through_down or need_down:
            gx, of_down = conv_backward(gh, x, down, shape, through_down, need_down)
        if of_down is not None:
            gdown = gdown.add_(of_down.flatten(1))
            gdown.add_((e[:, None] * up).t().to(weight.dtype) @ weight.flatten(1), alpha=s)
        if need_x:
            host_g, host = (g, built) if ctx.merged else (gu, weight.to(g.dtype))
            through_host, _ = conv_backward(host_g, x, host, shape, True, False)
            assert through_host is not None
            gx = through_host if gx is None else through_host.add_(gx)
        x_dtype, down_dtype, up_dtype, magnitude_dtype = ctx.dtypes
        return (
            None if gx is None else gx.to(x_dtype),
            None,
            None,
            gdown.to(down_dtype).view(down.shape) if need_down else None,
            gup.to(up_dtype),
            gmagnitude.to(magnitude_dtype),
            None,
            None,
            None,
            None,
        )
