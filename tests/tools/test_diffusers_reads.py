"""What `convert --to diffusers`, and our own layout, are to diffusers' loaders: every layer is
found, nothing is left over, and the weights move as here (networks 1.11, 1.13; 9, check 27)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.lora_pipeline import (
    AnimaLoraLoaderMixin,
    FluxLoraLoaderMixin,
    Lumina2LoraLoaderMixin,
    SD3LoraLoaderMixin,
    StableDiffusionLoraLoaderMixin,
    StableDiffusionXLLoraLoaderMixin,
)
from peft.tuners.lora.layer import LoraLayer
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.networks.adapter import host_segments
from engine.tools.convert import convert
from engine.tools.source import Source, open_source
from tests.tiny_sets import MAKERS
from tests.tools.adapters import make_adapter
from tests.tools.test_merge import loaded

LOADERS: dict[str, Any] = {
    "sd1": StableDiffusionLoraLoaderMixin, "sd2": StableDiffusionLoraLoaderMixin,
    "sdxl": StableDiffusionXLLoraLoaderMixin, "flux": FluxLoraLoaderMixin,
    "sd3": SD3LoraLoaderMixin, "lumina2": Lumina2LoraLoaderMixin, "anima": AnimaLoraLoaderMixin,
    "hunyuan_image": None,
}  # fmt: skip
READ = {
    "sd1": ("denoiser", "text_encoder"), "sd2": ("denoiser", "text_encoder"),
    "sdxl": ("denoiser", "text_encoder", "text_encoder_2"), "flux": ("denoiser", "text_encoder"),
    "sd3": ("denoiser", "text_encoder", "text_encoder_2"), "lumina2": ("denoiser",),
    "anima": ("denoiser", "text_conditioner"), "hunyuan_image": ("denoiser",),
}  # fmt: skip
"""The parts that diffusers' loader of an architecture reads; HunyuanImage's pipeline has none."""


def wanted_deltas(source: Source) -> dict[tuple[str, str], Tensor]:
    """Role and module → what is added to its weight, in the library's rows."""
    deltas = {}
    for site in source.sites:
        factors = source.matched.factors.get(site.name)
        if factors is None:
            continue
        whole = factors.scale * (factors.up.flatten(1) @ factors.down.flatten(1))
        for segments in host_segments(site):
            rows = torch.cat([whole[slice(*s.source)] for s in segments])
            deltas[site.component, segments[0].module] = rows
    return deltas


def state_of(
    loader: Any, tensors: Mapping[str, Tensor], denoiser: Any
) -> tuple[dict[str, Tensor], Any]:
    """What the loader makes of a file: its own names, and alphas that stand apart."""
    if loader is None:
        return dict(tensors), None
    if loader is FluxLoraLoaderMixin:
        both: Any = loader.lora_state_dict(dict(tensors), return_alphas=True)
        return both
    # SDXL's layers are in the original's order: the U-Net's config says how many a block has.
    more = {"unet_config": denoiser.config} if loader is StableDiffusionXLLoraLoaderMixin else {}
    made: Any = loader.lora_state_dict(dict(tensors), **more)
    return made if isinstance(made, tuple) else (made, None)


def read_deltas(
    architecture: str, path: Path, components: Mapping[str, nn.Module]
) -> dict[tuple[str, str], Tensor]:
    """The same, as diffusers loaded them; a loader that leaves a key over raises here."""
    loader = LOADERS[architecture]
    state, alphas = state_of(loader, load_file(path), components["denoiser"])
    deltas = {}
    for role in READ[architecture]:
        model: Any = components[role]
        root = role
        if role == "denoiser":
            root = "unet" if architecture in ("sd1", "sd2", "sdxl") else "transformer"
        if role.startswith("text_encoder"):
            loader.load_lora_into_text_encoder(
                dict(state), alphas, model, prefix=role, adapter_name="cat"
            )
        else:
            own = {k: v for k, v in (alphas or {}).items() if k.startswith(f"{root}.")} or None
            model.load_lora_adapter(
                dict(state), prefix=root, network_alphas=own, adapter_name="cat"
            )
        layers: list[tuple[str, Any]] = [
            (name, m) for name, m in model.named_modules() if isinstance(m, LoraLayer)
        ]
        for name, layer in layers:
            deltas[role, name] = layer.get_delta_weight("cat").detach().flatten(1)
    return deltas


def check(architecture: str, source: Source, path: Path, base: Path) -> None:
    wanted = {
        place: delta
        for place, delta in wanted_deltas(source).items()
        if place[0] in READ[architecture]
    }
    found = read_deltas(architecture, path, loaded(architecture, base).components)
    assert found.keys() == wanted.keys()
    for place, delta in wanted.items():
        assert torch.allclose(found[place], delta, atol=1e-6), place


def made_for(architecture: str, folder: Path, keep: Callable[[Any], bool]) -> tuple[Source, Path]:
    base = MAKERS[architecture](folder / "base")
    more = {"train_llm_adapter": True} if architecture == "anima" else {}
    conv = {"conv_dim": 2} if architecture in ("sd1", "sd2", "sdxl") else {}
    path = folder / "cat.safetensors"
    make_adapter(path, architecture, base, keep=keep, train="both", **more, **conv)
    return open_source(path, architecture, base), base


@pytest.mark.parametrize("part", ["whole", "attention alone"])
@pytest.mark.parametrize("architecture", list(LOADERS))
def test_diffusers_reads_its_layout_whole(architecture: str, part: str, tmp_path: Path) -> None:
    def keep(placement: Any) -> bool:
        return part == "whole" or "att" in placement.site.name

    source, base = made_for(architecture, tmp_path, keep)
    written = convert(source, tmp_path / "diffusers.safetensors", "diffusers")
    assert written.notes == ()
    check(architecture, source, written.path, base)


@pytest.mark.parametrize("architecture", ["sd1", "sd2", "sdxl"])
def test_diffusers_reads_our_layout_of_unets_whole(architecture: str, tmp_path: Path) -> None:
    """Of the others it reads FLUX's alone (tests/networks/test_golden_flux.py), at full size."""
    source, base = made_for(architecture, tmp_path, lambda placement: True)
    check(architecture, source, source.file.path, base)
