"""Sites of HunyuanImage-2.1: double-stream and single-stream blocks; its encoders are not trained.

Names in the file follow sd-scripts' spelling of the original layout, where q, k and v are one layer
(spec: networks 3.7); behind the layers come the norms of queries and keys. `Site.block` counts the
double blocks and then the single ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.plan.site import Segment, Site
from engine.plan.sites.norms import norm_site
from engine.plan.sites.outer import final_layer_sites
from engine.plan.sites.site_rules import SiteRules

HEAD_WIDTH = 128  # of an attention head, where no norm tells it
TEXT_TOKENS = 256  # of a long caption, for estimates
_COMFYUI = {
    "_attn_": "_attn.", "_mlp.fc1": "_mlp.0", "_mlp.fc2": "_mlp.2", "_mod.linear": "_mod.lin",
    "modulation.linear": "modulation.lin",
}  # fmt: skip
"""Parts of layer names that ComfyUI spells as FLUX does."""


@dataclass(frozen=True)
class HunyuanImageShape:
    """What decides the sites of a HunyuanImage model; the defaults are the published 2.1.

    Attributes:
        width: of a token, picture's and text's alike.
        head_width: of an attention head.
        mlp: width inside the feed-forward parts.
        double, single: how many blocks there are of either kind.
        text_width: of a token of Qwen2.5-VL.
        glyph_width: of a token of ByT5.
        latent_channels: of the VAE.
        latent_side: of the latent at 1024 pixels; it only counts tokens for estimates.
    """

    width: int = 3584
    head_width: int = HEAD_WIDTH
    mlp: int = 14336
    double: int = 20
    single: int = 40
    text_width: int = 3584
    glyph_width: int = 1472
    latent_channels: int = 64
    latent_side: int = 32


HUNYUAN_IMAGE = HunyuanImageShape()


def hunyuan_image_shape(configs: Mapping[str, Mapping[str, Any]]) -> HunyuanImageShape:
    """Read the shape off the libraries' configs by role; without a denoiser it is the published.

    Raises:
        ValueError: if the transformer is the distilled model, the refiner, or another one.
    """
    config = configs.get("denoiser")
    if config is None:
        return HUNYUAN_IMAGE
    if config.get("use_meanflow") or config.get("guidance_embeds"):
        raise ValueError("it is the distilled model, which is not made to be trained")
    if len(config.get("patch_size", (1, 1))) != 2:
        raise ValueError("it is the refiner, which only improves finished pictures")
    if config.get("text_embed_2_dim") is None:
        raise ValueError("it has no input for glyphs, which HunyuanImage-2.1 has")
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    return HunyuanImageShape(
        width=width,
        head_width=int(config["attention_head_dim"]),
        mlp=int(width * float(config.get("mlp_ratio", 4.0))),
        double=int(config["num_layers"]),
        single=int(config["num_single_layers"]),
        text_width=int(config["text_embed_dim"]),
        glyph_width=int(config["text_embed_2_dim"]),
        latent_channels=int(config["in_channels"]),
    )


def hunyuan_image_shape_of_names(
    names: Mapping[str, tuple[int, ...]],
) -> HunyuanImageShape | None:
    """Read the shape off a checkpoint's tensors in any spelling; None if one is missing.

    Args:
        names: tensor → shape, without a prefix such as `model.diffusion_model.`.
    """
    mlp = ("double_blocks.0.img_mlp.fc1.weight", "double_blocks.0.img_mlp.0.weight",
           "transformer_blocks.0.ff.net.0.proj.weight")  # fmt: skip
    original = "double_blocks.0.img_mod.linear.weight" in names or mlp[1] in names
    picture = "img_in.proj.weight" if original else "x_embedder.proj.weight"
    text = "txt_in.input_embedder.weight" if original else "context_embedder.proj_in.weight"
    glyphs = "byt5_in.fc1.weight" if original else "context_embedder_2.linear_1.weight"
    lists = ("double", "single") if original else ("transformer", "single_transformer")
    inner = next((name for name in mlp if name in names), "")
    if not {picture, text, glyphs, inner} <= names.keys():
        return None
    double, single = (_count(names, f"{each}_blocks.") for each in lists)
    return HunyuanImageShape(
        width=names[picture][0],
        head_width=next((names[n][0] for n in _NORMS if n in names), HEAD_WIDTH),
        mlp=names[inner][0],
        double=double,
        single=single,
        text_width=names[text][1],
        glyph_width=names[glyphs][1],
        latent_channels=names[picture][1],
    )


_NORMS = (
    "double_blocks.0.img_attn_q_norm.weight", "double_blocks.0.img_attn.norm.query_norm.scale",
    "double_blocks.0.img_attn.norm.query_norm.weight", "transformer_blocks.0.attn.norm_q.weight",
)  # fmt: skip
"""A norm that has a head's width, in every spelling."""


def _count(names: Iterable[str], start: str) -> int:
    """How many blocks of a list there are."""
    numbers = (n.removeprefix(start).split(".")[0] for n in names if n.startswith(start))
    return max((int(n) + 1 for n in numbers if n.isdigit()), default=0)


def hunyuan_image_sites(shape: HunyuanImageShape) -> tuple[Site, ...]:
    """All sites: the blocks' layers in order, trained by default, then norms and the last layer."""
    sites: list[Site] = []
    for block in range(shape.double):
        sites += _double(shape, block)
    for block in range(shape.single):
        sites += _single(shape, block)
    last = final_layer_sites(
        shape.width, shape.latent_channels, shape.latent_side**2, modulated=True
    )
    return (*sites, *_norms(shape), *last)


def _double(shape: HunyuanImageShape, block: int) -> Iterator[Site]:
    """The ten layers of a block with one stream for the picture and one for the text."""
    width, mlp, picture = shape.width, shape.mlp, shape.latent_side**2
    here = f"transformer_blocks.{block}"
    streams = (
        ("img", "norm1", ("to_q", "to_k", "to_v"), "to_out.0", "ff", picture),
        ("txt", "norm1_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out",
         "ff_context", TEXT_TOKENS),
    )  # fmt: skip
    for stream, norm, qkv, out, ff, tokens in streams:
        original = f"double_blocks.{block}.{stream}"
        inputs = [(f"{here}.attn.{part}", width) for part in qkv]
        yield _site(f"{original}_mod.linear", [(f"{here}.{norm}.linear", 6 * width)],
                    width, f"{stream}_mod", block, 1)  # fmt: skip
        yield _site(f"{original}_attn_qkv", inputs, width, f"{stream}_attn", block, tokens)
        yield _site(f"{original}_attn_proj", [(f"{here}.attn.{out}", width)],
                    width, f"{stream}_attn", block, tokens)  # fmt: skip
        yield _site(f"{original}_mlp.fc1", [(f"{here}.{ff}.net.0.proj", mlp)],
                    width, f"{stream}_mlp", block, tokens)  # fmt: skip
        yield _site(f"{original}_mlp.fc2", [(f"{here}.{ff}.net.2", width)],
                    mlp, f"{stream}_mlp", block, tokens)  # fmt: skip


def _single(shape: HunyuanImageShape, block: int) -> Iterator[Site]:
    """The three layers of a block whose one stream holds picture and text."""
    width, mlp = shape.width, shape.mlp
    tokens = shape.latent_side**2 + TEXT_TOKENS
    number = shape.double + block
    here, original = f"single_transformer_blocks.{block}", f"single_blocks.{block}"
    inputs = [(f"{here}.attn.{part}", width) for part in ("to_q", "to_k", "to_v")]
    inputs.append((f"{here}.proj_mlp", mlp))
    yield _site(f"{original}.linear1", inputs, width, "single", number, tokens)
    yield _site(f"{original}.linear2", [(f"{here}.proj_out", width)],
                width + mlp, "single", number, tokens)  # fmt: skip
    yield _site(f"{original}.modulation.linear", [(f"{here}.norm.linear", 3 * width)],
                width, "single_mod", number, 1)  # fmt: skip


def _norms(shape: HunyuanImageShape) -> Iterator[Site]:
    """The norms of queries and keys, one weight for all heads (spec: networks 5.2)."""
    parts = (("q", "query_norm"), ("k", "key_norm"))
    for block in range(shape.double):
        here, there = f"double_blocks.{block}", f"transformer_blocks.{block}.attn"
        for stream, kind in (("img", ""), ("txt", "added_")):
            for part, comfyui in parts:
                yield norm_site(
                    f"{here}.{stream}_attn_{part}_norm", f"{there}.norm_{kind}{part}",
                    shape.head_width, f"{stream}_attn", block,
                    comfyui=f"{here}.{stream}_attn.norm.{comfyui}",
                )  # fmt: skip
    for block in range(shape.single):
        here, there = f"single_blocks.{block}", f"single_transformer_blocks.{block}.attn"
        for part, comfyui in parts:
            yield norm_site(
                f"{here}.{part}_norm", f"{there}.norm_{part}", shape.head_width, "single",
                shape.double + block, comfyui=f"{here}.norm.{comfyui}",
            )  # fmt: skip


def _site(
    original: str,
    modules: list[tuple[str, int]],
    columns: int,
    family: str,
    block: int,
    tokens: int,
) -> Site:
    """One layer of the original, made of the modules (path, rows) one below the other."""
    segments: list[Segment] = []
    start = 0
    for module, rows in modules:
        segments.append(Segment(module, (0, rows), (start, start + rows)))
        start += rows
    comfyui = original
    for ours, theirs in _COMFYUI.items():
        comfyui = comfyui.replace(ours, theirs)
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
        comfyui="" if comfyui == original else comfyui,
        tokens=tokens,
    )


RULES = SiteRules(
    (HUNYUAN_IMAGE,), hunyuan_image_sites, hunyuan_image_shape, hunyuan_image_shape_of_names
)
