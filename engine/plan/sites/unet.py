"""Sites of the U-Nets of SD 1.x, SD 2.x and SDXL: one walk over resnets, attentions and samplers.

What differs between them is data: widths, how many transformer blocks an attention of each level
has, which name a layer has in the file, and which block of the job's lists it belongs to
(spec: networks 3.2, 3.3, 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.plan.site import HostKind, Segment, Site

_SAMPLER = 2  # a sampler's place inside its level, in the count of blocks


@dataclass(frozen=True)
class UNet:
    """What decides the sites of a U-Net.

    Attributes:
        widths: channels of each level, from the picture's own resolution down.
        depths: transformer blocks in an attention of each level; 0: the level has resnets only.
        middle_depth: transformer blocks in the middle's attention.
        layers: resnets of a level on the way down; there is one more on the way up.
        text_width: width of the text states that the attentions read.
        linear_projection: an attention's first and last layer are Linears, not 1×1 convolutions.
        latent_side: side of the latent at the architecture's resolution; it only counts tokens for
            estimates.
        first_block: index of the first resnet on the way down in the job's block lists.
        middle: the indices of the middle's first resnet, attention and second resnet.
        original: a layer's diffusers path → its path in the original checkpoint.
        named_original: the name in the file follows the original path, not diffusers'.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    middle_depth: int
    layers: int
    text_width: int
    linear_projection: bool
    latent_side: int
    first_block: int
    middle: tuple[int, int, int]
    original: Callable[[str], str]
    named_original: bool

    @property
    def time_width(self) -> int:
        """Width of the time embedding that every resnet projects from."""
        return 4 * self.widths[0]

    @property
    def last(self) -> int:
        """The lowest level."""
        return len(self.widths) - 1

    def tokens(self, level: int) -> int:
        """Places of a latent at a level."""
        return (self.latent_side >> level) ** 2


def unet_sites(unet: UNet) -> Iterator[Site]:
    """All sites, in the order of the blocks."""
    yield from _down(unet)
    yield from _middle(unet)
    yield from _up(unet)


def _down(unet: UNet) -> Iterator[Site]:
    before = unet.widths[0]
    for level, width in enumerate(unet.widths):
        here = f"down_blocks.{level}"
        first = unet.first_block + 3 * level
        for layer in range(unet.layers):
            block = first + layer
            yield from _attention(
                unet, f"{here}.attentions.{layer}", unet.depths[level], level, block
            )
            incoming = before if layer == 0 else width
            yield from _resnet(unet, f"{here}.resnets.{layer}", incoming, level, block)
        if level < unet.last:
            module = f"{here}.downsamplers.0.conv"
            yield _conv3(unet, module, width, width, level, first + _SAMPLER, stride=(2, 2))
        before = width


def _middle(unet: UNet) -> Iterator[Site]:
    first, attention, second = unet.middle
    yield from _attention(unet, "mid_block.attentions.0", unet.middle_depth, unet.last, attention)
    for layer, block in enumerate((first, second)):
        here = f"mid_block.resnets.{layer}"
        yield from _resnet(unet, here, unet.widths[-1], unet.last, block)


def _up(unet: UNet) -> Iterator[Site]:
    widths = unet.widths[::-1]
    before = widths[0]
    for stage, width in enumerate(widths):
        level = unet.last - stage
        here = f"up_blocks.{stage}"
        first = unet.middle[-1] + 1 + 3 * stage
        below = widths[min(stage + 1, unet.last)]
        layers = unet.layers + 1
        for layer in range(layers):
            block = first + layer
            yield from _attention(
                unet, f"{here}.attentions.{layer}", unet.depths[level], level, block
            )
            incoming = before if layer == 0 else width
            skip = below if layer == layers - 1 else width
            yield from _resnet(unet, f"{here}.resnets.{layer}", incoming + skip, level, block)
        if level > 0:
            module = f"{here}.upsamplers.0.conv"
            yield _conv3(unet, module, width, width, level - 1, first + _SAMPLER)
        before = width


def _attention(unet: UNet, here: str, depth: int, level: int, block: int) -> Iterator[Site]:
    """The layers of one Transformer2DModel: its projections, and ten for each of its blocks."""
    if depth == 0:
        return
    width, text, tokens = unet.widths[level], unet.text_width, unet.tokens(level)
    conv = not unet.linear_projection

    def linear(module: str, rows: int, columns: int, family: str, seen: int = tokens) -> Site:
        return _site(unet, module, "linear", rows, columns, family, block, tokens=seen)

    def projection(module: str) -> Site:
        kind: HostKind = "conv" if conv else "linear"
        return _site(
            unet, module, kind, width, width, "projection", block, conv1x1=conv, tokens=tokens
        )

    yield projection(f"{here}.proj_in")
    for number in range(depth):
        inner = f"{here}.transformer_blocks.{number}"
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            yield linear(f"{inner}.attn1.{part}", width, width, "attention")
        # GEGLU: the first layer gives two halves
        yield linear(f"{inner}.ff.net.0.proj", 8 * width, width, "feed_forward")
        yield linear(f"{inner}.ff.net.2", width, 4 * width, "feed_forward")
        yield linear(f"{inner}.attn2.to_q", width, width, "attention")
        yield linear(f"{inner}.attn2.to_k", width, text, "attention", 0)
        yield linear(f"{inner}.attn2.to_v", width, text, "attention", 0)
        yield linear(f"{inner}.attn2.to_out.0", width, width, "attention")
    yield projection(f"{here}.proj_out")


def _resnet(unet: UNet, here: str, incoming: int, level: int, block: int) -> Iterator[Site]:
    width = unet.widths[level]
    yield _conv3(unet, f"{here}.conv1", width, incoming, level, block)
    yield _site(
        unet, f"{here}.time_emb_proj", "linear", width, unet.time_width, "resnet_linear", block,
        default=False, tokens=1,
    )  # fmt: skip
    yield _conv3(unet, f"{here}.conv2", width, width, level, block)
    if incoming != width:
        yield _site(
            unet, f"{here}.conv_shortcut", "conv", width, incoming, "resnet_linear", block,
            default=False, conv1x1=True, tokens=unet.tokens(level),
        )  # fmt: skip


def _conv3(
    unet: UNet,
    module: str,
    rows: int,
    columns: int,
    level: int,
    block: int,
    stride: tuple[int, int] = (1, 1),
) -> Site:
    return _site(
        unet, module, "conv", rows, columns, "resnet_conv", block,
        kernel=(3, 3), stride=stride, padding=(1, 1), default=False, tokens=unet.tokens(level),
    )  # fmt: skip


def _site(
    unet: UNet,
    module: str,
    kind: HostKind,
    rows: int,
    columns: int,
    family: str,
    block: int,
    *,
    kernel: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    default: bool = True,
    conv1x1: bool = False,
    tokens: int = 0,
) -> Site:
    original = unet.original(module)
    named = original if unet.named_original else module
    return Site(
        name=f"lora_unet_{named.replace('.', '_')}",
        component="denoiser",
        kind=kind,
        rows=rows,
        columns=columns,
        segments=(Segment(module, (0, rows), (0, rows)),),
        family=family,
        kernel=kernel,
        stride=stride,
        padding=padding,
        block=block,
        original=original,
        default=default,
        tokens=tokens,
        conv1x1=conv1x1,
    )
