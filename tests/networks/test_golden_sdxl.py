"""Files of sd-scripts on SDXL: outputs as the peer computed them (shared golden README).

The text encoders and one case are in the repository, the large U-Net beside it where there is one.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from engine.networks import attach_file
from tests.networks.parts import error

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
def run(components: dict[str, nn.Module], io: dict[str, Tensor]) -> dict[str, Tensor]:
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


def check_case(path: Path, io: dict[str, Tensor], components: dict[str, nn.Module]) -> None:
    """Deltas at weight 1 and 0.5 are the peer's, and detaching leaves not a bit."""
    base = run(components, io)
    for part, output in base.items():
        assert error([output], [io[f"base.{part}"]]) < 1e-4
    handle = attach_file("sdxl", components, path)
    for kind, weight in (("lora", 1.0), ("lora_m0.5", 0.5)):
        handle.set_weight(weight)
        for part, output in run(components, io).items():
            expected = io[f"{kind}.{part}"] - io[f"base.{part}"]
            assert error([output - base[part]], [expected]) < 2e-3, (kind, part)
    handle.detach()
    assert all(torch.equal(base[part], output) for part, output in run(components, io).items())


def test_the_text_encoders_give_what_the_peer_computed() -> None:
    components = text_encoders()
    path = HERE / "lora_r4a2.safetensors"
    check_case(path, load_file(HERE / "lora_r4a2.io.safetensors"), components)
    handle = attach_file("sdxl", components, path)
    text = [n for n in load_file(path) if n.startswith("lora_te") and n.endswith("down.weight")]
    assert len(handle.used) == len(text) > 0
    assert {u.reason for u in handle.unused} == {"the denoiser is not given"}


@pytest.mark.parametrize("name", CASES)
def test_the_whole_model_gives_what_the_peer_computed(name: str) -> None:
    """Every key of the file is used: original names on the libraries' modules."""
    io = load_file(SHARED / f"{name}.io.safetensors")
    components = {"denoiser": unet(io["in.y"]), **text_encoders()}
    check_case(SHARED / f"{name}.safetensors", io, components)
    assert attach_file("sdxl", components, SHARED / f"{name}.safetensors").unused == ()
