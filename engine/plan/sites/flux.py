"""Sites of FLUX.1: double-stream and single-stream blocks, embedders, CLIP-L and T5.

Names in the file follow the original layout, where q, k and v (and in the single blocks the first
half of the MLP) are one layer (spec: networks 3.4); behind the layers come the norms of queries and
keys. `Site.block` counts the double blocks and then the single ones. Chroma is the same table
without modulation and without CLIP-L.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.plan.site import Segment, Site
from engine.plan.sites.norms import norm_site
from engine.plan.sites.outer import final_layer_sites
from engine.plan.sites.site_rules import SiteRules
from engine.plan.sites.text_encoders import (
    CLIP_L,
    T5_XXL,
    ClipSize,
    T5Size,
    clip_inside,
    clip_sites,
    clip_size,
    t5_inside,
    t5_sites,
    t5_size,
)

PATCH = 2  # latents of a token's side
TIME_WIDTH = 256  # of the sinusoids that σ and the guidance become
HEAD_WIDTH = 128  # of an attention head, where no norm tells it
ORIGINAL_NORM = "scale"  # what the original calls a norm's weight
TEXT_TOKENS = 512  # that T5 gives the blocks, for estimates
IN_LAYERS = ("img_in", "time_in", "vector_in", "guidance_in", "txt_in")
"""The embedders in the order of the option `in_dims`; two of them have two layers each."""


@dataclass(frozen=True)
class FluxShape:
    """What decides the sites of a FLUX.1 model; the defaults are FLUX.1-dev.

    Attributes:
        width: of a token, picture's and text's alike; the MLPs are four times as wide.
        head_width: of an attention head.
        double, single: how many blocks there are of either kind.
        in_channels: of a packed token: PATCH² latents.
        context_width: of a token of T5.
        pooled_width: of CLIP's pooled text.
        guidance: the guidance is told to the model (dev), or not (schnell).
        modulated: every block has its own modulation; Chroma's have none.
        clip: the size of CLIP-L, None where there is none.
        t5: the size of T5.
        latent_side: of the latent at 1024 pixels; it only counts tokens for estimates.
    """

    width: int = 3072
    head_width: int = HEAD_WIDTH
    double: int = 19
    single: int = 38
    in_channels: int = 64
    context_width: int = 4096
    pooled_width: int = 768
    guidance: bool = True
    modulated: bool = True
    clip: ClipSize | None = CLIP_L
    t5: T5Size = T5_XXL
    latent_side: int = 128


FLUX_DEV = FluxShape()
FLUX_SCHNELL = FluxShape(guidance=False)
CHROMA = FluxShape(guidance=False, modulated=False, clip=None)


def flux_shape(configs: Mapping[str, Mapping[str, Any]]) -> FluxShape:
    """Read the shape off the libraries' configs by role; what is absent counts as published.

    Raises:
        ValueError: if the transformer is not built as FLUX.1's.
    """
    shape = FLUX_DEV
    if "denoiser" in configs:
        shape = _transformer_shape(configs["denoiser"])
    if "text_encoder" in configs:
        shape = replace(shape, clip=clip_size(configs["text_encoder"]))
    if "text_encoder_2" in configs:
        shape = replace(shape, t5=t5_size(configs["text_encoder_2"]))
    return shape


def _transformer_shape(config: Mapping[str, Any]) -> FluxShape:
    if config.get("patch_size", 1) != 1:
        raise ValueError("its latents are not packed as FLUX.1's")
    chroma = "approximator_num_channels" in config
    published = CHROMA if chroma else FLUX_DEV
    return replace(
        published,
        width=int(config["num_attention_heads"]) * int(config["attention_head_dim"]),
        head_width=int(config["attention_head_dim"]),
        double=int(config["num_layers"]),
        single=int(config["num_single_layers"]),
        in_channels=int(config["in_channels"]),
        context_width=int(config["joint_attention_dim"]),
        pooled_width=int(config.get("pooled_projection_dim", published.pooled_width)),
        guidance=bool(config.get("guidance_embeds", False)),
    )


def flux_shape_of_names(names: Mapping[str, tuple[int, ...]]) -> FluxShape | None:
    """Read the shape off a checkpoint's tensors in either layout; None if blocks are missing.

    A text encoder that is not inside, because it is a file of its own, counts as published.
    """
    original = "img_in.weight" in names
    double = _depth(names, "double_blocks." if original else "transformer_blocks.")
    single = _depth(names, "single_blocks." if original else "single_transformer_blocks.")
    parts = ("img_in", "txt_in", "vector_in.in_layer", "guidance_in.in_layer")
    norm = f"double_blocks.0.img_attn.norm.key_norm.{ORIGINAL_NORM}"
    if not original:
        embedder, norm = "time_text_embed", "transformer_blocks.0.attn.norm_k.weight"
        parts = ("x_embedder", "context_embedder", f"{embedder}.text_embedder.linear_1",
                 f"{embedder}.guidance_embedder.linear_1")  # fmt: skip
    picture, text, pooled, guidance = (names.get(f"{part}.weight") for part in parts)
    if picture is None or text is None or pooled is None or not double or not single:
        return None
    return FluxShape(
        width=picture[0],
        head_width=names.get(norm, (HEAD_WIDTH,))[0],
        double=double,
        single=single,
        in_channels=picture[1],
        context_width=text[1],
        pooled_width=pooled[1],
        guidance=guidance is not None,
        clip=clip_inside(names, "clip_l") or CLIP_L,
        t5=t5_inside(names) or T5_XXL,
    )


def _depth(names: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    """How many blocks a list has."""
    found = {name.removeprefix(prefix).partition(".")[0] for name in names
             if name.startswith(prefix)}  # fmt: skip
    return len(found)


def variant_of(shape: FluxShape) -> str:
    """The name of the published model with this structure, whatever its widths."""
    if not shape.modulated:
        return "chroma"
    return "dev" if shape.guidance else "schnell"


def flux_sites(shape: FluxShape) -> tuple[Site, ...]:
    """All sites: text encoders, double blocks, single blocks, the embedders, norms, the end."""
    sites: list[Site] = []
    if shape.clip is not None:
        sites += clip_sites(shape.clip, "lora_te1", "text_encoder", projected=False)
    sites += t5_sites(shape.t5, "lora_te3", "text_encoder_2")
    for block in range(shape.double):
        sites += _double(shape, block)
    for block in range(shape.single):
        sites += _single(shape, block)
    last = final_layer_sites(
        shape.width, shape.in_channels, _tokens(shape), modulated=shape.modulated
    )
    return (*sites, *_embedders(shape), *_norms(shape), *last)


def _double(shape: FluxShape, block: int) -> Iterator[Site]:
    """The ten layers of a block with one stream for the picture and one for the text."""
    width, mlp = shape.width, 4 * shape.width
    here = f"transformer_blocks.{block}"
    streams = (
        ("img", "norm1", ("to_q", "to_k", "to_v"), "to_out.0", "ff", _tokens(shape)),
        ("txt", "norm1_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out",
         "ff_context", TEXT_TOKENS),
    )  # fmt: skip
    for stream, norm, qkv, out, ff, tokens in streams:
        original = f"double_blocks.{block}.{stream}"
        if shape.modulated:
            yield _site(f"{original}_mod.lin", [(f"{here}.{norm}.linear", 6 * width)],
                        width, f"{stream}_mod", block, 1)  # fmt: skip
        yield _site(f"{original}_attn.qkv", [(f"{here}.attn.{part}", width) for part in qkv],
                    width, f"{stream}_attn", block, tokens)  # fmt: skip
        yield _site(f"{original}_attn.proj", [(f"{here}.attn.{out}", width)],
                    width, f"{stream}_attn", block, tokens)  # fmt: skip
        yield _site(f"{original}_mlp.0", [(f"{here}.{ff}.net.0.proj", mlp)],
                    width, f"{stream}_mlp", block, tokens)  # fmt: skip
        yield _site(f"{original}_mlp.2", [(f"{here}.{ff}.net.2", width)],
                    mlp, f"{stream}_mlp", block, tokens)  # fmt: skip


def _single(shape: FluxShape, block: int) -> Iterator[Site]:
    """The three layers of a block whose one stream holds text and picture."""
    width, mlp = shape.width, 4 * shape.width
    tokens, number = _tokens(shape) + TEXT_TOKENS, shape.double + block
    here, original = f"single_transformer_blocks.{block}", f"single_blocks.{block}"
    inputs = [(f"{here}.attn.{part}", width) for part in ("to_q", "to_k", "to_v")]
    inputs.append((f"{here}.proj_mlp", mlp))
    yield _site(f"{original}.linear1", inputs, width, "single", number, tokens)
    yield _site(f"{original}.linear2", [(f"{here}.proj_out", width)],
                width + mlp, "single", number, tokens)  # fmt: skip
    if shape.modulated:
        yield _site(f"{original}.modulation.lin", [(f"{here}.norm.linear", 3 * width)],
                    width, "single_mod", number, 1)  # fmt: skip


def _embedders(shape: FluxShape) -> Iterator[Site]:
    """What `in_dims` turns on."""
    width = shape.width
    yield _site("img_in", [("x_embedder", width)], shape.in_channels, "in", None, _tokens(shape))
    if shape.modulated:
        yield from _two_layers("time_in", "timestep_embedder", TIME_WIDTH, width)
        yield from _two_layers("vector_in", "text_embedder", shape.pooled_width, width)
    if shape.guidance:
        yield from _two_layers("guidance_in", "guidance_embedder", TIME_WIDTH, width)
    yield _site(
        "txt_in", [("context_embedder", width)], shape.context_width, "in", None, TEXT_TOKENS
    )


def _two_layers(original: str, embedder: str, columns: int, width: int) -> Iterator[Site]:
    there = f"time_text_embed.{embedder}"
    yield _site(f"{original}.in_layer", [(f"{there}.linear_1", width)], columns, "in", None, 1)
    yield _site(f"{original}.out_layer", [(f"{there}.linear_2", width)], width, "in", None, 1)


def _norms(shape: FluxShape) -> Iterator[Site]:
    """The norms of queries and keys, one weight for all heads (spec: networks 5.2)."""
    for block in range(shape.double):
        here = f"transformer_blocks.{block}.attn"
        for stream, kind in (("img", ""), ("txt", "added_")):
            original = f"double_blocks.{block}.{stream}_attn.norm"
            yield from _head_norms(shape, original, f"{here}.norm_{kind}", f"{stream}_attn", block)
    for block in range(shape.single):
        here = f"single_transformer_blocks.{block}.attn.norm_"
        original, number = f"single_blocks.{block}.norm", shape.double + block
        yield from _head_norms(shape, original, here, "single", number)


def _head_norms(
    shape: FluxShape, original: str, module: str, family: str, block: int
) -> Iterator[Site]:
    for name, part in (("query_norm", "q"), ("key_norm", "k")):
        yield norm_site(
            f"{original}.{name}", f"{module}{part}", shape.head_width, family, block,
            original_weight=ORIGINAL_NORM,
        )  # fmt: skip


def _tokens(shape: FluxShape) -> int:
    return (shape.latent_side // PATCH) ** 2


def _site(
    original: str,
    modules: list[tuple[str, int]],
    columns: int,
    family: str,
    block: int | None,
    tokens: int,
) -> Site:
    """One layer of the original, made of the modules (path, rows) one below the other."""
    segments: list[Segment] = []
    start = 0
    for module, rows in modules:
        segments.append(Segment(module, (0, rows), (start, start + rows)))
        start += rows
    return Site(
        name=f"lora_unet_{original.replace('.', '_')}",
        component="denoiser",
        kind="linear",
        rows=start,
        columns=columns,
        segments=tuple(segments),
        family=family,
        block=block,
        original=original,
        default=block is not None,
        tokens=tokens,
    )


RULES = SiteRules(
    (FLUX_DEV, FLUX_SCHNELL, CHROMA), flux_sites, flux_shape, flux_shape_of_names, variant_of
)
