"""Sites of SD 1.x and 2.x: a U-Net of 25 blocks and one CLIP text encoder.

Spec: networks 3.1, 3.2. Names in the file are the diffusers paths. Everything follows from a few
widths, so that the real models, the demo and the tests' tiny ones share the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.plan.site import HostKind, Segment, Site

LEVELS = 4
ATTENTION_LEVELS = 3  # the lowest level of a U-Net has resnets only
_SAMPLER = 2  # a sampler's place inside its level, in the count of blocks


@dataclass(frozen=True)
class SdShape:
    """What decides the sites of an SD model; the defaults are SD 1.x.

    `latent_side` is the side of the latent at the architecture's resolution; it only counts tokens
    for estimates.
    """

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    cross_attention_dim: int = 768
    linear_projection: bool = False
    text_width: int = 768
    text_mlp: int = 3072
    text_layers: int = 12
    latent_side: int = 64

    @property
    def time_width(self) -> int:
        """Width of the time embedding that every resnet projects from."""
        return 4 * self.block_out_channels[0]


SD1 = SdShape()
SD2 = SdShape(
    cross_attention_dim=1024,
    linear_projection=True,
    text_width=1024,
    text_mlp=4096,
    text_layers=23,
    latent_side=96,
)


def sd_shape(
    unet: dict[str, Any], text_encoder: dict[str, Any] | None, latent_side: int
) -> SdShape:
    """Read the shape off the configs of the libraries' U-Net and text encoder.

    Raises:
        ValueError: if the U-Net has not the block structure of SD 1.x/2.x.
    """
    channels = tuple(int(c) for c in unet.get("block_out_channels", ()))
    down = list(unet.get("down_block_types", ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]))
    if len(channels) != LEVELS or down != ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]:
        raise ValueError("the U-Net has not the 25 blocks of SD 1.x and 2.x")
    text = text_encoder or {}
    return SdShape(
        block_out_channels=channels,
        layers_per_block=int(unet.get("layers_per_block", 2)),
        cross_attention_dim=int(unet.get("cross_attention_dim", 768)),
        linear_projection=bool(unet.get("use_linear_projection", False)),
        text_width=int(text.get("hidden_size", unet.get("cross_attention_dim", 768))),
        text_mlp=int(text.get("intermediate_size", 3072)),
        text_layers=int(text.get("num_hidden_layers", 12)),
        latent_side=latent_side,
    )


def sd_sites(shape: SdShape) -> tuple[Site, ...]:
    """All sites: text encoder first, then the U-Net in the order of its blocks."""
    return (*_text_sites(shape), *_down_sites(shape), *_middle_sites(shape), *_up_sites(shape))


def _text_sites(shape: SdShape) -> Iterator[Site]:
    width, mlp = shape.text_width, shape.text_mlp
    for layer in range(shape.text_layers):
        here = f"encoder.layers.{layer}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield _text_site(f"{here}.self_attn.{part}", width, width, "text_attention")
        yield _text_site(f"{here}.mlp.fc1", mlp, width, "text_mlp")
        yield _text_site(f"{here}.mlp.fc2", width, mlp, "text_mlp")


def _text_site(module: str, rows: int, columns: int, family: str) -> Site:
    original = f"text_model.{module}"  # transformers 5 dropped this level from the module path
    return Site(
        name=f"lora_te_{original.replace('.', '_')}",
        component="text_encoder",
        kind="linear",
        rows=rows,
        columns=columns,
        segments=(Segment(module, (0, rows), (0, rows)),),
        family=family,
        original=original,
    )


def _down_sites(shape: SdShape) -> Iterator[Site]:
    channels = shape.block_out_channels
    before = channels[0]
    for level, width in enumerate(channels):
        here = f"down_blocks.{level}"
        for layer in range(shape.layers_per_block):
            block = 1 + 3 * level + layer
            if level < ATTENTION_LEVELS:
                yield from _attention(shape, f"{here}.attentions.{layer}", width, level, block)
            incoming = before if layer == 0 else width
            yield from _resnet(shape, f"{here}.resnets.{layer}", incoming, width, level, block)
        if level < LEVELS - 1:
            module = f"{here}.downsamplers.0.conv"
            yield _conv3(
                module, width, width, (2, 2), _tokens(shape, level), 1 + 3 * level + _SAMPLER
            )
        before = width


def _middle_sites(shape: SdShape) -> Iterator[Site]:
    width, level, block = shape.block_out_channels[-1], LEVELS - 1, 12
    yield from _attention(shape, "mid_block.attentions.0", width, level, block)
    for layer in range(2):
        yield from _resnet(shape, f"mid_block.resnets.{layer}", width, width, level, block)


def _up_sites(shape: SdShape) -> Iterator[Site]:
    channels = shape.block_out_channels[::-1]
    before = channels[0]
    for stage, width in enumerate(channels):
        level = LEVELS - 1 - stage
        here = f"up_blocks.{stage}"
        below = channels[min(stage + 1, LEVELS - 1)]
        layers = shape.layers_per_block + 1
        for layer in range(layers):
            block = 13 + 3 * stage + layer
            if level < ATTENTION_LEVELS:
                yield from _attention(shape, f"{here}.attentions.{layer}", width, level, block)
            incoming = before if layer == 0 else width
            skip = below if layer == layers - 1 else width
            yield from _resnet(
                shape, f"{here}.resnets.{layer}", incoming + skip, width, level, block
            )
        if level > 0:
            module = f"{here}.upsamplers.0.conv"
            yield _conv3(
                module, width, width, (1, 1), _tokens(shape, level - 1), 13 + 3 * stage + 2
            )
        before = width


def _tokens(shape: SdShape, level: int) -> int:
    return (shape.latent_side >> level) ** 2


def _attention(shape: SdShape, here: str, width: int, level: int, block: int) -> Iterator[Site]:
    """The twelve layers of one Transformer2DModel with a single transformer block."""
    tokens = _tokens(shape, level)
    conv = not shape.linear_projection
    inner, text = f"{here}.transformer_blocks.0", shape.cross_attention_dim

    def linear(module: str, rows: int, columns: int, family: str, seen: int = tokens) -> Site:
        return _unet_site(module, "linear", rows, columns, family, block, tokens=seen)

    def projection(module: str) -> Site:
        kind: HostKind = "conv" if conv else "linear"
        return _unet_site(
            module, kind, width, width, "projection", block, conv1x1=conv, tokens=tokens
        )

    yield projection(f"{here}.proj_in")
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        yield linear(f"{inner}.attn1.{part}", width, width, "attention")
    yield linear(f"{inner}.ff.net.0.proj", 8 * width, width, "feed_forward")  # GEGLU: two halves
    yield linear(f"{inner}.ff.net.2", width, 4 * width, "feed_forward")
    yield linear(f"{inner}.attn2.to_q", width, width, "attention")
    yield linear(f"{inner}.attn2.to_k", width, text, "attention", 0)
    yield linear(f"{inner}.attn2.to_v", width, text, "attention", 0)
    yield linear(f"{inner}.attn2.to_out.0", width, width, "attention")
    yield projection(f"{here}.proj_out")


def _resnet(
    shape: SdShape, here: str, incoming: int, width: int, level: int, block: int
) -> Iterator[Site]:
    tokens = _tokens(shape, level)
    yield _conv3(f"{here}.conv1", width, incoming, (1, 1), tokens, block)
    yield _unet_site(
        f"{here}.time_emb_proj", "linear", width, shape.time_width, "resnet_linear", block,
        default=False, tokens=1,
    )  # fmt: skip
    yield _conv3(f"{here}.conv2", width, width, (1, 1), tokens, block)
    if incoming != width:
        yield _unet_site(
            f"{here}.conv_shortcut", "conv", width, incoming, "resnet_linear", block,
            default=False, conv1x1=True, tokens=tokens,
        )  # fmt: skip


def _conv3(
    module: str, rows: int, columns: int, stride: tuple[int, int], tokens: int, block: int
) -> Site:
    return _unet_site(
        module, "conv", rows, columns, "resnet_conv", block,
        kernel=(3, 3), stride=stride, padding=(1, 1), default=False, tokens=tokens,
    )  # fmt: skip


def _unet_site(
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
    return Site(
        name=f"lora_unet_{module.replace('.', '_')}",
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
        original=module,
        default=default,
        tokens=tokens,
        conv1x1=conv1x1,
    )
