"""Small models and sites that the tests of the adapters share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.networks.adapter import Adapter, host_segments
from engine.networks.dropout import Dropouts
from engine.networks.hosts import AdaptedForward, put_on
from engine.plan.site import Placement, Segment, Site


class Attention(nn.Module):
    """q, k and v as three Linears; `forward` calls them in this order on one input."""

    def __init__(self, width: int = 6, bias: bool = True) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, 8, bias=bias)
        self.to_k = nn.Linear(width, 4, bias=bias)
        self.to_v = nn.Linear(width, 4, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.to_q(x), self.to_k(x), self.to_v(x)], dim=-1)


FUSED = Site(
    name="lora_unet_attn_qkv",
    component="denoiser",
    kind="linear",
    rows=16,
    columns=6,
    segments=(
        Segment("to_q", (0, 8), (0, 8)),
        Segment("to_k", (0, 4), (8, 12)),
        Segment("to_v", (0, 4), (12, 16)),
    ),
    family="img_attn",
)

SWAPPED = Site(
    name="lora_unet_final_adaLN",
    component="denoiser",
    kind="linear",
    rows=8,
    columns=6,
    segments=(Segment("linear", (0, 4), (4, 8)), Segment("linear", (4, 8), (0, 4))),
    family="mod",
)


def linear_site(name: str, module: str, rows: int, columns: int) -> Site:
    segment = Segment(module, (0, rows), (0, rows))
    return Site(name, "denoiser", "linear", rows, columns, (segment,), "attention")


def conv_site(name: str, module: str, host: nn.Conv2d) -> Site:
    rows = host.out_channels
    kernel, stride, padding = host.kernel_size, host.stride, host.padding
    assert not isinstance(padding, str)
    return Site(
        name,
        "denoiser",
        "conv",
        rows,
        host.in_channels,
        (Segment(module, (0, rows), (0, rows)),),
        "resnet_conv",
        kernel=(kernel[0], kernel[1]),
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1]),
    )


def filled(
    site: Site,
    rank: int = 4,
    alpha: float = 2.0,
    dropouts: Dropouts = Dropouts(),
    dtype: torch.dtype = torch.float64,
) -> Adapter:
    """An adapter whose `up` is not zero, so that it does something."""
    adapter = Adapter(Placement(site, rank, alpha, group="unet"), dropouts)
    adapter.init(1)
    nn.init.normal_(adapter.up)
    return adapter.to(dtype)


def attached(model: nn.Module, adapter: Adapter) -> list[AdaptedForward]:
    forwards = []
    for part, segments in enumerate(host_segments(adapter.site)):
        forwards.append(put_on(model.get_submodule(segments[0].module), adapter, part))
    return forwards


def error(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest relative error."""
    pairs = zip(ours, theirs, strict=True)
    return max(((a - b).norm() / b.norm().clamp(min=1e-30)).item() for a, b in pairs)
