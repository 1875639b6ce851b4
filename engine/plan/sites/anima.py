"""Sites of Anima: a Cosmos-Predict2 transformer, the adapter behind its text encoder, and Qwen3.

Spec: networks 3.1, 3.8, 4.6. Nothing is fused and nothing permuted; `Site.original` is the dotted
path that patterns are matched against.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.plan.site import Component, Segment, Site
from engine.plan.sites.language_model import (
    count_blocks,
    language_model_in,
    language_model_sites,
    language_model_sizes,
)
from engine.plan.sites.norms import norm_site
from engine.plan.sites.site_rules import SiteRules

ATTENTIONS = (("self_attn", "attn1"), ("cross_attn", "attn2"))
"""Original name and diffusers' of a block's two attentions."""


@dataclass(frozen=True)
class AnimaShape:
    """What decides the sites of an Anima model; the defaults are the published sizes.

    `image_tokens` are those of a picture of the architecture's resolution, for estimates only.
    """

    width: int = 2048
    head_width: int = 128
    layers: int = 28
    mlp: int = 8192
    modulation: int = 256  # width of the modulation's own low-rank form
    context_width: int = 1024  # of the text as the denoiser reads it
    patch_in: int = 68  # numbers of one patch, the padding mask's channel included
    patch_out: int = 64
    adapter_width: int = 1024
    adapter_head: int = 64
    adapter_source: int = 1024
    adapter_mlp: int = 4096
    adapter_layers: int = 6
    text_width: int = 1024
    text_mlp: int = 3072
    text_layers: int = 28
    text_attention: int = 2048
    text_kv: int = 1024
    image_tokens: int = 4096


ANIMA = AnimaShape()


def anima_shape(configs: Mapping[str, Mapping[str, Any] | None]) -> AnimaShape:
    """Read the shape off the configs of the three roles; what is absent is as published.

    Roles are `denoiser`, `text_conditioner` and `text_encoder`.

    Raises:
        ValueError: if the denoiser has no mask channel, as Anima's has.
    """
    return AnimaShape(
        **_denoiser(configs.get("denoiser") or {}),
        **_adapter(configs.get("text_conditioner") or {}),
        **language_model_sizes(configs.get("text_encoder") or {}),
    )


def anima_shape_of_names(names: Mapping[str, tuple[int, ...]]) -> AnimaShape | None:
    """Read the shape off a checkpoint's tensors in the original layout or in diffusers' names.

    Args:
        names: tensor → shape; the denoiser's without a prefix such as `net.`.

    Returns:
        None if a tensor that tells a size is missing. What the adapter and the text encoder would
        tell is as published, unless they lie in the same file.
    """
    try:
        return AnimaShape(
            **_denoiser_of_names(names), **_adapter_of_names(names), **language_model_in(names)
        )
    except KeyError:
        return None


def _denoiser_of_names(names: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    if "x_embedder.proj.1.weight" in names:
        first, patch, last = "blocks.0", "x_embedder.proj.1", "final_layer.linear"
        key, mlp, low = "cross_attn.k_proj", "mlp.layer1", "adaln_modulation_mlp.1"
        norm = "cross_attn.k_norm"
    else:
        first, patch, last = "transformer_blocks.0", "patch_embed.proj", "proj_out"
        key, mlp, low = "attn2.to_k", "ff.net.0.proj", "norm3.linear_1"
        norm = "attn2.norm_k"
    width, patch_in = names[f"{patch}.weight"]
    return {
        "width": width,
        "head_width": names[f"{first}.{norm}.weight"][0],
        "layers": count_blocks(names, first.removesuffix("0")),
        "mlp": names[f"{first}.{mlp}.weight"][0],
        "modulation": names[f"{first}.{low}.weight"][0],
        "context_width": names[f"{first}.{key}.weight"][1],
        "patch_in": patch_in,
        "patch_out": names[f"{last}.weight"][0],
    }


def _adapter_of_names(names: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    first = "llm_adapter.blocks.0"
    if f"{first}.mlp.0.weight" not in names:
        return {}
    mlp, width = names[f"{first}.mlp.0.weight"]
    return {
        "adapter_width": width,
        "adapter_head": names[f"{first}.cross_attn.k_norm.weight"][0],
        "adapter_source": names[f"{first}.cross_attn.k_proj.weight"][1],
        "adapter_mlp": mlp,
        "adapter_layers": count_blocks(names, "llm_adapter.blocks."),
    }


def _denoiser(config: Mapping[str, Any]) -> dict[str, int]:
    if not config:
        return {}
    if not config.get("concat_padding_mask", True):
        raise ValueError("the denoiser takes no padding mask")
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    patch = 1
    for side in config.get("patch_size", (1, 2, 2)):
        patch *= int(side)
    return {
        "width": width,
        "head_width": int(config["attention_head_dim"]),
        "layers": int(config["num_layers"]),
        "mlp": int(width * float(config.get("mlp_ratio", 4.0))),
        "modulation": int(config["adaln_lora_dim"]),
        "context_width": int(config["text_embed_dim"]),
        "patch_in": patch * (int(config["in_channels"]) + 1),
        "patch_out": patch * int(config["out_channels"]),
    }


def _adapter(config: Mapping[str, Any]) -> dict[str, int]:
    if not config:
        return {}
    width = int(config["model_dim"])
    return {
        "adapter_width": width,
        "adapter_head": width // int(config["num_attention_heads"]),
        "adapter_source": int(config["source_dim"]),
        "adapter_mlp": int(width * float(config.get("mlp_ratio", 4.0))),
        "adapter_layers": int(config["num_layers"]),
    }


def anima_sites(shape: AnimaShape) -> tuple[Site, ...]:
    """All sites: Qwen3, the adapter behind it, the blocks, what stands around, then the norms."""
    return (
        *language_model_sites(
            shape.text_width, shape.text_mlp, shape.text_layers,
            shape.text_attention, shape.text_kv,
        ),
        *_adapter_sites(shape),
        *_block_sites(shape),
        *_around(shape),
        *_norms(shape),
    )  # fmt: skip


def _adapter_sites(shape: AnimaShape) -> Iterator[Site]:
    width = shape.adapter_width
    for layer in range(shape.adapter_layers):
        here = f"blocks.{layer}"
        for attention, source in (("self_attn", width), ("cross_attn", shape.adapter_source)):
            for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
                columns = source if part in ("k_proj", "v_proj") else width
                yield _adapter_site(f"{here}.{attention}.{part}", width, columns)
        yield _adapter_site(f"{here}.mlp.0", shape.adapter_mlp, width)
        yield _adapter_site(f"{here}.mlp.2", width, shape.adapter_mlp)


def _adapter_site(module: str, rows: int, columns: int) -> Site:
    original = f"llm_adapter.{module}"
    return _site(
        original, rows, columns, "llm_adapter", module, default=False, component="text_conditioner"
    )


def _block_sites(shape: AnimaShape) -> Iterator[Site]:
    width, tokens = shape.width, shape.image_tokens
    for block in range(shape.layers):
        here, there = f"blocks.{block}", f"transformer_blocks.{block}"
        for attention, module in ATTENTIONS:
            crossed = attention == "cross_attn"
            for part in ("q", "k", "v"):
                of_text = crossed and part != "q"
                yield _site(
                    f"{here}.{attention}.{part}_proj",
                    width,
                    shape.context_width if of_text else width,
                    attention,
                    f"{there}.{module}.to_{part}",
                    block,
                    tokens=0 if of_text else tokens,
                )
            out, host = f"{here}.{attention}.output_proj", f"{there}.{module}.to_out.0"
            yield _site(out, width, width, attention, host, block, tokens=tokens)
        first, second = f"{there}.ff.net.0.proj", f"{there}.ff.net.2"
        yield _site(f"{here}.mlp.layer1", shape.mlp, width, "mlp", first, block, tokens=tokens)
        yield _site(f"{here}.mlp.layer2", width, shape.mlp, "mlp", second, block, tokens=tokens)
        for number, part in enumerate(("self_attn", "cross_attn", "mlp"), start=1):
            original, module = f"{here}.adaln_modulation_{part}", f"{there}.norm{number}"
            yield from _modulation(shape, original, module, 3 * width, block)


def _modulation(
    shape: AnimaShape, original: str, module: str, rows: int, block: int | None
) -> Iterator[Site]:
    """The two layers of a low-rank modulation; trained on demand only."""
    for number, out, into in ((1, shape.modulation, shape.width), (2, rows, shape.modulation)):
        host = f"{module}.linear_{number}"
        yield _site(f"{original}.{number}", out, into, "mod", host, block, tokens=1, default=False)


def _around(shape: AnimaShape) -> Iterator[Site]:
    """Embedders and the last layer; trained on demand only."""
    width, tokens = shape.width, shape.image_tokens
    embedders = (
        ("x_embedder.proj.1", width, shape.patch_in, "patch_embed.proj", tokens),
        ("t_embedder.1.linear_1", width, width, "time_embed.t_embedder.linear_1", 1),
        ("t_embedder.1.linear_2", 3 * width, width, "time_embed.t_embedder.linear_2", 1),
    )
    for original, rows, columns, module, many in embedders:
        yield _site(original, rows, columns, "embedder", module, tokens=many, default=False)
    yield _site(
        "final_layer.linear", shape.patch_out, width, "final", "proj_out",
        tokens=tokens, default=False,
    )  # fmt: skip
    yield from _modulation(shape, "final_layer.adaln_modulation", "norm_out", 2 * width, None)


def _norms(shape: AnimaShape) -> Iterator[Site]:
    """The norms of queries and keys, and all seven of the adapter's blocks (spec: networks 5.2)."""
    for layer in range(shape.adapter_layers):
        here = f"blocks.{layer}"
        for attention in ("self_attn", "cross_attn"):
            yield _adapter_norm(f"{here}.norm_{attention}", shape.adapter_width)
            for part in "qk":
                yield _adapter_norm(f"{here}.{attention}.{part}_norm", shape.adapter_head)
        yield _adapter_norm(f"{here}.norm_mlp", shape.adapter_width)
    for block in range(shape.layers):
        for attention, there in ATTENTIONS:
            for part in "qk":
                original = f"blocks.{block}.{attention}.{part}_norm"
                module = f"transformer_blocks.{block}.{there}.norm_{part}"
                yield norm_site(original, module, shape.head_width, attention, block)


def _adapter_norm(module: str, channels: int) -> Site:
    original = f"llm_adapter.{module}"
    return norm_site(original, module, channels, "llm_adapter", None, component="text_conditioner")


def _site(
    original: str,
    rows: int,
    columns: int,
    family: str,
    module: str,
    block: int | None = None,
    *,
    tokens: int = 0,
    default: bool = True,
    component: Component = "denoiser",
) -> Site:
    return Site(
        name=f"lora_unet_{original.replace('.', '_')}",
        component=component,
        kind="linear",
        rows=rows,
        columns=columns,
        segments=(Segment(module, (0, rows), (0, rows)),),
        family=family,
        block=block,
        original=original,
        default=default,
        tokens=tokens,
    )


RULES = SiteRules((ANIMA,), anima_sites, anima_shape, anima_shape_of_names)
