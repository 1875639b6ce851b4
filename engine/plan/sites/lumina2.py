"""Sites of Lumina-Image 2: a transformer of one stream, its four refiner blocks, and Gemma 2.

Spec: networks 3.1, 3.6, 4.4. Names in the file follow the original layout; diffusers splits its
fused attention into three modules, of which the keys and values have fewer heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.plan.site import Segment, Site
from engine.plan.sites.language_model import (
    count_blocks,
    language_model_in,
    language_model_sites,
    language_model_sizes,
)
from engine.plan.sites.norms import norm_site
from engine.plan.sites.site_rules import SiteRules

REFINERS = ("context_refiner", "noise_refiner")


@dataclass(frozen=True)
class Lumina2Shape:
    """What decides the sites of a Lumina-Image 2 model; the defaults are the published sizes.

    `image_tokens` are those of a picture of the architecture's resolution, for estimates only.
    """

    width: int = 2304
    layers: int = 26
    refiner_layers: int = 2
    heads: int = 24
    kv_heads: int = 8
    mlp: int = 9216
    caption_width: int = 2304
    patch_values: int = 64  # numbers of one patch: its side squared times the latent's channels
    text_width: int = 2304
    text_mlp: int = 9216
    text_layers: int = 26
    text_attention: int = 2048  # heads times their width
    text_kv: int = 1024
    image_tokens: int = 4096

    @property
    def kv_width(self) -> int:
        """Rows of keys, and of values."""
        return self.width // self.heads * self.kv_heads

    @property
    def time_width(self) -> int:
        """Width of the time embedding that the modulation reads."""
        return min(self.width, 1024)


LUMINA2 = Lumina2Shape()


def lumina2_shape(configs: Mapping[str, Mapping[str, Any] | None]) -> Lumina2Shape:
    """Read the shape off the configs of `denoiser` and `text_encoder`; what is absent is published.

    Raises:
        ValueError: if the denoiser's sizes are not those of such a model.
    """
    denoiser, text = configs.get("denoiser") or {}, configs.get("text_encoder") or {}
    return Lumina2Shape(**_denoiser(denoiser), **language_model_sizes(text))


def lumina2_shape_of_names(names: Mapping[str, tuple[int, ...]]) -> Lumina2Shape | None:
    """Read the shape off a checkpoint's tensors in the original layout or in diffusers' names.

    Args:
        names: tensor → shape; the denoiser's without a prefix such as `model.diffusion_model.`.

    Returns:
        None if a tensor that tells a size is missing. What the text encoder would tell is as
        published, unless it lies in the same file.
    """
    try:
        return Lumina2Shape(**_denoiser_of_names(names), **language_model_in(names))
    except KeyError:
        return None


def _denoiser_of_names(names: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    first, embedder = "noise_refiner.0", "cap_embedder.1.weight"
    if embedder in names:
        qkv, head = (names[f"{first}.attention.{part}.weight"][0] for part in ("qkv", "q_norm"))
        mlp = names[f"{first}.feed_forward.w1.weight"][0]
        width, caption = names[embedder]
        keys = (qkv - width) // 2
    else:
        width, caption = names["time_caption_embed.caption_embedder.1.weight"]
        keys, head = (names[f"{first}.attn.{part}.weight"][0] for part in ("to_k", "norm_q"))
        mlp = names[f"{first}.feed_forward.linear_1.weight"][0]
    return {
        "width": width,
        "layers": count_blocks(names, "layers."),
        "refiner_layers": count_blocks(names, "noise_refiner."),
        "heads": width // head,
        "kv_heads": keys // head,
        "mlp": mlp,
        "caption_width": caption,
        "patch_values": names["x_embedder.weight"][1],
    }


def _denoiser(config: Mapping[str, Any]) -> dict[str, int]:
    if not config:
        return {}
    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if width % heads:
        raise ValueError(f"a width of {width} does not divide by {heads} heads")
    patch, channels = int(config.get("patch_size", 2)), int(config.get("in_channels", 16))
    return {
        "width": width,
        "layers": int(config["num_layers"]),
        "refiner_layers": int(config.get("num_refiner_layers", 2)),
        "heads": heads,
        "kv_heads": int(config.get("num_kv_heads") or heads),
        "mlp": _mlp(width, int(config.get("multiple_of", 256)), config.get("ffn_dim_multiplier")),
        "caption_width": int(config["cap_feat_dim"]),
        "patch_values": patch * patch * channels,
    }


def _mlp(width: int, multiple: int, factor: float | None) -> int:
    """Four times the width, rounded up as the model's feed-forward rounds it."""
    inner = int((factor or 1) * 4 * width)
    return multiple * ((inner + multiple - 1) // multiple)


def lumina2_sites(shape: Lumina2Shape) -> tuple[Site, ...]:
    """All sites: Gemma, the refiners, the layers, what stands around them, then the norms."""
    return (
        *language_model_sites(
            shape.text_width, shape.text_mlp, shape.text_layers,
            shape.text_attention, shape.text_kv,
        ),
        *_blocks(shape),
        *_around(shape),
        *_norms(shape),
    )  # fmt: skip


def _blocks(shape: Lumina2Shape) -> Iterator[Site]:
    for group in REFINERS:
        for index in range(shape.refiner_layers):
            of_text = group == "context_refiner"
            tokens = 0 if of_text else shape.image_tokens
            yield from _block(shape, f"{group}.{index}", None, tokens, modulated=not of_text)
    for index in range(shape.layers):
        yield from _block(shape, f"layers.{index}", index, shape.image_tokens, modulated=True)


def _block(
    shape: Lumina2Shape, here: str, block: int | None, tokens: int, *, modulated: bool
) -> Iterator[Site]:
    width, keys, mlp = shape.width, shape.kv_width, shape.mlp
    ends = (0, width, width + keys, width + 2 * keys)
    parts = zip(("to_q", "to_k", "to_v"), ends[:-1], ends[1:], strict=True)
    yield _site(
        f"{here}.attention.qkv", width, ends[-1], "attn", block, tokens,
        segments=tuple(
            Segment(f"{here}.attn.{part}", (0, stop - start), (start, stop))
            for part, start, stop in parts
        ),
    )  # fmt: skip
    yield _site(
        f"{here}.attention.out", width, width, "attn", block, tokens, f"{here}.attn.to_out.0"
    )
    for number, rows, columns in ((1, mlp, width), (2, width, mlp), (3, mlp, width)):
        module = f"{here}.feed_forward.linear_{number}"
        original = f"{here}.feed_forward.w{number}"
        yield _site(original, columns, rows, "mlp", block, tokens, module)
    if modulated:
        original, module = f"{here}.adaLN_modulation.1", f"{here}.norm1.linear"
        yield _site(original, shape.time_width, 4 * width, "mod", block, 1, module)


def _around(shape: Lumina2Shape) -> Iterator[Site]:
    """The last layer, which is trained, and the embedders, which are on demand only."""
    width, time = shape.width, shape.time_width
    tokens, patch = shape.image_tokens, shape.patch_values
    last, caption = "final_layer", "time_caption_embed.caption_embedder.1"
    yield _site(f"{last}.linear", width, patch, "final", None, tokens, "norm_out.linear_2")
    yield _site(f"{last}.adaLN_modulation.1", time, width, "mod", None, 1, "norm_out.linear_1")
    times = "time_caption_embed.timestep_embedder.linear"
    for original, columns, rows, many, module in (
        ("x_embedder", patch, width, tokens, "x_embedder"),
        ("t_embedder.mlp.0", 256, time, 1, f"{times}_1"),
        ("t_embedder.mlp.2", time, time, 1, f"{times}_2"),
        ("cap_embedder.1", shape.caption_width, width, 0, caption),
    ):
        yield _site(original, columns, rows, "embedder", None, many, module, default=False)


def _norms(shape: Lumina2Shape) -> Iterator[Site]:
    """The six norms of every block (spec: networks 5.2)."""
    for group in REFINERS:
        for index in range(shape.refiner_layers):
            modulated = group != "context_refiner"
            yield from _norms_of(shape, f"{group}.{index}", None, modulated=modulated)
    for index in range(shape.layers):
        yield from _norms_of(shape, f"layers.{index}", index, modulated=True)


def _norms_of(
    shape: Lumina2Shape, here: str, block: int | None, *, modulated: bool
) -> Iterator[Site]:
    width, head = shape.width, shape.width // shape.heads
    for original, module, channels, family in (
        ("attention.q_norm", "attn.norm_q", head, "attn"),
        ("attention.k_norm", "attn.norm_k", head, "attn"),
        # Without modulation the library's norm is a plain one, and so it is called.
        ("attention_norm1", "norm1.norm" if modulated else "norm1", width, "attn"),
        ("attention_norm2", "norm2", width, "attn"),
        ("ffn_norm1", "ffn_norm1", width, "mlp"),
        ("ffn_norm2", "ffn_norm2", width, "mlp"),
    ):
        yield norm_site(f"{here}.{original}", f"{here}.{module}", channels, family, block)


def _site(
    original: str,
    columns: int,
    rows: int,
    family: str,
    block: int | None,
    tokens: int,
    module: str = "",
    *,
    segments: tuple[Segment, ...] = (),
    default: bool = True,
) -> Site:
    return Site(
        name=f"lora_unet_{original.replace('.', '_')}",
        component="denoiser",
        kind="linear",
        rows=rows,
        columns=columns,
        segments=segments or (Segment(module, (0, rows), (0, rows)),),
        family=family,
        block=block,
        original=original,
        default=default,
        tokens=tokens,
    )


RULES = SiteRules((LUMINA2,), lumina2_sites, lumina2_shape, lumina2_shape_of_names)
