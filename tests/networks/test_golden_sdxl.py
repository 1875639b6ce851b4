"""Files of sd-scripts on SDXL: outputs as the peer computed them (shared golden README).

The text encoders and one case are in the repository, the large U-Net beside it where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from tests.networks.golden_case import check_case

HERE = Path(__file__).parents[1] / "golden" / "sdxl"
SHARED = Path(__file__).parents[3] / "shared" / "golden" / "sdxl"
CASES = [n for n in ("lora_r4a2", "lora_block23") if (SHARED / f"{n}.safetensors").exists()]


def text_encoders() -> dict[str, nn.Module]:
    models: dict[str, nn.Module] = {
        "text_encoder": CLIPTextModel.from_pretrained(HERE / "te1"),
        "text_encoder_2": CLIPTextModelWithProjection.from_pretrained(HERE / "te2"),
    }
    for model in models.values():
        model.float().requires_grad_(False).eval()
    return models


def unet(y: Tensor) -> UNet2DConditionModel:
    """The golden U-Net, told the finished conditioning vector `y` past its embedding of sizes."""
    model = UNet2DConditionModel.from_pretrained(SHARED / "diffusers" / "unet")
    model.float().requires_grad_(False).eval()
    model.get_aug_embed = lambda *_, **__: model.add_embedding(y)
    return model


@torch.no_grad()
def run(components: dict[str, nn.Module], io: Mapping[str, Tensor]) -> dict[str, Tensor]:
    first = components["text_encoder"](io["in.ids"], output_hidden_states=True)
    second = components["text_encoder_2"](io["in.ids"], output_hidden_states=True)
    outputs = {
        "te1": first.hidden_states[-2],
        "te2": second.hidden_states[-2],
        "te2_pool": second.text_embeds,
    }
    if "denoiser" in components:
        outputs["unet"] = components["denoiser"](io["in.x"], io["in.t"], io["in.ctx"]).sample
    return outputs


def test_the_text_encoders_give_what_the_peer_computed() -> None:
    components = text_encoders()
    path = HERE / "lora_r4a2.safetensors"
    handle = check_case("sdxl", components, run, path)
    text = [n for n in load_file(path) if n.startswith("lora_te") and n.endswith("down.weight")]
    assert len(handle.used) == len(text) > 0
    assert {u.reason for u in handle.unused} == {"the denoiser is not given"}


@pytest.mark.parametrize("name", CASES)
def test_the_whole_model_gives_what_the_peer_computed(name: str) -> None:
    """Every key of the file is used: original names on the libraries' modules."""
    path = SHARED / f"{name}.safetensors"
    io = load_file(path.with_suffix(".io.safetensors"))
    components = {"denoiser": unet(io["in.y"]), **text_encoders()}
    assert check_case("sdxl", components, run, path).unused == ()
