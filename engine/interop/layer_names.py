"""Layer filters of OneTrainer and ai-toolkit: words in diffusers' names, as patterns for ours.

Patterns here are looked for in the names of the adapter's file and of the original model. Where a
word is a part of diffusers' names for FLUX.1, it is put into the original's (spec: networks 3.4).
"""

from __future__ import annotations

import re

_SINGLE = (
    ("single_transformer_blocks", "single_blocks"),
    (r"\.proj_out\b", ".linear2"),
    (r"\.(proj_mlp|attn\.to_[qkv]|attn)\b", ".linear1"),
    (r"\.norm\.linear\b", ".modulation.lin"),
)
_DOUBLE = (
    (r"\btransformer_blocks", "double_blocks"),
    (r"\.attn\.to_[qkv]\b", ".img_attn.qkv"),
    (r"\.attn\.to_out(\.0)?\b", ".img_attn.proj"),
    (r"\.attn\.add_[qkv]_proj\b", ".txt_attn.qkv"),
    (r"\.attn\.to_add_out\b", ".txt_attn.proj"),
    (r"\.ff_context\b(\.net)?", ".txt_mlp"),
    (r"\.ff\b(\.net)?", ".img_mlp"),
    (r"\.norm1_context\.linear\b", ".txt_mod.lin"),
    (r"\.norm1\.linear\b", ".img_mod.lin"),
)
_ALONE = {"ff": "(img|txt)_mlp", "ff.net": "(img|txt)_mlp", "transformer_block": "_blocks"}


def pattern_of(word: str, architecture: str) -> str:
    """The pattern that finds the layers whose name in diffusers has the word."""
    if architecture != "flux":
        return re.escape(word)
    if word in _ALONE:
        return _ALONE[word]
    name = word.removeprefix("transformer.")
    for there, here in _SINGLE if "single_transformer" in name else _DOUBLE:
        name = re.sub(there, here, name)
    return re.escape(name)
