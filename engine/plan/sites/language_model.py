"""Sites of a language model that reads captions: Gemma 2, Qwen3 (spec: networks 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.plan.site import Segment, Site


def language_model_sites(
    width: int, mlp: int, layers: int, attention: int, key_value: int
) -> Iterator[Site]:
    """Sites of a language model as Gemma and Qwen are built: seven linear layers in each layer.

    Args:
        width: of the stream between the layers.
        mlp: of the feed-forward's inside.
        layers: how many there are.
        attention: rows of the queries.
        key_value: rows of the keys, and of the values.
    """
    for layer in range(layers):
        for part, rows, columns, family in (
            ("self_attn.q_proj", attention, width, "text_attention"),
            ("self_attn.k_proj", key_value, width, "text_attention"),
            ("self_attn.v_proj", key_value, width, "text_attention"),
            ("self_attn.o_proj", width, attention, "text_attention"),
            ("mlp.gate_proj", mlp, width, "text_mlp"),
            ("mlp.up_proj", mlp, width, "text_mlp"),
            ("mlp.down_proj", width, mlp, "text_mlp"),
        ):
            module = f"layers.{layer}.{part}"
            yield Site(
                name=f"lora_te_{module.replace('.', '_')}",
                component="text_encoder",
                kind="linear",
                rows=rows,
                columns=columns,
                segments=(Segment(module, (0, rows), (0, rows)),),
                family=family,
                original=module,
            )


def language_model_sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """The sizes in a config of Gemma or Qwen, under the names that shapes give them."""
    if not config:
        return {}
    head = int(config["head_dim"])
    return {
        "text_width": int(config["hidden_size"]),
        "text_mlp": int(config["intermediate_size"]),
        "text_layers": int(config["num_hidden_layers"]),
        "text_attention": head * int(config["num_attention_heads"]),
        "text_kv": head * int(config["num_key_value_heads"]),
    }


def language_model_in(names: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The same sizes, read off the tensors of a checkpoint that holds the language model too.

    Returns:
        Nothing if there is no language model in it.
    """
    first = "layers.0.self_attn.q_proj.weight"
    own = next((n for n in names if n.startswith("text_encoders.") and n.endswith(first)), None)
    if own is None:
        return {}
    prefix = own.removesuffix(first)
    query, width = names[own]
    return {
        "text_width": width,
        "text_mlp": names[f"{prefix}layers.0.mlp.gate_proj.weight"][0],
        "text_layers": count_blocks(names, f"{prefix}layers."),
        "text_attention": query,
        "text_kv": names[f"{prefix}layers.0.self_attn.k_proj.weight"][0],
    }


def count_blocks(names: Iterable[str], start: str) -> int:
    """How many members a list of blocks has whose tensors' names begin with `start`."""
    numbers = (name.removeprefix(start).split(".")[0] for name in names if name.startswith(start))
    return max((int(n) + 1 for n in numbers if n.isdigit()), default=0)
