"""Every program's names for a layer, and layers that are cut in another way than the library's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.networks import AdapterProblem, attach_file
from engine.networks.adapter import host_segments
from engine.networks.file import read
from engine.networks.layouts import take_apart
from engine.networks.spellings import head_spellings, part_spellings, spellings
from engine.plan.sites import RULES, sites_of
from tests.networks.parts import error
from tests.tiny_flux import flux_modules
from tests.tiny_sd3 import tiny_sd3

ATTENTION = "transformer_blocks.0.attn"
NAMED = [
    # SD, SDXL: the library's names without a prefix (old `save_attn_procs`, PEFT's own files)
    ("sd1", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
     "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0"),
    ("sd1", "base_model.model.mid_block.attentions.0.proj_in.lora_A.weight",
     "lora_unet_mid_block_attentions_0_proj_in"),
    ("sd1", "unet.base_model.model.mid_block.attentions.0.proj_in.lora_A.cat-1.weight",
     "lora_unet_mid_block_attentions_0_proj_in"),
    ("sd1", "_orig_mod.mid_block.attentions.0.proj_in.lora_A.weight",
     "lora_unet_mid_block_attentions_0_proj_in"),
    ("sd1", "lycoris_mid_block_attentions_0_proj_in.lokr_w1",
     "lora_unet_mid_block_attentions_0_proj_in"),
    ("sd1", "lora_unet_time_embed_2.lora_up.weight", "lora_unet_time_embedding_linear_2"),
    ("sd1", "base_model.model.text_model.encoder.layers.3.mlp.fc1.lora_A.weight",
     "lora_te_text_model_encoder_layers_3_mlp_fc1"),
    ("sd1", "text_encoder.encoder.layers.3.mlp.fc1.lora_A.weight",
     "lora_te_text_model_encoder_layers_3_mlp_fc1"),
    ("sd2", "text_encoders.clip_h.transformer.text_model.encoder.layers.3.mlp.fc1.alpha",
     "lora_te_text_model_encoder_layers_3_mlp_fc1"),
    ("sdxl", "lora_unet_input_blocks_0_0.lora_up.weight", "lora_unet_input_blocks_0_0"),
    ("sdxl", "lora_unet_conv_in.lora_up.weight", "lora_unet_input_blocks_0_0"),
    ("sdxl", "unet.add_embedding.linear_1.lora_A.weight", "lora_unet_label_emb_0_0"),
    ("sdxl", "diffusion_model.output_blocks.2.2.conv.diff", "lora_unet_output_blocks_2_2_conv"),
    ("sdxl", "text_encoders.clip_g.transformer.text_model.encoder.layers.3.mlp.fc1.alpha",
     "lora_te2_text_model_encoder_layers_3_mlp_fc1"),
    # FLUX: OneTrainer, SimpleTuner, PEFT, BFL, XLabs, and LyCORIS, whose second encoder is T5
    ("flux", "lora_transformer_transformer_blocks_0_ff_net_2.lora_up.weight",
     "lora_unet_double_blocks_0_img_mlp_2"),
    ("flux", "lycoris_single_transformer_blocks_1_proj_out.lokr_w1",
     "lora_unet_single_blocks_1_linear2"),
    ("flux", "transformer_blocks.0.ff.net.2.lora_A.weight", "lora_unet_double_blocks_0_img_mlp_2"),
    ("flux", "double_blocks.0.img_attn.qkv.lora_A.weight",
     "lora_unet_double_blocks_0_img_attn_qkv"),
    ("flux", "double_blocks.0.img_attn.qkv.lora_B.bias", "lora_unet_double_blocks_0_img_attn_qkv"),
    ("flux", "base_model.model.double_blocks.0.img_attn.qkv.lora_A.weight",
     "lora_unet_double_blocks_0_img_attn_qkv"),
    ("flux", "double_blocks.3.processor.qkv_lora2.up.weight",
     "lora_unet_double_blocks_3_txt_attn_qkv"),
    ("flux", "diffusion_model.double_blocks.3.processor.proj_lora1.down.weight",
     "lora_unet_double_blocks_3_img_attn_proj"),
    ("flux", "single_blocks.3.processor.proj_lora.up.weight", "lora_unet_single_blocks_3_linear2"),
    ("flux", "single_blocks.3.processor.qkv_lora.up.weight", "lora_unet_single_blocks_3_linear1"),
    ("flux", "transformer.proj_out.lora_A.weight", "lora_unet_final_layer_linear"),
    ("flux", "lora_unet_final_layer_adaLN_modulation_1.alpha",
     "lora_unet_final_layer_adaLN_modulation_1"),
    ("flux", "lora_te2_encoder_block_2_layer_0_SelfAttention_q.alpha",
     "lora_te3_encoder_block_2_layer_0_SelfAttention_q"),
    ("flux", "lora_te1_encoder_block_2_layer_0_SelfAttention_q.alpha",  # of Chroma, T5 alone
     "lora_te3_encoder_block_2_layer_0_SelfAttention_q"),
    ("flux", "text_encoders.t5xxl.transformer.encoder.block.2.layer.0.SelfAttention.q.alpha",
     "lora_te3_encoder_block_2_layer_0_SelfAttention_q"),
    ("flux", "lora_te_text_model_encoder_layers_3_mlp_fc1.alpha",
     "lora_te1_text_model_encoder_layers_3_mlp_fc1"),
    # SD3
    ("sd3", "lora_transformer_transformer_blocks_5_ff_net_2.lora_up.weight",
     "lora_unet_joint_blocks_5_x_block_mlp_fc2"),
    ("sd3", "base_model.model.transformer_blocks.5.ff.net.2.lora_A.weight",
     "lora_unet_joint_blocks_5_x_block_mlp_fc2"),
    ("sd3", "joint_blocks.5.x_block.mlp.fc2.lora_A.weight",
     "lora_unet_joint_blocks_5_x_block_mlp_fc2"),
    ("sd3", "transformer.norm_out.linear.lora_A.weight",
     "lora_unet_final_layer_adaLN_modulation_1"),
    ("sd3", "text_encoders.t5xxl.transformer.encoder.block.2.layer.0.SelfAttention.q.alpha",
     "lora_te3_encoder_block_2_layer_0_SelfAttention_q"),
    # Lumina, HunyuanImage, Anima
    ("lumina2", "lora_te1_layers_3_self_attn_q_proj.alpha", "lora_te_layers_3_self_attn_q_proj"),
    ("lumina2", "text_encoder.layers.3.self_attn.q_proj.lora_A.weight",
     "lora_te_layers_3_self_attn_q_proj"),
    ("lumina2", "text_encoders.gemma2_2b.transformer.model.layers.3.self_attn.q_proj.alpha",
     "lora_te_layers_3_self_attn_q_proj"),
    ("lumina2", "layers.3.attention.qkv.lora_A.weight", "lora_unet_layers_3_attention_qkv"),
    ("hunyuan_image", "diffusion_model.double_blocks.1.img_attn.qkv.alpha",
     "lora_unet_double_blocks_1_img_attn_qkv"),
    ("hunyuan_image", "diffusion_model.double_blocks.1.img_attn_qkv.alpha",
     "lora_unet_double_blocks_1_img_attn_qkv"),
    ("hunyuan_image", "lora_unet_final_layer_linear.lora_up.weight",
     "lora_unet_final_layer_linear"),
    ("anima", "lora_te1_model_layers_3_self_attn_q_proj.alpha",
     "lora_te_layers_3_self_attn_q_proj"),
    ("anima", "text_encoders.qwen3_06b.transformer.model.layers.3.self_attn.q_proj.lora_B.weight",
     "lora_te_layers_3_self_attn_q_proj"),
    ("anima", "diffusion_model.llm_adapter.blocks.2.self_attn.o_proj.lora_B.weight",
     "lora_unet_llm_adapter_blocks_2_self_attn_o_proj"),
    ("anima", "text_conditioner.blocks.2.self_attn.o_proj.lora_B.weight",
     "lora_unet_llm_adapter_blocks_2_self_attn_o_proj"),
    ("anima", "blocks.2.self_attn.q_proj.lora_B.weight", "lora_unet_blocks_2_self_attn_q_proj"),
    ("anima", "transformer.transformer_blocks.2.attn1.to_q.lora_B.weight",
     "lora_unet_blocks_2_self_attn_q_proj"),
]  # fmt: skip
PARTS = [
    ("flux", f"lora_transformer_{ATTENTION.replace('.', '_')}_to_k.alpha",
     "lora_unet_double_blocks_0_img_attn_qkv", 1),
    ("flux", f"lora_unet_{ATTENTION.replace('.', '_')}_add_v_proj.alpha",
     "lora_unet_double_blocks_0_txt_attn_qkv", 2),
    ("flux", "lycoris_single_transformer_blocks_0_proj_mlp.lokr_w1",
     "lora_unet_single_blocks_0_linear1", 3),
    ("flux", f"base_model.model.{ATTENTION}.to_q.lora_A.weight",
     "lora_unet_double_blocks_0_img_attn_qkv", 0),
    ("sd3", "transformer.transformer_blocks.2.attn.add_k_proj.lora_A.weight",
     "lora_unet_joint_blocks_2_context_block_attn_qkv", 1),
    ("lumina2", "transformer.layers.2.attn.to_v.lora_A.weight",
     "lora_unet_layers_2_attention_qkv", 2),
    ("hunyuan_image", "transformer.single_transformer_blocks.2.attn.to_v.lora_A.weight",
     "lora_unet_single_blocks_2_linear1", 2),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "key", "wanted"), NAMED)
def test_a_layer_is_known_by_every_programs_name(architecture: str, key: str, wanted: str) -> None:
    taken = take_apart(key)
    assert taken is not None
    of_name = [
        site.name
        for site in sites_of(architecture)
        if taken.name in (*spellings(site), *head_spellings(site))
        or any(name == taken.name for name, _ in part_spellings(site))
    ]
    assert of_name == [wanted]


@pytest.mark.parametrize(("architecture", "key", "wanted", "part"), PARTS)
def test_a_part_of_a_fused_layer_is_known_too(
    architecture: str, key: str, wanted: str, part: int
) -> None:
    taken = take_apart(key)
    assert taken is not None
    found = [
        (site.name, number)
        for site in sites_of(architecture)
        for name, number in part_spellings(site)
        if name == taken.name
    ]
    assert found == [(wanted, part)]


@pytest.mark.parametrize("architecture", list(RULES))
def test_no_name_means_two_layers(architecture: str) -> None:
    for shape in RULES[architecture].published:
        known: dict[str, str] = {}
        for site in sites_of(architecture, shape):
            for name in (*spellings(site), *head_spellings(site)):
                assert known.setdefault(name, site.name) == site.name
            for name, part in part_spellings(site):
                assert known.setdefault(name, f"{site.name} {part}") in (
                    f"{site.name} {part}", site.name
                )  # fmt: skip


def pair(rows: int, columns: int, rank: int = 2) -> dict[str, Tensor]:
    return {"lora_A.weight": 0.3 * torch.randn(rank, columns),
            "lora_B.weight": 0.3 * torch.randn(rows, rank)}  # fmt: skip


def write(path: Path, layers: Mapping[str, Mapping[str, Tensor]]) -> Path:
    tensors = {
        f"{name}.{e}": t.contiguous() for name, own in layers.items() for e, t in own.items()
    }
    save_file(tensors, path)
    return path


def delta(tensors: Mapping[str, Tensor]) -> Tensor:
    return tensors["lora_B.weight"] @ tensors["lora_A.weight"]


@torch.no_grad()
def check(
    architecture: str, model: nn.Module, path: Path, wanted: Mapping[str, Tensor]
) -> None:  # fmt: skip
    """Hold every module's output against its weight as it should be, then off, then merged."""
    hosts = {name: model.get_submodule(name) for name in wanted}
    xs = {name: torch.randn(3, weight.shape[1]) for name, weight in wanted.items()}
    base = {name: host(xs[name]) for name, host in hosts.items()}
    handle = attach_file(architecture, {"denoiser": model}, path)
    assert handle.unused == ()
    for name, host in hosts.items():
        expected = nn.functional.linear(xs[name], wanted[name], host.get_parameter("bias"))
        assert error([host(xs[name])], [expected]) < 1e-5, name
    handle.detach()
    assert all(torch.equal(host(xs[name]), base[name]) for name, host in hosts.items())
    attach_file(architecture, {"denoiser": model}, path).merge()
    for name, host in hosts.items():
        assert error([host.get_parameter("weight")], [wanted[name]]) < 1e-5, name


@torch.no_grad()
def test_xlabs_processors_act_on_attention_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = flux_modules().transformer
    width, single = 64, "single_transformer_blocks.1"
    qkv, proj = pair(3 * width, width), pair(width, width)
    first, last = pair(3 * width, width), pair(width, 5 * width)
    names = {
        "double_blocks.0.processor.qkv_lora2": qkv,
        "double_blocks.0.processor.proj_lora1": proj,
        "single_blocks.1.processor.qkv_lora": first,
        "single_blocks.1.processor.proj_lora": last,
    }
    tensors = {}
    for name, own in names.items():
        tensors[f"{name}.down.weight"] = own["lora_A.weight"]
        tensors[f"{name}.up.weight"] = own["lora_B.weight"]
    path = tmp_path / "xlabs.safetensors"
    save_file(tensors, path)
    wanted = {f"{ATTENTION}.to_out.0": delta(proj), f"{single}.proj_out": delta(last)}
    for i, part in enumerate("qkv"):
        wanted[f"{ATTENTION}.add_{part}_proj"] = delta(qkv)[i * width : (i + 1) * width]
        wanted[f"{single}.attn.to_{part}"] = delta(first)[i * width : (i + 1) * width]
    wanted[f"{single}.proj_mlp"] = torch.zeros(4 * width, width)
    whole = {n: model.get_submodule(n).get_parameter("weight") + d for n, d in wanted.items()}
    check("flux", model, path, whole)


def decomposed(weight: Tensor, magnitude: Tensor, axis: int) -> Tensor:
    return magnitude * weight / weight.square().sum(axis, keepdim=True).sqrt()


@pytest.mark.parametrize("axis", ["output", "input"])
@torch.no_grad()
def test_parts_with_magnitudes_of_their_own_stay_apart(axis: str, tmp_path: Path) -> None:
    """PEFT's DoRA on q and k alone: v and the MLP of the same original layer stay as they are."""
    torch.manual_seed(1)
    model = flux_modules().transformer
    wanted, layers = {}, {}
    for module in (f"{ATTENTION}.to_q", f"{ATTENTION}.add_k_proj",
                   "single_transformer_blocks.0.attn.to_q", "single_transformer_blocks.0.attn.to_k",
                   "single_transformer_blocks.0.proj_mlp"):  # fmt: skip
        weight = model.get_submodule(module).get_parameter("weight")
        own = pair(*weight.shape)
        shape = (weight.shape[0], 1) if axis == "output" else (1, weight.shape[1])
        magnitude = 1 + torch.rand(shape)
        peft = {"lora_magnitude_vector": magnitude.flatten()}
        layers[f"transformer.{module}"] = own | (
            peft if axis == "output" else {"dora_scale": magnitude}
        )
        wanted[module] = decomposed(weight + delta(own), magnitude, 1 if axis == "output" else 0)
    still = "single_transformer_blocks.0.attn.to_v"
    wanted[still] = model.get_submodule(still).get_parameter("weight").clone()
    check("flux", model, write(tmp_path / "dora.safetensors", layers), wanted)


@torch.no_grad()
def test_magnitudes_by_input_go_over_all_parts_of_a_layer(tmp_path: Path) -> None:
    """LyCORIS without `wd_on_output`: the column norms are those of the whole of linear1."""
    torch.manual_seed(1)
    model = flux_modules().transformer
    parts = [f"single_transformer_blocks.0.{m}" for m in ("attn.to_q", "attn.to_k", "attn.to_v",
                                                          "proj_mlp")]  # fmt: skip
    weights: list[Tensor] = [model.get_submodule(m).get_parameter("weight") for m in parts]
    own, magnitude = pair(7 * 64, 64), 1 + torch.rand(1, 64)
    path = write(
        tmp_path / "whole.safetensors",
        {"lora_unet_single_blocks_0_linear1": own | {"dora_scale": magnitude}},
    )
    whole = torch.cat(weights) + delta(own)
    gain = magnitude / whole.square().sum(0, keepdim=True).sqrt()
    handle = attach_file("flux", {"denoiser": model}, path, 0.5)
    x = torch.randn(3, 64)
    half = (whole * (1 + 0.5 * (gain - 1))).split([w.shape[0] for w in weights])
    for module, weight in zip(parts, half, strict=True):
        host = model.get_submodule(module)
        expected = nn.functional.linear(x, weight, host.get_parameter("bias"))
        assert error([host(x)], [expected]) < 1e-5
    handle.detach()
    wanted = (whole * gain).split([w.shape[0] for w in weights])
    check("flux", model, path, dict(zip(parts, wanted, strict=True)))


@pytest.mark.parametrize("spelled", ["original", "library"])
@torch.no_grad()
def test_swapped_layers_keep_their_magnitudes_apart(spelled: str, tmp_path: Path) -> None:
    """SD3's last context block and the final layer have their halves swapped in the original."""
    torch.manual_seed(1)
    model = tiny_sd3("medium").transformer
    blocks = model.config["num_layers"]
    places = {
        f"joint_blocks.{blocks - 1}.context_block.adaLN_modulation.1":
            f"transformer_blocks.{blocks - 1}.norm1_context.linear",
        "final_layer.adaLN_modulation.1": "norm_out.linear",
    }  # fmt: skip
    wanted, layers = {}, {}
    for original, module in places.items():
        weight = model.get_submodule(module).get_parameter("weight")
        own, magnitude = pair(*weight.shape), 1 + torch.rand(weight.shape[0], 1)
        if spelled == "original":
            layers[f"lora_unet_{original.replace('.', '_')}"] = own | {"dora_scale": magnitude}
            half = weight.shape[0] // 2
            own = own | {"lora_B.weight": own["lora_B.weight"].roll(half, 0)}
            magnitude = magnitude.roll(half, 0)
        else:
            layers[f"transformer.{module}"] = own | {"dora_scale": magnitude}
        wanted[module] = decomposed(weight + delta(own), magnitude, 1)
    check("sd3", model, write(tmp_path / "swapped.safetensors", layers), wanted)


@torch.no_grad()
def test_biases_find_the_rows_of_fused_and_swapped_layers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = tiny_sd3("medium").transformer
    width = model.inner_dim
    qkv, final, part = torch.randn(3 * width), torch.randn(2 * width), torch.randn(width)
    layers = {
        "lora_unet_joint_blocks_0_x_block_attn_qkv": {"diff_b": qkv},
        "final_layer.adaLN_modulation.1": {"diff_b": final},
        "transformer.transformer_blocks.0.attn.add_k_proj": {"diff_b": part},
    }
    added = {f"{ATTENTION}.to_{p}": qkv[i * width : (i + 1) * width] for i, p in enumerate("qkv")}
    added |= {"norm_out.linear": final.roll(width), f"{ATTENTION}.add_k_proj": part}
    path = write(tmp_path / "biases.safetensors", layers)
    handle = attach_file("sd3", {"denoiser": model}, path, 0.5)
    x = torch.randn(2, width)
    for module, bias in added.items():
        host = model.get_submodule(module)
        own = nn.functional.linear(x, host.get_parameter("weight"), host.get_parameter("bias"))
        assert error([host(x)], [own + 0.5 * bias]) < 1e-6, module
    handle.detach()
    layers["lora_unet_joint_blocks_0_x_block_attn_qkv"] = {"diff_b": qkv[:5]}
    with pytest.raises(AdapterProblem, match="bias of 5 numbers"):
        attach_file("sd3", {"denoiser": model}, write(path, layers))


@torch.no_grad()
def test_a_layer_is_not_taken_twice(tmp_path: Path) -> None:
    """Once whole and once in parts: the whole one counts, the other is reported."""
    torch.manual_seed(1)
    model = flux_modules().transformer
    whole, part = pair(192, 64), pair(64, 64)
    path = write(
        tmp_path / "twice.safetensors",
        {"lora_unet_double_blocks_0_img_attn_qkv": whole, f"transformer.{ATTENTION}.to_q": part},
    )
    handle = attach_file("flux", {"denoiser": model}, path)
    assert [unused.name for unused in handle.unused] == [f"transformer.{ATTENTION}.to_q"]
    assert "twice" in handle.unused[0].reason


@pytest.mark.parametrize("rs", [False, True])
def test_pefts_own_folder_keeps_its_alphas_beside_the_weights(rs: bool, tmp_path: Path) -> None:
    """`save_pretrained` of PEFT itself: `adapter_config.json` has alpha and its exceptions."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = flux_modules().transformer
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules=["to_q", "ff.net.2", "proj_out"], use_rslora=rs,
        alpha_pattern={"ff.net.2": 3}, rank_pattern={r"single.*\.proj_out": 2}, use_dora=True,
        init_lora_weights=False,
    )  # fmt: skip
    before = {n: p.clone() for n, p in model.named_parameters()}
    wrapped = get_peft_model(model, config)  # pyright: ignore[reportArgumentType]
    wrapped.save_pretrained(str(tmp_path))
    merged = wrapped.merge_and_unload()  # pyright: ignore[reportCallIssue]
    wanted = {n: p.detach() for n, p in merged.named_parameters()}
    fresh = flux_modules().transformer
    fresh.load_state_dict(before)
    path = tmp_path / "adapter_model.safetensors"
    assert json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))["lora_alpha"] == 6
    assert read(path).without_alpha == ()
    handle = attach_file("flux", {"denoiser": fresh}, path)
    assert handle.unused == ()
    handle.merge()
    for name, parameter in fresh.named_parameters():
        assert error([parameter], [wanted[name]]) < 1e-5, name
        if name.endswith(("to_q.weight", "ff.net.2.weight")):
            assert error([parameter], [before[name]]) > 1e-3, name


def test_every_fused_part_is_one_run_of_rows() -> None:
    """What `part_site` takes for granted."""
    for architecture, rules in RULES.items():
        for shape in rules.published:
            for site in sites_of(architecture, shape):
                hosts = host_segments(site)
                assert len(hosts) == 1 or all(len(own) == 1 for own in hosts)
