"""Adapter files told from the names in their headers: is it one, and for which architecture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SIGNS = (
    ("anima", r"llm_adapter|blocks[._]\d+[._](self|cross)_attn[._](q|output)_proj"),
    ("lumina2", r"(context|noise)_refiner[._]\d+|layers[._]\d+[._]adaLN_modulation"),
    ("sd3", r"joint_blocks[._]\d+"),
    ("hunyuan_image", r"double_blocks[._]\d+[._](img|txt)_(mod[._]linear|mlp[._]fc)"),
    ("flux", r"double_blocks[._]\d+|single_blocks[._]\d+|single_transformer_blocks"),
    ("sdxl", r"lora_te2_text_model|(input|output)_blocks[._]\d+[._]1[._]transformer_blocks[._][1-9]"
     r"|text_encoder_2\.|attentions[._]\d[._]transformer_blocks[._][1-9]"),
)  # fmt: skip
"""Names that only one architecture's adapters have, the most particular first."""

NAMED_ALIKE = {"flux": "hunyuan_image"}
"""ComfyUI spells the second one's layers as the first one's; their sizes differ."""

_FIRST = re.compile(r"[._](?:lora_(?:down|A)|lora\.down|lora_linear_layer\.down)(?:\.[\w-]+)*$")
_OTHERS = re.compile(
    r"[._](?:lora_(?:up|B)|lora\.up|lora_linear_layer\.up|hada_w1_a|lokr_w[12](?:_a)?|w_norm|diff|"
    r"diff_b|oft_\w+|a1\.weight|on_input)(?:\.[\w-]+)*$"
)
"""How the names of adapters' tensors end: of first factors, and of the others."""


@dataclass(frozen=True)
class Told:
    """The architecture that a name tells, and the name."""

    architecture: str
    name: str


def told_by_names(names: Iterable[str]) -> Told | None:
    """The architecture that the first telling name is of; None if none tells."""
    known = list(names)
    for architecture, pattern in SIGNS:
        found = next((name for name in known if re.search(pattern, name)), None)
        if found is not None:
            return Told(architecture, found)
    return None


def is_text(name: str) -> bool:
    """An adapter of a text encoder, by its name in any spelling."""
    return name.startswith(("lora_te", "text_encoder", "text_model.", "encoder."))


def told_by_pictures(names: Iterable[str]) -> Told | None:
    """The same, by the picture model's names alone: several architectures share text encoders."""
    return told_by_names(name for name in names if not is_text(name))


def is_other(told: Told | None, architecture: str) -> bool:
    """The names are surely of another architecture."""
    return told is not None and architecture not in (
        told.architecture, NAMED_ALIKE.get(told.architecture)
    )  # fmt: skip


def holds_adapters(names: Iterable[str]) -> bool:
    """There is an adapter of any kind among the names."""
    return any(_FIRST.search(name) or _OTHERS.search(name) for name in names)


def empty_factor(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """A first factor of rank 0, if there is one."""
    return next((n for n, shape in shapes.items() if 0 in shape and _FIRST.search(n)), None)


def no_adapter(file: str) -> str:
    """Words for a file without adapters."""
    return f"{file}: there is no adapter in this file; it is no LoRA."


def rank_zero(file: str, key: str) -> str:
    """Words for a file with an adapter of rank 0."""
    return (
        f"{file}: {key} is empty: its adapter has rank 0. Use a whole file; the program that wrote "
        "this one went wrong."
    )


def for_another(file: str, made_for: str, wanted: str) -> str:
    """Words for a file of another architecture; both as people call them."""
    return f"{file} is an adapter for {made_for}, and this model is {wanted}. Choose one for it."
