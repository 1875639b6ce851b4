"""Sites of the text encoders that several architectures share: CLIP and T5 (spec: networks 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.plan.site import Component, Segment, Site


@dataclass(frozen=True)
class ClipSize:
    """Width, width of the MLP and depth of a CLIP text encoder."""

    width: int = 768
    mlp: int = 3072
    layers: int = 12


@dataclass(frozen=True)
class T5Size:
    """Width, width of all heads together, width of the feed-forward part and depth of a T5."""

    width: int = 4096
    heads: int = 4096
    mlp: int = 10240
    layers: int = 24


CLIP_L = ClipSize()
CLIP_G = ClipSize(1280, 5120, 32)
T5_XXL = T5Size()


def clip_size(config: Mapping[str, Any]) -> ClipSize:
    """Read the sizes off the library's config."""
    return ClipSize(
        int(config["hidden_size"]),
        int(config["intermediate_size"]),
        int(config["num_hidden_layers"]),
    )


def t5_size(config: Mapping[str, Any]) -> T5Size:
    """Read the sizes off the library's config."""
    return T5Size(
        int(config["d_model"]),
        int(config["d_kv"]) * int(config["num_heads"]),
        int(config["d_ff"]),
        int(config["num_layers"]),
    )


def clip_inside(names: Mapping[str, tuple[int, ...]], encoder: str) -> ClipSize | None:
    """Read the sizes of a CLIP off the tensors of a file that holds the whole model.

    Args:
        names: tensor → shape.
        encoder: as such files call it: clip_l, clip_g.

    Returns:
        None if the file does not hold it.
    """
    here = f"text_encoders.{encoder}.transformer.text_model.encoder.layers."
    fc1 = names.get(f"{here}0.mlp.fc1.weight")
    return None if fc1 is None else ClipSize(fc1[1], fc1[0], _depth(names, here))


def t5_inside(names: Mapping[str, tuple[int, ...]]) -> T5Size | None:
    """Read the sizes of a T5 off the same; None if the file does not hold it."""
    here = "text_encoders.t5xxl.transformer.encoder.block."
    query = names.get(f"{here}0.layer.0.SelfAttention.q.weight")
    mlp = names.get(f"{here}0.layer.1.DenseReluDense.wi_0.weight")
    if query is None or mlp is None:
        return None
    return T5Size(query[1], query[0], mlp[0], _depth(names, here))


def _depth(names: Iterable[str], here: str) -> int:
    """How many layers there are below a prefix."""
    return len({name.removeprefix(here).split(".")[0] for name in names if name.startswith(here)})


def clip_sites(
    size: ClipSize, prefix: str, component: Component, *, projected: bool
) -> Iterator[Site]:
    """The six Linears of every layer.

    Args:
        size: the encoder's widths.
        prefix: of the names in the file, such as `lora_te1`.
        component: the role of the encoder.
        projected: it is a CLIPTextModelWithProjection, whose module paths keep `text_model`.
    """
    width, mlp = size.width, size.mlp
    for layer in range(size.layers):
        here = f"text_model.encoder.layers.{layer}"
        for part, rows, columns, family in (
            ("self_attn.k_proj", width, width, "text_attention"),
            ("self_attn.v_proj", width, width, "text_attention"),
            ("self_attn.q_proj", width, width, "text_attention"),
            ("self_attn.out_proj", width, width, "text_attention"),
            ("mlp.fc1", mlp, width, "text_mlp"),
            ("mlp.fc2", width, mlp, "text_mlp"),
        ):
            original = f"{here}.{part}"
            module = original if projected else original.removeprefix("text_model.")
            yield _linear(prefix, component, original, module, rows, columns, family)


def t5_sites(size: T5Size, prefix: str, component: Component) -> Iterator[Site]:
    """The seven Linears of every block; none is trained unless an option says so."""
    width, heads, mlp = size.width, size.heads, size.mlp
    for block in range(size.layers):
        here = f"encoder.block.{block}.layer"
        for part, rows, columns in (
            ("0.SelfAttention.q", heads, width),
            ("0.SelfAttention.k", heads, width),
            ("0.SelfAttention.v", heads, width),
            ("0.SelfAttention.o", width, heads),
            ("1.DenseReluDense.wi_0", mlp, width),
            ("1.DenseReluDense.wi_1", mlp, width),
            ("1.DenseReluDense.wo", width, mlp),
        ):
            path = f"{here}.{part}"
            yield _linear(prefix, component, path, path, rows, columns, "t5", default=False)


def _linear(
    prefix: str,
    component: Component,
    original: str,
    module: str,
    rows: int,
    columns: int,
    family: str,
    *,
    default: bool = True,
) -> Site:
    return Site(
        name=f"{prefix}_{original.replace('.', '_')}",
        component=component,
        kind="linear",
        rows=rows,
        columns=columns,
        segments=(Segment(module, (0, rows), (0, rows)),),
        family=family,
        original=original,
        default=default,
    )
