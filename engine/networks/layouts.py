"""The spellings of an adapter's name and tensors: sd-scripts, diffusers/PEFT and ComfyUI."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from engine.plan.site import Site

Layout = Literal["kohya", "diffusers", "comfyui"]

_KINDS = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "alpha": "alpha",
}
"""Endings of the two factors and of alpha, as the programs write them (networks 1.2, 1.11)."""

_PROCESSOR = re.compile(r"\.processor\.to_(q|k|v|out)_lora\.(down|up)\.weight$")

FURTHER_KINDS = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_magnitude_vector.weight": "DoRA",
    "lora_mid.weight": "Tucker convolutions",
    "scalar": "a trained scalar",
    "w_norm": "trained norm layers",
    "b_norm": "trained norm layers",
    "diff": "full differences",
    "diff_b": "full differences",
    "lora_A.bias": "biases",
    "lora_B.bias": "biases",
    "lora_up.bias": "biases",
    "hada_w1_a": "LoHa", "hada_w1_b": "LoHa", "hada_w2_a": "LoHa", "hada_w2_b": "LoHa",
    "hada_t1": "LoHa", "hada_t2": "LoHa",
    "lokr_w1": "LoKr", "lokr_w1_a": "LoKr", "lokr_w1_b": "LoKr",
    "lokr_w2": "LoKr", "lokr_w2_a": "LoKr", "lokr_w2_b": "LoKr", "lokr_t2": "LoKr",
    "oft_blocks": "OFT", "oft_diag": "OFT",
}  # fmt: skip
"""Endings of what is no plain LoRA, and what it is called."""


_CLIPS = {"text_encoder": ("clip_l", "clip_h"), "text_encoder_2": ("clip_g",)}
"""ComfyUI's names for the CLIP of each role."""


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
    for start in _dots(key):
        ending = key[start + 1 :]
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


def spellings(site: Site) -> Iterator[str]:
    """Yield every name under which a file may hold this site's adapter, its own first.

    A fused site is not found by the libraries' names: there its parts are several adapters.
    """
    yield site.name
    if site.comfyui:
        yield comfyui_name(site)
        yield f"diffusion_model.{site.comfyui}"
    if len(site.segments) != 1:
        if site.component == "denoiser" and site.original:
            yield f"diffusion_model.{site.original}"
        return
    module = site.segments[0].module
    original = _original(module) if site.component == "denoiser" else [site.original]
    if site.component == "denoiser":
        yield from (f"unet.{module}", f"transformer.{module}", f"diffusion_model.{module}")
        yield f"lora_unet_{module.replace('.', '_')}"
        yield f"diffusion_model.{site.original}"
        for path in original:
            yield f"diffusion_model.{path}"
            yield f"lora_unet_{path.replace('.', '_')}"
        return
    yield f"{site.component}.{module}"
    if not site.original:
        return
    yield f"{site.component}.{site.original}"
    if not site.original.startswith("text_model."):
        return
    for encoder in _CLIPS.get(site.component, ()):
        yield f"text_encoders.{encoder}.transformer.{site.original}"
    if site.component == "text_encoder":
        yield f"lora_te1_{site.original.replace('.', '_')}"


def part_spellings(site: Site) -> Iterator[tuple[str, int]]:
    """Yield the names under which diffusers' files hold the parts of a fused layer, and which.

    A part is a place in `engine.networks.adapter.host_segments`.
    """
    modules = list(dict.fromkeys(segment.module for segment in site.segments))
    if len(site.segments) == 1:
        return
    for part, module in enumerate(modules):
        yield f"transformer.{module}", part
        yield f"diffusion_model.{module}", part
        yield module, part


def original_paths(site: Site) -> list[str]:
    """Where a site's weight stands in the original checkpoint, without what is before it."""
    if site.component != "denoiser" or site.original != site.segments[0].module:
        return [site.original]
    return [*_original(site.original), site.original]


def comfyui_name(site: Site) -> str:
    """The adapter's name that ComfyUI looks for, where it is not ours (spec: networks 3.7)."""
    return f"lora_unet_{site.comfyui.replace('.', '_')}" if site.comfyui else site.name


def in_comfyui_names(tensors: Mapping[str, Tensor], sites: Iterable[Site]) -> dict[str, Tensor]:
    """Give a file's tensors, whose adapters are named as ours, the names that ComfyUI looks for."""
    names = {site.name: comfyui_name(site) for site in sites}
    renamed = {}
    for key, tensor in tensors.items():
        name, dot, ending = key.partition(".")
        renamed[f"{names.get(name, name)}{dot}{ending}"] = tensor
    return renamed


def _original(module: str) -> list[str]:
    """Spell a diffusers U-Net path as the original checkpoint does (spec: networks 3.3).

    An upsampler stands behind the attention where there is one: both places are given.
    """
    match = re.match(r"(down_blocks|up_blocks)\.(\d+)\.(\w+)\.(\d+)\.(.+)", module)
    if match:
        side, level, part, layer = match[1], int(match[2]), match[3], int(match[4])
        rest = match[5]
        number = 3 * level + layer + (side == "down_blocks")
        here = "input_blocks" if side == "down_blocks" else "output_blocks"
        if part == "resnets":
            return [f"{here}.{number}.0.{_RESNET.get(rest, rest)}"]
        if part == "attentions":
            return [f"{here}.{number}.1.{rest}"]
        if part == "downsamplers":
            return [f"{here}.{3 * (level + 1)}.0.op"]
        return [f"{here}.{3 * level + 2}.{place}.{rest}" for place in (1, 2)]
    match = re.match(r"mid_block\.(\w+)\.(\d+)\.(.+)", module)
    if not match:
        return []
    if match[1] == "attentions":
        return [f"middle_block.1.{match[3]}"]
    return [f"middle_block.{2 * int(match[2])}.{_RESNET.get(match[3], match[3])}"]


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _dots(key: str) -> Iterator[int]:
    """Yield the places of a key's dots, first to last: the longest ending is tried first."""
    start = key.find(".")
    while start >= 0:
        yield start
        start = key.find(".", start + 1)


def _bare(name: str) -> str:
    for prefix in ("base_model.model.", "unet.base_model.model."):
        if name.startswith(prefix):
            return name.replace("base_model.model.", "", 1)
    return name
