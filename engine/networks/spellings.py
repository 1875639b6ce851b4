"""Every name under which a file may hold a site's adapter, whatever program wrote it.

A program puts something before a layer's path, in the library's model or in the original
checkpoint, and writes its dots or underscores (spec: networks 1.10, 1.11, 1.13).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor

from engine.plan.site import TEXT_ENCODERS, Site
from engine.plan.sites.sdxl import AROUND, RESNET_NAMES

_DOTTED = ("diffusion_model.", "transformer.", "unet.", "model.diffusion_model.", "")
_UNDERSCORED = ("lora_unet_", "lora_transformer_", "lycoris_")
"""What may stand before a path of the denoiser: ComfyUI, diffusers, PEFT; sd-scripts, OneTrainer,
SimpleTuner."""

_COMFYUI_CLIPS = {
    "text_encoder": ("clip_l", "clip_h"), "text_encoder_2": ("clip_g",),
}  # fmt: skip
_COMFYUI_LANGUAGE_MODELS = ("gemma2_2b", "qwen3_06b")
"""ComfyUI's names for the encoders."""


def spellings(site: Site) -> Iterator[str]:
    """Yield every name under which a file may hold this site's adapter, its own first.

    A fused site is not found by the libraries' names: there its parts are several adapters.
    """
    yield site.name
    if not site.original:
        return
    if site.component in TEXT_ENCODERS:
        yield from _of_text(site)
        return
    paths = [site.original]
    if site.comfyui:
        paths.append(site.comfyui)
    if len(site.segments) == 1 and site.component == "denoiser":
        module = site.segments[0].module
        paths += [*_original(module), module]
    yield from _before(paths)
    if site.component == "text_conditioner":
        yield f"text_conditioner.{site.original}"
        yield f"text_conditioner.{site.segments[0].module}"


def part_spellings(site: Site) -> Iterator[tuple[str, int]]:
    """Yield the names under which files hold the modules of a fused layer, and which module.

    A part is a place in `engine.networks.adapter.host_segments`.
    """
    if len(site.segments) == 1:
        return
    modules = list(dict.fromkeys(segment.module for segment in site.segments))
    for part, module in enumerate(modules):
        for name in _before([module]):
            yield name, part


def head_spellings(site: Site) -> Iterator[str]:
    """Yield the names of FLUX's single layers whose first rows, q, k and v, are adapted alone."""
    if site.original.endswith(".linear1") and len(site.segments) > 1:
        yield from _before([f"{site.original}_qkv"])


def original_paths(site: Site) -> list[str]:
    """Where a site's weight stands in the original checkpoint, without what is before it."""
    if site.component != "denoiser" or site.original != site.segments[0].module:
        return [site.original]
    return [*_original(site.original), site.original]


def comfyui_name(site: Site) -> str:
    """The adapter's name that ComfyUI looks for, where it is not ours (spec: networks 3.7).

    A part of a fused layer, which has no original path, is known there by the library's.
    """
    if not site.original:
        return site.name.replace("lora_unet_", "lora_transformer_", 1)
    return f"lora_unet_{site.comfyui.replace('.', '_')}" if site.comfyui else site.name


def in_comfyui_names(tensors: Mapping[str, Tensor], sites: Iterable[Site]) -> dict[str, Tensor]:
    """Give a file's tensors, whose adapters are named as ours, the names that ComfyUI looks for."""
    names = {site.name: comfyui_name(site) for site in sites}
    renamed = {}
    for key, tensor in tensors.items():
        name, dot, ending = key.partition(".")
        renamed[f"{names.get(name, name)}{dot}{ending}"] = tensor
    return renamed


def _before(paths: Iterable[str]) -> Iterator[str]:
    """The paths with everything that may stand before them."""
    for path in paths:
        flat = path.replace(".", "_")
        yield from (f"{start}{flat}" for start in _UNDERSCORED)
        yield from (f"{start}{path}" for start in _DOTTED)


def _of_text(site: Site) -> Iterator[str]:
    """CLIPs are told apart by their number; T5 and language models are alone of their kind."""
    module, clip = site.segments[0].module, site.original.startswith("text_model.")
    roles = (site.component,) if clip else TEXT_ENCODERS
    paths = list(dict.fromkeys((site.original, module)))
    if site.original.startswith("layers."):
        paths.append(f"model.{site.original}")  # of a model that also writes text
    for path in paths:
        flat = path.replace(".", "_")
        for role in roles:
            number = TEXT_ENCODERS.index(role) + 1
            yield f"{role}.{path}"
            yield f"lora_te{number}_{flat}"
        if site.component == "text_encoder":
            yield f"lora_te_{flat}"
            yield path
    if clip:
        comfyui = [(name, site.original) for name in _COMFYUI_CLIPS.get(site.component, ())]
    elif site.original.startswith("encoder.block."):
        comfyui = [("t5xxl", site.original)]
    else:
        comfyui = [(name, f"model.{site.original}") for name in _COMFYUI_LANGUAGE_MODELS]
    for name, path in comfyui:
        yield f"text_encoders.{name}.transformer.{path}"


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
            return [f"{here}.{number}.0.{RESNET_NAMES.get(rest, rest)}"]
        if part == "attentions":
            return [f"{here}.{number}.1.{rest}"]
        if part == "downsamplers":
            return [f"{here}.{3 * (level + 1)}.0.op"]
        return [f"{here}.{3 * level + 2}.{place}.{rest}" for place in (1, 2)]
    match = re.match(r"mid_block\.(\w+)\.(\d+)\.(.+)", module)
    if match and match[1] == "attentions":
        return [f"middle_block.1.{match[3]}"]
    if match:
        return [f"middle_block.{2 * int(match[2])}.{RESNET_NAMES.get(match[3], match[3])}"]
    return [AROUND[module]] if module in AROUND else []
