"""The spellings of an adapter's tensors, and which program's layout a file has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Layout = Literal["kohya", "diffusers", "comfyui"]

_KINDS = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A": "down",
    "lora_B": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "alpha": "alpha",
}
"""Endings of the two factors and of alpha, as the programs write them (networks 1.2, 1.11)."""

FURTHER_KINDS = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_magnitude_vector.weight": "DoRA",
    "lora_mid.weight": "Tucker convolutions",
    "scalar": "a trained scalar",
    "w_norm": "trained norm layers",
    "b_norm": "trained norm layers",
    "diff": "full differences",
    "diff_b": "biases",
    "lora_B.bias": "biases",
    "lora_up.bias": "biases",
    "lora_A.bias": "biases",
    "lora_down.bias": "biases",
    "hada_w1_a": "LoHa", "hada_w1_b": "LoHa", "hada_w2_a": "LoHa", "hada_w2_b": "LoHa",
    "hada_t1": "LoHa", "hada_t2": "LoHa",
    "lokr_w1": "LoKr", "lokr_w1_a": "LoKr", "lokr_w1_b": "LoKr",
    "lokr_w2": "LoKr", "lokr_w2_a": "LoKr", "lokr_w2_b": "LoKr", "lokr_t2": "LoKr",
    "oft_blocks": "OFT", "oft_diag": "OFT", "oft_R.weight": "OFT", "oft_R": "OFT",
    "rescale": "OFT", "boft_R": "OFT", "boft_s": "OFT",
    "a1.weight": "GLoRA", "a2.weight": "GLoRA", "b1.weight": "GLoRA", "b2.weight": "GLoRA",
    "bm.weight": "GLoRA",
    "on_input": "IA³", "ia3_l": "IA³",
    "lora_embedding_A": "adapted embeddings", "lora_embedding_B": "adapted embeddings",
    "set_weight": "replaced weights", "reshape_weight": "replaced weights",
}  # fmt: skip
"""Endings of what is no plain LoRA, and what it is called."""

_PROCESSOR = re.compile(r"\.processor\.to_(q|k|v|out)_lora\.(down|up)\.weight$")
_XLABS = re.compile(r"((?:double|single)_blocks\.\d+)\.processor\.(qkv|proj)_lora([12]?)\."
                    r"(down|up)\.weight$")  # fmt: skip
_XLABS_LAYERS = {
    ("qkv", "1"): "img_attn.qkv", ("proj", "1"): "img_attn.proj",
    ("qkv", "2"): "txt_attn.qkv", ("proj", "2"): "txt_attn.proj",
    ("qkv", ""): "linear1_qkv", ("proj", ""): "linear2",
}  # fmt: skip
"""XLabs keeps FLUX's attention layers in processors; 1 is the picture's stream, 2 the text's."""

_NAMED = re.compile(
    r"(lora_A|lora_B|lora_magnitude_vector|lora_embedding_[AB]|(?:hada|lokr|oft|boft|ia3)_\w+)"
    r"\.(?!weight$|bias$)[\w-]+"
)
"""PEFT puts the adapter's own name, mostly `default`, behind a tensor's."""


@dataclass(frozen=True)
class Key:
    """A key taken apart: the adapter's name as spelled, and which of its tensors this is.

    `kind` is down, up, alpha, or an ending of `FURTHER_KINDS`.
    """

    name: str
    kind: str


def take_apart(key: str) -> Key | None:
    """Split a file's key into name and kind; None if it belongs to no adapter known."""
    processor = _PROCESSOR.search(key)
    if processor:
        layer = "to_out.0" if processor[1] == "out" else f"to_{processor[1]}"
        return Key(f"{_bare(key[: processor.start()])}.{layer}", processor[2])
    xlabs = _XLABS.search(key)
    if xlabs and (xlabs[2], xlabs[3]) in _XLABS_LAYERS:
        start = _bare(key[: xlabs.start()])
        return Key(f"{start}{xlabs[1]}.{_XLABS_LAYERS[xlabs[2], xlabs[3]]}", xlabs[4])
    for start in _dots(key):
        ending = _NAMED.sub(r"\1", key[start + 1 :], count=1)
        kind = _KINDS.get(ending)
        if kind is None and ending in FURTHER_KINDS:
            kind = ending
        if kind is not None:
            return Key(_bare(key[:start]), kind)
    return None


def layout_of(names: Iterable[str]) -> Layout:
    """Tell which program's names these are."""
    for name in names:
        if name.startswith(("diffusion_model.", "text_encoders.")):
            return "comfyui"
        if "." in name:
            return "diffusers"
    return "kohya"


def _dots(key: str) -> Iterator[int]:
    """Yield the places of a key's dots, first to last: the longest ending is tried first."""
    start = key.find(".")
    while start >= 0:
        yield start
        start = key.find(".", start + 1)


def _bare(name: str) -> str:
    """The name without what wrappers put into it: PEFT's model, torch's compiled one."""
    return name.replace("base_model.model.", "", 1).replace("_orig_mod.", "")
