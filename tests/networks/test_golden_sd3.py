"""Files of sd-scripts on SD3: outputs as the peer computed them (shared golden README)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, T5EncoderModel

from engine.networks import attach_file
from tests.networks.golden_case import check_case
from tests.tiny_sd3 import original_names, tiny_sd3

HERE = Path(__file__).parents[1] / "golden" / "sd3"
OUTPUTS = ("dit", "te1", "te2", "t5")


@pytest.fixture(scope="module")
def components() -> dict[str, nn.Module]:
    models: dict[str, nn.Module] = {
        "denoiser": SD3Transformer2DModel.from_pretrained(HERE / "transformer"),
        "text_encoder": CLIPTextModelWithProjection.from_pretrained(HERE / "te1"),
        "text_encoder_2": CLIPTextModelWithProjection.from_pretrained(HERE / "te2"),
        "text_encoder_3": T5EncoderModel.from_pretrained(HERE / "t5"),
    }
    for model in models.values():
        model.float().requires_grad_(False).eval()
    return models


@torch.no_grad()
def run(components: dict[str, nn.Module], io: Mapping[str, Tensor]) -> dict[str, Tensor]:
    clips = {
        name: components[role](io["in.ids"], output_hidden_states=True).hidden_states[-2]
        for name, role in (("te1", "text_encoder"), ("te2", "text_encoder_2"))
    }
    return clips | {
        "t5": components["text_encoder_3"](io["in.t5_ids"]).last_hidden_state,
        "dit": components["denoiser"](
            hidden_states=io["in.x"],
            timestep=io["in.t"],
            encoder_hidden_states=io["in.ctx"],
            pooled_projections=io["in.y"],
        ).sample,
    }


@pytest.mark.parametrize(("name", "changed"), [("all_te", {"dit", "te1", "te2"}),
                                               ("split_qkv", {"dit"})])  # fmt: skip
def test_outputs_equal_the_peers_and_detach_is_bit_exact(
    name: str, changed: set[str], components: dict[str, nn.Module]
) -> None:
    """Fused and swapped layers too: deltas at weight 1 and 0.5, every key used."""
    handle = check_case("sd3", components, run, HERE / f"{name}.safetensors", changed=changed)
    assert handle.unused == ()


SWAPPED_OR_FUSED = (
    "joint_blocks.1.context_block.adaLN_modulation.1",
    "final_layer.adaLN_modulation.1",
    "joint_blocks.0.context_block.attn.qkv",
)


def test_merging_is_the_same_in_the_original_checkpoint(tmp_path: Path) -> None:
    """networks 9, check 21: merged there and converted by the library, with its halves swapped."""
    transformer = tiny_sd3().transformer
    original = original_names(transformer.state_dict())
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for layer in SWAPPED_OR_FUSED:
        weight = original[f"{layer}.weight"]
        down = torch.randn(4, weight.shape[1], generator=generator)
        up = torch.randn(weight.shape[0], 4, generator=generator)
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        tensors[f"{name}.alpha"] = torch.tensor(4.0)
        original[f"{layer}.weight"] = (weight.double() + up.double() @ down.double()).float()
    save_file(tensors, tmp_path / "random.safetensors")
    attach_file("sd3", {"denoiser": transformer}, tmp_path / "random.safetensors").merge()
    merged = transformer.state_dict()
    for name, tensor in convert_sd3_transformer_checkpoint_to_diffusers(original).items():
        assert torch.allclose(merged[name], tensor, atol=1e-5, rtol=0), name
