"""The tiny Anima: the real block structure at toy width, in every layout people have."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage
from diffusers.models.condition_embedders.condition_embedder_anima import AnimaTextConditioner
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model

from tests.tiny_hunyuan_image import write_byte_tokenizer
from tests.tiny_sd3 import write_small_t5_tokenizer

Layout = Literal["diffusers", "single_file", "components"]
HEADS, HEAD, TEXT_WIDTH = 2, 24, 16
VOCABULARIES = {"shipped": (151_936, 32_128), "small": (300, 100)}
"""Tokens of Qwen3 and of T5."""

_OUTSIDE = (
    ("time_embed.t_embedder.", "t_embedder.1."),
    ("time_embed.norm.", "t_embedding_norm."),
    ("patch_embed.proj.", "x_embedder.proj.1."),
    ("proj_out.", "final_layer.linear."),
    ("norm_out.linear_", "final_layer.adaln_modulation."),
)
_INSIDE = (
    ("transformer_blocks.", "blocks."),
    (".norm1.linear_", ".adaln_modulation_self_attn."),
    (".norm2.linear_", ".adaln_modulation_cross_attn."),
    (".norm3.linear_", ".adaln_modulation_mlp."),
    (".attn1.", ".self_attn."),
    (".attn2.", ".cross_attn."),
    (".to_out.0.", ".output_proj."),
    (".to_q.", ".q_proj."),
    (".to_k.", ".k_proj."),
    (".to_v.", ".v_proj."),
    (".norm_q.", ".q_norm."),
    (".norm_k.", ".k_norm."),
    (".ff.net.0.proj.", ".mlp.layer1."),
    (".ff.net.2.", ".mlp.layer2."),
)
_VAE_SIDES = {
    "conv_in": "conv1", "norm_out": "head.0", "conv_out": "head.2",
    "mid_block.resnets.0": "middle.0", "mid_block.attentions.0": "middle.1",
    "mid_block.resnets.1": "middle.2",
}  # fmt: skip
_VAE_RESNET = {"norm1": "0", "conv1": "2", "norm2": "3", "conv2": "6"}


@dataclass(frozen=True)
class TinyAnima:
    """The four modules, float32, in eval mode."""

    denoiser: CosmosTransformer3DModel
    conditioner: AnimaTextConditioner
    vae: AutoencoderKLQwenImage
    text_encoder: Qwen3Model


def tiny_anima(seed: int = 0, vocabulary: Literal["shipped", "small"] = "small") -> TinyAnima:
    """Build the modules with random weights; the same seed gives the same weights."""
    tokens, t5_tokens = VOCABULARIES[vocabulary]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = CosmosTransformer3DModel(
            in_channels=16, out_channels=16, num_attention_heads=HEADS, attention_head_dim=HEAD,
            num_layers=2, mlp_ratio=4.0, text_embed_dim=TEXT_WIDTH, adaln_lora_dim=8,
            max_size=(128, 512, 512), patch_size=(1, 2, 2), rope_scale=(1.0, 4.0, 4.0),
            concat_padding_mask=True, extra_pos_embed_type=None,
        )  # fmt: skip
        conditioner = AnimaTextConditioner(
            source_dim=TEXT_WIDTH, target_dim=TEXT_WIDTH, model_dim=TEXT_WIDTH, num_layers=2,
            num_attention_heads=2, target_vocab_size=t5_tokens,
        )  # fmt: skip
        config = Qwen3Config(
            vocab_size=tokens, hidden_size=TEXT_WIDTH, intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        )  # fmt: skip
        text_encoder = Qwen3Model(config)
        vae = tiny_qwen_vae()
    return TinyAnima(denoiser.eval(), conditioner.eval(), vae, text_encoder.eval())


def tiny_qwen_vae() -> AutoencoderKLQwenImage:
    """Qwen-Image's VAE, narrow."""
    return AutoencoderKLQwenImage(base_dim=8).eval()


def make_anima(folder: Path, layout: Layout = "diffusers", *, seed: int = 0) -> Path:
    """Write a tiny model and return its path: the folder, or the denoiser's file in it.

    `components` are anima.safetensors (with the LLM adapter inside), qwen.safetensors and
    vae.safetensors side by side; `single_file` holds all of them. The folder has tokenizers of its
    own, of single letters; the files need the shipped ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = tiny_anima(seed, "small" if layout == "diffusers" else "shipped")
    if layout == "diffusers":
        _write_folder(folder, model)
        return folder
    picture = original_denoiser(model)
    text = {f"model.{n}": t.contiguous() for n, t in model.text_encoder.state_dict().items()}
    vae = original_vae(model.vae)
    if layout == "components":
        save_file({f"net.{n}": t for n, t in picture.items()}, folder / "anima.safetensors")
        save_file(text, folder / "qwen.safetensors")
        save_file(vae, folder / "vae.safetensors")
        return folder / "anima.safetensors"
    whole = {f"model.diffusion_model.{name}": tensor for name, tensor in picture.items()}
    whole |= {f"text_encoders.qwen3_06b.transformer.{n}": t for n, t in text.items()}
    whole |= {f"vae.{name}": tensor for name, tensor in vae.items()}
    save_file(whole, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


def _write_folder(folder: Path, model: TinyAnima) -> None:
    model.denoiser.save_pretrained(folder / "transformer")
    model.conditioner.save_pretrained(folder / "text_conditioner")
    model.vae.save_pretrained(folder / "vae")
    model.text_encoder.save_pretrained(folder / "text_encoder")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    write_byte_tokenizer(folder / "tokenizer")
    write_small_t5_tokenizer(folder / "t5_tokenizer")
    index = {"_class_name": "AnimaModularPipeline"}
    (folder / "modular_model_index.json").write_text(json.dumps(index))


def original_denoiser(model: TinyAnima) -> dict[str, Tensor]:
    """Denoiser and LLM adapter in the original layout, with the tables that nothing reads."""
    tensors = {
        "pos_embedder.seq": torch.arange(8.0),
        "pos_embedder.dim_spatial_range": torch.ones(4),
    }
    for name, tensor in model.denoiser.state_dict().items():
        tensors[_original(name)] = tensor.contiguous()
    for name, tensor in model.conditioner.state_dict().items():
        tensors[f"llm_adapter.{name}"] = tensor.contiguous()
    return tensors


def _original(name: str) -> str:
    for ours, theirs in _INSIDE if name.startswith("transformer_blocks.") else _OUTSIDE:
        name = name.replace(ours, theirs)
    return name


def original_vae(vae: AutoencoderKLQwenImage) -> dict[str, Tensor]:
    """The VAE's tensors in the original layout."""
    tensors = {}
    for name, tensor in vae.state_dict().items():
        stem, _, leaf = name.rpartition(".")
        tensors[f"{_vae_stem(stem)}.{leaf}"] = tensor.contiguous()
    return tensors


def _vae_stem(stem: str) -> str:
    if stem in ("quant_conv", "post_quant_conv"):
        return "conv1" if stem == "quant_conv" else "conv2"
    side, _, rest = stem.partition(".")
    for ours, theirs in _VAE_SIDES.items():
        if rest == ours or rest.startswith(f"{ours}."):
            rest = theirs + rest.removeprefix(ours)
            break
    up = re.match(r"up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)", rest)
    if up:
        place = int(up[3]) if up[2] == "resnets" else 3
        rest = f"upsamples.{4 * int(up[1]) + place}{rest[up.end() :]}"
    rest = rest.replace("down_blocks.", "downsamples.").replace("conv_shortcut", "shortcut")
    head, _, last = rest.rpartition(".")
    if head and last in _VAE_RESNET:
        rest = f"{head}.residual.{_VAE_RESNET[last]}"
    return f"{side}.{rest}"
