"""Sites of SD3 and SD3.5: joint blocks, their conditioning, and up to three text encoders.

Names in the file follow the original layout, where q, k and v are one layer. The modulation of the
last context block and of the final layer is stored there with its halves swapped (spec: networks
3.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.plan.site import HostKind, Segment, Site
from engine.plan.sites.text_encoders import (
    CLIP_G,
    CLIP_L,
    T5_XXL,
    ClipSize,
    T5Size,
    clip_sites,
    clip_size,
    t5_sites,
    t5_size,
)

PATCH = 2  # latents of a patch's side
TIME_WIDTH = 256  # of the sinusoids that a timestep becomes
HEAD_WIDTH = 64  # of every attention head
CONTEXT_TOKENS = 77 + 256  # of CLIP and T5, for estimates


@dataclass(frozen=True)
class Sd3Shape:
    """What decides the sites of an SD3 model; the defaults are SD3-medium.

    Attributes:
        width: of a token, picture's and text's alike.
        layers: joint blocks; the last one leaves the text as it is.
        dual: the blocks with a second attention among the picture's own tokens.
        normalized: queries and keys have a norm.
        context_width: of a text token before it is embedded.
        pooled_width: of the pooled text.
        latent_channels: of the VAE.
        position_side: of the table of positions; larger pictures than 16 times it are refused.
        clip_l, clip_g: the sizes of the CLIP encoders.
        t5: the size of the third one, None where there is none.
        latent_side: of the latent at 1024 pixels; it only counts tokens for estimates.
    """

    width: int = 1536
    layers: int = 24
    dual: tuple[int, ...] = ()
    normalized: bool = False
    context_width: int = 4096
    pooled_width: int = 2048
    latent_channels: int = 16
    position_side: int = 192
    clip_l: ClipSize = CLIP_L
    clip_g: ClipSize = CLIP_G
    t5: T5Size | None = T5_XXL
    latent_side: int = 128


SD3_MEDIUM = Sd3Shape()
SD35_MEDIUM = Sd3Shape(dual=tuple(range(13)), normalized=True, position_side=384)
SD35_LARGE = Sd3Shape(width=2432, layers=38, normalized=True)
VARIANTS = {"medium": SD3_MEDIUM, "3.5-medium": SD35_MEDIUM, "3.5-large": SD35_LARGE}
"""The published sizes by the variant's name."""


def sd3_shape(configs: Mapping[str, Mapping[str, Any]]) -> Sd3Shape:
    """Read the shape off the libraries' configs by role; what is absent counts as published.

    Raises:
        ValueError: if the transformer is not built as SD3's.
    """
    shape = SD3_MEDIUM
    if "denoiser" in configs:
        shape = _transformer_shape(configs["denoiser"])
    if "text_encoder" in configs:
        shape = replace(shape, clip_l=clip_size(configs["text_encoder"]))
    if "text_encoder_2" in configs:
        shape = replace(shape, clip_g=clip_size(configs["text_encoder_2"]))
    if "text_encoder_3" in configs:
        shape = replace(shape, t5=t5_size(configs["text_encoder_3"]))
    return shape


def _transformer_shape(config: Mapping[str, Any]) -> Sd3Shape:
    if config.get("patch_size", PATCH) != PATCH:
        raise ValueError(f"its patches are not {PATCH} latents wide")
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    if int(config["caption_projection_dim"]) != width:
        raise ValueError("its text and its picture tokens differ in width")
    return Sd3Shape(
        width=width,
        layers=int(config["num_layers"]),
        dual=tuple(int(i) for i in config.get("dual_attention_layers") or ()),
        normalized=config.get("qk_norm") is not None,
        context_width=int(config["joint_attention_dim"]),
        pooled_width=int(config["pooled_projection_dim"]),
        latent_channels=int(config.get("in_channels", 16)),
        position_side=int(config["pos_embed_max_size"]),
    )


def variant_of(shape: Sd3Shape) -> str:
    """The name of the published model with this structure, whatever its widths."""
    if shape.dual:
        return "3.5-medium"
    return "3.5-large" if shape.normalized else "medium"


def sd3_sites(shape: Sd3Shape) -> tuple[Site, ...]:
    """All sites: text encoders, joint blocks in order, then the conditioning layers."""
    sites = [
        *clip_sites(shape.clip_l, "lora_te1", "text_encoder", projected=True),
        *clip_sites(shape.clip_g, "lora_te2", "text_encoder_2", projected=True),
    ]
    if shape.t5 is not None:
        sites += t5_sites(shape.t5, "lora_te3", "text_encoder_3")
    for block in range(shape.layers):
        sites += _context_block(shape, block)
        sites += _picture_block(shape, block)
    return (*sites, *_conditioning(shape))


def _context_block(shape: Sd3Shape, block: int) -> Iterator[Site]:
    """The text's half of a joint block; in the last one only what its attention needs."""
    width, last = shape.width, block == shape.layers - 1
    here, there = f"joint_blocks.{block}.context_block", f"transformer_blocks.{block}"
    tokens = CONTEXT_TOKENS
    yield _fused(
        f"{here}.attn.qkv",
        tuple(f"{there}.attn.add_{part}_proj" for part in "qkv"),
        width, "context_attn", block, tokens,
    )  # fmt: skip
    modulation = f"{here}.adaLN_modulation.1", f"{there}.norm1_context.linear"
    if last:
        yield _swapped(*modulation, width, "context_mod", block)
        return
    yield _linear(
        f"{here}.attn.proj", f"{there}.attn.to_add_out", width, width, "context_attn", block, tokens
    )
    yield from _mlp(f"{here}.mlp", f"{there}.ff_context.net", width, "context_mlp", block, tokens)
    yield _linear(*modulation, 6 * width, width, "context_mod", block, 1)


def _picture_block(shape: Sd3Shape, block: int) -> Iterator[Site]:
    """The picture's half of a joint block."""
    width, dual = shape.width, block in shape.dual
    here, there = f"joint_blocks.{block}.x_block", f"transformer_blocks.{block}"
    tokens = (shape.latent_side // PATCH) ** 2
    for attention in ("attn", "attn2") if dual else ("attn",):
        yield _fused(
            f"{here}.{attention}.qkv",
            tuple(f"{there}.{attention}.to_{part}" for part in "qkv"),
            width, "x_attn", block, tokens,
        )  # fmt: skip
        yield _linear(
            f"{here}.{attention}.proj", f"{there}.{attention}.to_out.0",
            width, width, "x_attn", block, tokens,
        )  # fmt: skip
    yield from _mlp(f"{here}.mlp", f"{there}.ff.net", width, "x_mlp", block, tokens)
    rows = (9 if dual else 6) * width
    yield _linear(
        f"{here}.adaLN_modulation.1", f"{there}.norm1.linear", rows, width, "x_mod", block, 1
    )


def _mlp(here: str, there: str, width: int, family: str, block: int, tokens: int) -> Iterator[Site]:
    yield _linear(f"{here}.fc1", f"{there}.0.proj", 4 * width, width, family, block, tokens)
    yield _linear(f"{here}.fc2", f"{there}.2", width, 4 * width, family, block, tokens)


def _conditioning(shape: Sd3Shape) -> Iterator[Site]:
    """What `emb_dims` turns on, in the order of its numbers (spec: networks 4.3)."""
    width, embedder = shape.width, "time_text_embed"
    tokens = (shape.latent_side // PATCH) ** 2
    yield _linear(
        "context_embedder", "context_embedder", width, shape.context_width, "emb", None,
        CONTEXT_TOKENS,
    )  # fmt: skip
    time, pooled = f"{embedder}.timestep_embedder", f"{embedder}.text_embedder"
    yield _linear("t_embedder.mlp.0", f"{time}.linear_1", width, TIME_WIDTH, "emb", None, 1)
    yield _linear("t_embedder.mlp.2", f"{time}.linear_2", width, width, "emb", None, 1)
    yield _site(
        "x_embedder.proj", "conv", width, shape.latent_channels,
        (Segment("pos_embed.proj", (0, width), (0, width)),),
        "emb", None, tokens, kernel=(PATCH, PATCH), stride=(PATCH, PATCH),
    )  # fmt: skip
    inputs = shape.pooled_width
    yield _linear("y_embedder.mlp.0", f"{pooled}.linear_1", width, inputs, "emb", None, 1)
    yield _linear("y_embedder.mlp.2", f"{pooled}.linear_2", width, width, "emb", None, 1)
    yield _swapped("final_layer.adaLN_modulation.1", "norm_out.linear", width, "emb", None)
    outputs = PATCH**2 * shape.latent_channels
    yield _linear("final_layer.linear", "proj_out", outputs, width, "emb", None, tokens)


def _linear(
    original: str, module: str, rows: int, columns: int, family: str, block: int | None, tokens: int
) -> Site:
    segments = (Segment(module, (0, rows), (0, rows)),)
    return _site(original, "linear", rows, columns, segments, family, block, tokens)


def _fused(
    original: str, modules: tuple[str, ...], width: int, family: str, block: int, tokens: int
) -> Site:
    """One layer of the file that is several modules of equal size in the library."""
    segments = tuple(
        Segment(module, (0, width), (i * width, (i + 1) * width))
        for i, module in enumerate(modules)
    )
    rows = width * len(modules)
    return _site(original, "linear", rows, width, segments, family, block, tokens)


def _swapped(original: str, module: str, width: int, family: str, block: int | None) -> Site:
    """Shift and scale in the file, scale and shift in the library."""
    low, high = (0, width), (width, 2 * width)
    segments = (Segment(module, low, high), Segment(module, high, low))
    return _site(original, "linear", 2 * width, width, segments, family, block, 1)


def _site(
    original: str,
    kind: HostKind,
    rows: int,
    columns: int,
    segments: tuple[Segment, ...],
    family: str,
    block: int | None,
    tokens: int,
    *,
    kernel: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
) -> Site:
    return Site(
        name=f"lora_unet_{original.replace('.', '_')}",
        component="denoiser",
        kind=kind,
        rows=rows,
        columns=columns,
        segments=segments,
        family=family,
        kernel=kernel,
        stride=stride,
        block=block,
        original=original,
        default=block is not None,
        tokens=tokens,
    )
