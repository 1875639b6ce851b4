"""The tiny set of HunyuanImage-2.1: its real blocks, VAE and two text encoders at toy width.

Made in about a second in the layouts people have: a diffusers folder, or the denoiser's file in any
of its three spellings with the files of its VAE and encoders beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl_hunyuanimage import AutoencoderKLHunyuanImage
from diffusers.models.transformers.transformer_hunyuanimage import HunyuanImageTransformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

Spelling = Literal["fused", "split", "comfyui"]
Layout = Literal["diffusers", "single_file", "split", "comfyui"]
CHANNELS, TEXT_WIDTH, GLYPH_WIDTH = 4, 128, 24
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 256 + len(SPECIAL)


@dataclass(frozen=True)
class TinyHunyuanImage:
    """The modules of a tiny model, float32, in eval mode; Qwen2.5-VL is whole, with its vision."""

    denoiser: HunyuanImageTransformer2DModel
    vae: AutoencoderKLHunyuanImage
    language: Qwen2_5_VLForConditionalGeneration
    glyphs: T5EncoderModel


def tiny_hunyuan_image(*, vocabulary: int = VOCABULARY, seed: int = 0) -> TinyHunyuanImage:
    """Build the modules with random weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = TinyHunyuanImage(_denoiser(), _vae(), _language(vocabulary), _glyphs())
        with torch.no_grad():
            for parameter in modules.denoiser.parameters():
                if parameter.ndim == 1:  # biases and norms start as zeros and ones
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return modules


def _denoiser() -> HunyuanImageTransformer2DModel:
    return HunyuanImageTransformer2DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=2,
        text_embed_dim=TEXT_WIDTH,
        text_embed_2_dim=GLYPH_WIDTH,
        rope_axes_dim=(8, 8),
    ).eval()


def _vae() -> AutoencoderKLHunyuanImage:
    return AutoencoderKLHunyuanImage(
        in_channels=3,
        out_channels=3,
        latent_channels=CHANNELS,
        block_out_channels=(32,) * 6,
        layers_per_block=2,
        spatial_compression_ratio=32,
        sample_size=64,
        scaling_factor=0.75289,
    ).eval()


def _language(vocabulary: int) -> Qwen2_5_VLForConditionalGeneration:
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 1,
        "out_hidden_size": TEXT_WIDTH, "fullatt_block_indexes": [0],
    }  # fmt: skip
    text = {
        "vocab_size": vocabulary,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 5,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6,
                            "mrope_section": [16, 24, 24]},
        "bos_token_id": 256,
        "eos_token_id": 256,
    }  # fmt: skip
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def _glyphs() -> T5EncoderModel:
    config = T5Config(
        vocab_size=1510,
        d_model=GLYPH_WIDTH,
        d_kv=8,
        num_heads=2,
        d_ff=32,
        num_layers=2,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
    )
    return T5EncoderModel(config).eval()


def make_hunyuan_image(
    folder: Path,
    layout: Layout = "diffusers",
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Path:
    """Write a tiny model into `folder` and return its path: the folder, or the denoiser's file.

    Beside a file lie those of `component_files`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = tiny_hunyuan_image(seed=seed)
    for module in (model.denoiser, model.vae, model.language, model.glyphs):
        nn.Module.to(module, dtype)
    write_byte_tokenizer(folder / "tokenizer")
    if layout == "diffusers":
        _write_folder(folder, model)
        return folder
    _write_components(folder, model)
    spelling: Spelling = "fused" if layout == "single_file" else layout
    path = folder / f"{spelling}.safetensors"
    save_file(original_denoiser(model.denoiser.state_dict(), spelling), path)
    return path


def component_files(file: Path) -> dict[str, Any]:
    """The fields of `[model]` that name what lies beside the denoiser's file."""
    names = {
        "vae": "vae.safetensors", "text_encoder": "qwen.safetensors",
        "text_encoder_2": "byt5.safetensors", "tokenizer": "tokenizer",
    }  # fmt: skip
    return {field: str(file.parent / name) for field, name in names.items()}


def _write_folder(folder: Path, model: TinyHunyuanImage) -> None:
    model.denoiser.save_pretrained(folder / "transformer")
    model.vae.save_pretrained(folder / "vae")
    model.language.save_pretrained(folder / "text_encoder")
    model.glyphs.save_pretrained(folder / "text_encoder_2")
    FlowMatchEulerDiscreteScheduler(shift=5.0).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "HunyuanImagePipeline",
        "transformer": ["diffusers", "HunyuanImageTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLHunyuanImage"],
        "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))


def _write_components(folder: Path, model: TinyHunyuanImage) -> None:
    save_file(original_vae(model.vae.state_dict()), folder / "vae.safetensors")
    renamed = {  # the names of the published weights and of ComfyUI's copy of them
        re.sub(r"^model\.(language_model\.|(?=visual\.))", r"model.", name).replace(
            "model.visual.", "visual."
        ): tensor
        for name, tensor in model.language.state_dict().items()
    }
    save_file(renamed, folder / "qwen.safetensors")
    glyphs = model.glyphs.state_dict()
    glyphs.pop("encoder.embed_tokens.weight", None)
    save_file(glyphs, folder / "byt5.safetensors")


def write_byte_tokenizer(folder: Path) -> None:
    """Write a Qwen tokenizer without merges: each byte is a token."""
    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [256 + i for i in range(256 - len(printable))]
    symbols = [chr(code) for code in (*printable, *others)]
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(symbols)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    added = {
        str(256 + i): {"content": token, "special": True, "normalized": False}
        for i, token in enumerate(SPECIAL)
    }
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "pad_token": SPECIAL[0],
        "eos_token": SPECIAL[0],
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


# From the library's names back to the original ones, written independently of the engine's tables

_STREAMS = {
    "img": ("to_{}", "to_out.0", "norm1", "ff", "norm_{}"),
    "txt": ("add_{}_proj", "to_add_out", "norm1_context", "ff_context", "norm_added_{}"),
}
_EMBEDDERS = {
    "time_in": "time_guidance_embed.timestep_embedder",
    "txt_in.t_embedder": "context_embedder.time_text_embed.timestep_embedder",
    "txt_in.c_embedder": "context_embedder.time_text_embed.text_embedder",
}


def original_denoiser(state: Mapping[str, Tensor], spelling: Spelling) -> dict[str, Tensor]:
    """A denoiser's tensors as a file of this spelling holds them."""
    left = {name: tensor.clone() for name, tensor in state.items()}
    file: dict[str, Tensor] = {}
    comfy = spelling == "comfyui"

    def blocks(start: str) -> range:
        found = (re.match(rf"{start}\.(\d+)\.", name) for name in state)
        return range(1 + max(int(match[1]) for match in found if match))

    def take(ours: str, *theirs: str) -> None:
        """Move one layer, or several one below the other, to the first name or ComfyUI's."""
        for kind in ("weight", "bias"):
            parts = [left.pop(f"{each}.{kind}", None) for each in ours.split()]
            if any(part is not None for part in parts):
                name = theirs[-1] if comfy else theirs[0]
                own = "scale" if name.endswith(("query_norm", "key_norm")) else kind
                file[f"{name}.{own}"] = torch.cat([p for p in parts if p is not None])

    def take_split(ours: str, theirs: str, comfys: str, parts: str = "q k v") -> None:
        if spelling != "split":
            take(ours, theirs, comfys)
            return
        for layer, part in zip(ours.split(), parts.split(), strict=True):
            take(layer, f"{theirs.removesuffix('_qkv')}_{part}")

    for theirs, ours in _EMBEDDERS.items():
        own = ("linear_1", "linear_2") if theirs.endswith("c_embedder") else ("mlp.0", "mlp.2")
        take(f"{ours}.linear_1", f"{theirs}.{own[0]}", f"{theirs}.in_layer")
        take(f"{ours}.linear_2", f"{theirs}.{own[1]}", f"{theirs}.out_layer")
    take("x_embedder.proj", "img_in.proj")
    take("context_embedder.proj_in", "txt_in.input_embedder")
    take("proj_out", "final_layer.linear")
    take("context_embedder_2.norm", "byt5_in.layernorm")
    for i in (1, 2, 3):
        take(f"context_embedder_2.linear_{i}", f"byt5_in.fc{i}")
    for kind in ("weight", "bias"):
        scale, shift = left.pop(f"norm_out.linear.{kind}").chunk(2)
        file[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
    for b in blocks("context_embedder.token_refiner.refiner_blocks"):
        here = f"context_embedder.token_refiner.refiner_blocks.{b}"
        there = f"txt_in.individual_token_refiner.blocks.{b}"
        qkv = " ".join(f"{here}.attn.to_{part}" for part in "qkv")
        take(qkv, f"{there}.self_attn_qkv", f"{there}.self_attn.qkv")
        take(f"{here}.attn.to_out.0", f"{there}.self_attn_proj", f"{there}.self_attn.proj")
        take(f"{here}.ff.net.0.proj", f"{there}.mlp.fc1", f"{there}.mlp.0")
        take(f"{here}.ff.net.2", f"{there}.mlp.fc2", f"{there}.mlp.2")
        take(f"{here}.norm_out.linear", f"{there}.adaLN_modulation.1")
        take(f"{here}.norm1", f"{there}.norm1")
        take(f"{here}.norm2", f"{there}.norm2")
    for b in blocks("transformer_blocks"):
        here, there = f"transformer_blocks.{b}", f"double_blocks.{b}"
        for stream, (part, out, norm, ff, qk_norm) in _STREAMS.items():
            start = f"{there}.{stream}"
            qkv = " ".join(f"{here}.attn.{part.format(each)}" for each in "qkv")
            take_split(qkv, f"{start}_attn_qkv", f"{start}_attn.qkv")
            take(f"{here}.attn.{out}", f"{start}_attn_proj", f"{start}_attn.proj")
            take(f"{here}.{norm}.linear", f"{start}_mod.linear", f"{start}_mod.lin")
            take(f"{here}.{ff}.net.0.proj", f"{start}_mlp.fc1", f"{start}_mlp.0")
            take(f"{here}.{ff}.net.2", f"{start}_mlp.fc2", f"{start}_mlp.2")
            for each, long in (("q", "query"), ("k", "key")):
                take(f"{here}.attn.{qk_norm.format(each)}",
                     f"{start}_attn_{each}_norm", f"{start}_attn.norm.{long}_norm")  # fmt: skip
    for b in blocks("single_transformer_blocks"):
        here, there = f"single_transformer_blocks.{b}", f"single_blocks.{b}"
        inputs = " ".join([*(f"{here}.attn.to_{part}" for part in "qkv"), f"{here}.proj_mlp"])
        take_split(inputs, f"{there}.linear1", f"{there}.linear1", "q k v mlp")
        second = f"{there}.linear2.fc" if spelling == "split" else f"{there}.linear2"
        take(f"{here}.proj_out", second)
        take(f"{here}.norm.linear", f"{there}.modulation.linear", f"{there}.modulation.lin")
        take(f"{here}.attn.norm_q", f"{there}.q_norm", f"{there}.norm.query_norm")
        take(f"{here}.attn.norm_k", f"{there}.k_norm", f"{there}.norm.key_norm")
    assert not left, sorted(left)[:5]
    return file


def original_vae(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's tensors as ComfyUI's file holds them: levels of blocks, and the samplers apart."""
    words = {
        "mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2",
        "mid_block.attentions.0": "mid.attn_1", ".to_q.": ".q.", ".to_k.": ".k.", ".to_v.": ".v.",
        ".conv_shortcut.": ".nin_shortcut.",
    }  # fmt: skip
    file = {}
    for name, tensor in state.items():
        for ours, theirs in words.items():
            name = name.replace(ours, theirs)
        name = re.sub(r"(attn_1)\.proj\.", r"\1.proj_out.", name)
        found = re.match(r"(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.", name)
        if found:
            side, sampler, size = ("down", "downsample", 3) if found[1] == "encoder" else (
                "up", "upsample", 4)  # fmt: skip
            level, place = divmod(int(found[2]), size)
            # The last level has no sampler, so its blocks still count from its own start.
            inner = sampler if ".conv." in name[found.end() - 1 :] else f"block.{place}"
            name = f"{found[1]}.{side}.{level}.{inner}.{name[found.end() :]}"
        file[name] = tensor.clone()
    return file
