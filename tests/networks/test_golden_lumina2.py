"""A file of sd-scripts on Lumina-Image 2: outputs as the peer computed them (golden README)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
from torch import Tensor, nn

from tests.networks.golden_case import check_case

HERE = Path(__file__).parents[1] / "golden" / "lumina2"


@torch.no_grad()
def run(components: dict[str, nn.Module], io: Mapping[str, Tensor]) -> dict[str, Tensor]:
    picture = components["denoiser"](
        hidden_states=io["in.x"],
        timestep=io["in.t"],
        encoder_hidden_states=io["in.cap"],
        encoder_attention_mask=io["in.cap_mask"].int(),
        return_dict=False,
    )[0]
    return {"dit": picture}


def test_outputs_equal_the_peers_and_detach_is_bit_exact() -> None:
    """Fused attention with fewer key heads too: deltas at weight 1 and 0.5, every key used."""
    denoiser = Lumina2Transformer2DModel.from_pretrained(HERE / "transformer")
    denoiser.float().requires_grad_(False).eval()
    handle = check_case("lumina2", {"denoiser": denoiser}, run, HERE / "all.safetensors")
    assert handle.unused == ()
    assert len(handle.used) == 36
