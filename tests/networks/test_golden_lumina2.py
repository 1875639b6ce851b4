"""A file of sd-scripts on Lumina-Image 2: outputs as the peer computed them (golden README)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.networks import attach_file
from tests.networks.parts import error

HERE = Path(__file__).parents[1] / "golden" / "lumina2"


@pytest.fixture(scope="module")
def denoiser() -> nn.Module:
    model = Lumina2Transformer2DModel.from_pretrained(HERE / "transformer")
    return model.float().requires_grad_(False).eval()


@torch.no_grad()
def run(denoiser: nn.Module, io: dict[str, Tensor]) -> Tensor:
    return denoiser(
        hidden_states=io["in.x"],
        timestep=io["in.t"],
        encoder_hidden_states=io["in.cap"],
        encoder_attention_mask=io["in.cap_mask"].int(),
        return_dict=False,
    )[0]


def test_outputs_equal_the_peers_and_detach_is_bit_exact(denoiser: nn.Module) -> None:
    """Fused attention with fewer key heads too: deltas at weight 1 and 0.5, every key used."""
    io = load_file(HERE / "all.io.safetensors")
    base = run(denoiser, io)
    assert error([base], [io["base.dit"]]) < 1e-4
    handle = attach_file("lumina2", {"denoiser": denoiser}, HERE / "all.safetensors")
    assert handle.unused == ()
    assert len(handle.used) == 36
    for kind, weight in (("lora", 1.0), ("lora_m0.5", 0.5)):
        handle.set_weight(weight)
        expected = io[f"{kind}.dit"] - io["base.dit"]
        assert error([run(denoiser, io) - base], [expected]) < 2e-3, kind
    handle.detach()
    assert torch.equal(run(denoiser, io), base)
