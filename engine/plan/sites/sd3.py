"""Sites of SD3 and SD3.5: joint blocks, their conditioning, and up to three text encoders.

Names in the file follow the original layout, where q, k and v are one layer. The modulation of the
last context block and of the final layer is stored there with its halves swapped (spec: networks
3.5).
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.plan.site import HostKind, Segment, Site
from engine.plan.sites.norms import norm_site
from engine.plan.sites.sd3_shape import (
    PATCH,
    TIME_WIDTH,
    VARIANTS,
    Sd3Shape,
    sd3_shape,
    sd3_shape_of_names,
    sd3_variant,
)
from engine.plan.sites.site_rules import SiteRules
from engine.plan.sites.text_encoders import clip_sites, t5_sites

CONTEXT_TOKENS = 77 + 256  # of CLIP and T5, for estimates


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
    sites += _conditioning(shape)
    if shape.normalized:
        sites += _norms(shape)
    return tuple(sites)


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


def _norms(shape: Sd3Shape) -> Iterator[Site]:
    """The norms of queries and keys, without bias (spec: networks 5.2)."""
    width = shape.head_width
    for block in range(shape.layers):
        here, there = f"joint_blocks.{block}", f"transformer_blocks.{block}"
        halves = [
            ("x_block.attn", "attn.norm_", "x_attn"),
            ("context_block.attn", "attn.norm_added_", "context_attn"),
        ]
        if block in shape.dual:
            halves.append(("x_block.attn2", "attn2.norm_", "x_attn"))
        for original, module, family in halves:
            for part in "qk":
                name, host = f"{here}.{original}.ln_{part}", f"{there}.{module}{part}"
                yield norm_site(name, host, width, family, block)


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


RULES = SiteRules(tuple(VARIANTS.values()), sd3_sites, sd3_shape, sd3_shape_of_names, sd3_variant)
