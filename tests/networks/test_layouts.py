"""Other programs' spellings, and other programs reading ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline  # pyright: ignore[reportPrivateImportUsage]
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.networks import Network, attach_file
from engine.networks.file import save
from engine.networks.layouts import layout_of, take_apart
from engine.networks.shape import shape_of
from engine.networks.spellings import spellings
from engine.plan.ranks import place
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions
from tests.networks.conftest import Golden
from tests.networks.parts import FUSED, error

Case = Callable[[str], tuple[Path, dict[str, Tensor]]]


@pytest.mark.parametrize(
    ("key", "name", "kind"),
    [
        ("lora_unet_a_b.lora_down.weight", "lora_unet_a_b", "down"),
        ("lora_unet_a_b.alpha", "lora_unet_a_b", "alpha"),
        ("unet.a.0.to_q.lora_A.weight", "unet.a.0.to_q", "down"),
        ("unet.a.attn1.processor.to_out_lora.up.weight", "unet.a.attn1.to_out.0", "up"),
        ("text_encoder.x.q_proj.lora_linear_layer.up.weight", "text_encoder.x.q_proj", "up"),
        ("base_model.model.a.to_q.lora_B.default.weight", "a.to_q", "up"),
        ("diffusion_model.a.1.lora_B.weight", "diffusion_model.a.1", "up"),
        ("lora_unet_a.lora_mid.weight", "lora_unet_a", "lora_mid.weight"),
    ],
)
def test_keys_come_apart(key: str, name: str, kind: str) -> None:
    taken = take_apart(key)
    assert taken is not None
    assert (taken.name, taken.kind) == (name, kind)


def test_a_key_of_no_adapter_is_none() -> None:
    assert take_apart("model.diffusion_model.out.2.weight") is None


def test_layouts_are_told_by_names() -> None:
    assert layout_of(["lora_unet_x"]) == "kohya"
    assert layout_of(["unet.x.to_q"]) == "diffusers"
    assert layout_of(["diffusion_model.input_blocks.1"]) == "comfyui"


def test_every_spelling_means_one_site() -> None:
    names: dict[str, str] = {}
    for site in sites_of("sd1"):
        for name in spellings(site):
            assert names.setdefault(name, site.name) == site.name
    last = "output_blocks_11_1_transformer_blocks_0_attn2_to_k"
    ours = "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_attn2_to_k"
    assert names[f"lora_unet_{last}"] == ours
    assert names["diffusion_model.middle_block.2.in_layers.2"] == (
        "lora_unet_mid_block_resnets_1_conv1"
    )
    assert (
        names["diffusion_model.output_blocks.2.1.conv"] == "lora_unet_up_blocks_0_upsamplers_0_conv"
    )
    assert (
        names["diffusion_model.output_blocks.5.2.conv"] == "lora_unet_up_blocks_1_upsamplers_0_conv"
    )
    assert (
        names["diffusion_model.input_blocks.3.0.op"]
        == "lora_unet_down_blocks_0_downsamplers_0_conv"
    )
    assert list(spellings(FUSED)) == [FUSED.name]


@pytest.mark.parametrize("layout", ["diffusers", "comfyui", "original underscored"])
def test_a_file_renamed_to_another_layout_acts_the_same(
    layout: str, golden: Golden, case: Case, tmp_path: Path
) -> None:
    path, io = case("lora_r4a2")
    sites = {s.name: s for s in sites_of("sd1", shape_of("sd1", golden.components))}
    starts = {
        "diffusers": ("unet.", "text_encoder.text_model."),
        "comfyui": ("diffusion_model.", "text_encoders.clip_l.transformer."),
        "original underscored": ("lora_unet_", "lora_te1_"),
    }[layout]
    renamed = {}
    for key, tensor in load_file(path).items():
        name, _, kind = key.partition(".")
        found = [n for n in spellings(sites[name]) if n.startswith(starts)]
        new = found[-1]  # the first of lora_unet_ is the own name
        renamed[f"{new}.{kind}"] = tensor
    other = tmp_path / "renamed.safetensors"
    save_file(renamed, other)
    base = golden.run(io)
    handle = attach_file("sd1", golden.components, other)
    assert handle.unused == ()
    assert handle.file.layout == ("kohya" if layout == "original underscored" else layout)
    got = golden.run(io)
    for part in ("unet", "te1"):
        expected = io[f"lora.{part}"] - io[f"base.{part}"]
        assert error([got[part] - base[part]], [expected]) < 1e-4


def test_a_peft_file_of_diffusers_acts_as_in_diffusers(golden: Golden, tmp_path: Path) -> None:
    """PEFT keys carry no alpha; diffusers keeps it in the header (networks 1.10)."""
    from diffusers.training_utils import _collate_lora_metadata
    from peft import LoraConfig
    from peft.utils.save_and_load import get_peft_model_state_dict

    torch.manual_seed(0)
    inputs = torch.randn(1, 4, 16, 16), torch.tensor([10]), torch.randn(1, 77, 32)
    with torch.no_grad():
        base = golden.unet(*inputs).sample
        config = LoraConfig(r=3, lora_alpha=6, target_modules=["to_q", "to_out.0", "conv1"])
        golden.unet.add_adapter(config)
        for name, parameter in golden.unet.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.1)
        expected = golden.unet(*inputs).sample
        StableDiffusionPipeline.save_lora_weights(
            tmp_path,
            unet_lora_layers=get_peft_model_state_dict(golden.unet),  # pyright: ignore[reportArgumentType]
            **_collate_lora_metadata({"unet": golden.unet}),
        )
        golden.unet.unload_lora()
        assert error([golden.unet(*inputs).sample], [base]) < 1e-6
        path = tmp_path / "pytorch_lora_weights.safetensors"
        handle = attach_file("sd1", {"denoiser": golden.unet}, path)
        assert handle.unused == ()
        assert handle.file.layout == "diffusers"
        assert {f.scale for f in handle.file.factors.values()} == {2.0}
        assert error([golden.unet(*inputs).sample - base], [expected - base]) < 1e-4


def pipeline(golden: Golden) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=None,  # pyright: ignore[reportArgumentType]
        text_encoder=golden.text_encoder,
        tokenizer=None,  # pyright: ignore[reportArgumentType]
        unet=golden.unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1, set_alpha_to_one=False),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )


def test_diffusers_loads_our_file_with_equal_output(
    golden: Golden, case: Case, tmp_path: Path
) -> None:
    """Check 27: text encoder, attention and convolutions, alpha not the rank, to 1e-5."""
    _, io = case("lora_r4a2")
    options = NetworkOptions(rank=3, alpha=2, conv_dim=2, conv_alpha=1)
    sites = sites_of("sd1", shape_of("sd1", golden.components))
    network = Network.create(place(options, sites, "sd1"), golden.components, options, 1)
    torch.manual_seed(0)
    for adapter in network.each_adapter():
        nn.init.normal_(adapter.up, std=0.1)
    base = golden.run(io)
    network.eval().attach()
    ours = golden.run(io)
    network.detach()
    save(tmp_path / "ours.safetensors", network.weights(), {"ss_network_dim": "3"}, "fp32")
    pipeline(golden).load_lora_weights(str(tmp_path), weight_name="ours.safetensors")
    theirs = golden.run(io)
    for part in ("unet", "te1"):
        assert error([base[part]], [ours[part]]) > 1e-2
        assert error([theirs[part]], [ours[part]]) < 1e-5
