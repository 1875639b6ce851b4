"""SDXL's files in other programs, and theirs here (networks 1.11, 9)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import EulerDiscreteScheduler  # pyright: ignore[reportPrivateImportUsage]
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.networks import Network, attach_file
from engine.networks.file import save
from engine.networks.shape import shape_of
from engine.networks.spellings import spellings
from engine.plan.ranks import place
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions
from tests.networks.parts import error
from tests.tiny_sdxl import TinySdxl, tiny_sdxl

Parts = dict[str, nn.Module]


@pytest.fixture
def tiny() -> TinySdxl:
    return tiny_sdxl(depths=(1, 1, 2))


def parts_of(tiny: TinySdxl) -> Parts:
    return {"denoiser": tiny.unet, "text_encoder": tiny.clip_l, "text_encoder_2": tiny.clip_g}


@torch.no_grad()
def run(tiny: TinySdxl) -> list[Tensor]:
    """What the U-Net and the encoders give for fixed inputs."""
    ids = torch.tensor([[512, 70, 80, 513]])
    first, second = tiny.clip_l(ids), tiny.clip_g(ids)
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(1, 4, 8, 8, generator=generator)
    states = torch.randn(1, 4, 96, generator=generator)
    added = {"text_embeds": torch.ones(1, 1280), "time_ids": torch.full((1, 6), 64.0)}
    latents = tiny.unet(noisy, torch.tensor([500]), states, added_cond_kwargs=added).sample
    return [latents, first.last_hidden_state, second.text_embeds]


def trained(parts: Parts) -> Network:
    options = NetworkOptions(rank=3, alpha=2, conv_dim=2, conv_alpha=1, train="both")
    sites = sites_of("sdxl", shape_of("sdxl", parts))
    network = Network.create(place(options, sites, "sdxl"), parts, options, 1)
    torch.manual_seed(0)
    for adapter in network.each():
        nn.init.normal_(adapter.get_parameter("up"), std=0.1)
    return network.eval()


def test_diffusers_loads_our_file_with_equal_output(tiny: TinySdxl, tmp_path: Path) -> None:
    """networks 9, check 27: U-Net with its 3×3 layers, and both text encoders."""
    parts, base = parts_of(tiny), run(tiny)
    network = trained(parts)
    network.attach()
    ours = run(tiny)
    network.detach()
    save(tmp_path / "ours.safetensors", network.weights(), {"ss_network_dim": "3"}, "fp32")
    pipeline = StableDiffusionXLPipeline(
        vae=None,  # pyright: ignore[reportArgumentType]
        text_encoder=tiny.clip_l,
        text_encoder_2=tiny.clip_g,
        tokenizer=None,  # pyright: ignore[reportArgumentType]
        tokenizer_2=None,  # pyright: ignore[reportArgumentType]
        unet=tiny.unet,
        scheduler=EulerDiscreteScheduler(),  # pyright: ignore[reportArgumentType]
        add_watermarker=False,
    )
    pipeline.load_lora_weights(str(tmp_path), weight_name="ours.safetensors")
    for before, own, theirs in zip(base, ours, run(tiny), strict=True):
        assert error([before], [own]) > 1e-2
        assert error([theirs], [own]) < 1e-5


LAYOUTS = {
    "diffusers": ("unet.", "text_encoder.text_model.", "text_encoder_2.text_model."),
    "comfyui": (
        "diffusion_model.input", "diffusion_model.middle", "diffusion_model.output",
        "text_encoders.clip_l.", "text_encoders.clip_g.",
    ),
    "diffusers, underscored": (
        "lora_unet_down_blocks", "lora_unet_mid_block", "lora_unet_up_blocks", "lora_te",
    ),
}  # fmt: skip
"""What the names of each layout begin with."""


def test_every_spelling_of_its_names_is_read(tiny: TinySdxl, tmp_path: Path) -> None:
    parts = parts_of(tiny)
    network = trained(parts)
    network.attach()
    ours = run(tiny)
    network.detach()
    sites = {site.name: site for site in sites_of("sdxl", shape_of("sdxl", parts))}
    for layout, starts in LAYOUTS.items():
        renamed = {}
        for key, tensor in network.weights().items():
            name, _, kind = key.partition(".")
            found = [n for n in spellings(sites[name]) if n.startswith(starts)]
            renamed[f"{found[0]}.{kind}"] = tensor.contiguous()
        path = tmp_path / f"{layout}.safetensors"
        save_file(renamed, path)
        handle = attach_file("sdxl", parts, path)
        assert handle.unused == (), layout
        assert error(run(tiny), ours) < 1e-6, layout
        handle.detach()


def test_every_spelling_means_one_site() -> None:
    names: dict[str, str] = {}
    for site in sites_of("sdxl"):
        for name in spellings(site):
            assert names.setdefault(name, site.name) == site.name
