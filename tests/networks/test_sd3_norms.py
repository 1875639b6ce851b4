"""Trained norms of SD3.5: without bias, one weight for all heads (networks 5.2)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from engine.networks import attach_file
from engine.networks.start import start_network
from engine.plan.place_notes import place_notes
from engine.plan.sites.sd3 import sd3_sites
from engine.plan.sites.sd3_shape import SD3_MEDIUM, SD35_MEDIUM, sd3_shape
from engine.schema.network import Network as Options
from tests.tiny_sd3 import CLIP_G_WIDTH, CLIP_L_WIDTH, CONTEXT_WIDTH, tiny_sd3

OPTIONS = Options(rank=2, alpha=2.0, train="denoiser", train_norm=True)


def answer(transformer: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return transformer(
        hidden_states=torch.randn(1, 16, 8, 8, generator=generator),
        timestep=torch.tensor([500.0]),
        encoder_hidden_states=torch.randn(1, 9, CONTEXT_WIDTH, generator=generator),
        pooled_projections=torch.randn(1, CLIP_L_WIDTH + CLIP_G_WIDTH, generator=generator),
    ).sample


def test_norms_learn_are_saved_and_act_alike_again(tmp_path: Path) -> None:
    transformer = tiny_sd3("3.5-medium").transformer.requires_grad_(False)
    components: dict[str, nn.Module] = {"denoiser": transformer}
    sites = sd3_sites(sd3_shape({"denoiser": dict(transformer.config)}))
    network, _ = start_network(OPTIONS, "sd3", sites, components, 0)
    network.attach()
    before = answer(transformer)
    before.square().mean().backward()
    norms = {m.site.name: m for m in network.each() if m.site.kind == "norm"}
    assert len(norms) == 3 * 4 + 2 * 2
    silent = "lora_unet_joint_blocks_2_context_block_attn_ln_q"  # the last block drops its text
    for name, norm in norms.items():
        gradient = norm.get_parameter("w_norm").grad
        assert gradient is not None
        assert bool(gradient.any()) is (name != silent)
    with torch.no_grad():
        for norm in norms.values():
            norm.get_parameter("w_norm").add_(0.1)
        network.eval()
        after = answer(transformer)
        assert (after - before).abs().max() > 1e-3
        save_file(network.weights(), tmp_path / "norms.safetensors")
        network.detach()
        handle = attach_file("sd3", components, tmp_path / "norms.safetensors")
        assert handle.unused == ()
        assert torch.allclose(answer(transformer), after, atol=1e-6)
        handle.merge()
        assert torch.allclose(answer(transformer), after, atol=1e-5)


def test_a_model_without_such_norms_is_told_of() -> None:
    words = "This model has no norm layers with weights of their own to train."
    assert words in list(place_notes(OPTIONS, sd3_sites(SD3_MEDIUM), "sd3"))
    assert words not in list(place_notes(OPTIONS, sd3_sites(SD35_MEDIUM), "sd3"))
