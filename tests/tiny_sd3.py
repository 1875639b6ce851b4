"""The tiny set of SD3 and SD3.5: real joint blocks, three text encoders, toy widths.

Made in under a second in the layouts people have: a diffusers folder; one file in the original
layout with or without its text encoders inside; the transformer's file beside those of its encoders
and its VAE.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from tests.tiny import SHIPPED_VOCABULARY, SMALL_VOCABULARY, write_small_tokenizer
from tests.tiny_ldm import vae_name

Layout = Literal["diffusers", "single_file", "bare_file", "components"]
Variant = Literal["medium", "3.5-medium", "3.5-large"]
WIDTH = 128
CLIP_L_WIDTH, CLIP_G_WIDTH, CONTEXT_WIDTH = 32, 48, 96
SHIPPED_T5_VOCABULARY = 32128
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!()-"


@dataclass(frozen=True)
class TinySd3:
    """The modules of a tiny model, float32, in eval mode."""

    transformer: SD3Transformer2DModel
    vae: AutoencoderKL
    clip_l: CLIPTextModelWithProjection
    clip_g: CLIPTextModelWithProjection
    t5: T5EncoderModel


def tiny_sd3(
    variant: Variant = "medium",
    *,
    clip_vocabulary: int = SMALL_VOCABULARY,
    t5_vocabulary: int = 64,
    seed: int = 0,
) -> TinySd3:
    """Build the modules with random weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = TinySd3(
            _transformer(variant),
            _vae(),
            _clip(CLIP_L_WIDTH, clip_vocabulary, "quick_gelu"),
            _clip(CLIP_G_WIDTH, clip_vocabulary, "gelu"),
            _t5(t5_vocabulary),
        )
        with torch.no_grad():
            modules.clip_l.text_projection.weight.copy_(torch.eye(CLIP_L_WIDTH))
            for parameter in modules.transformer.parameters():
                if parameter.ndim == 1:  # biases and norms start as zeros and ones
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return modules


def _transformer(variant: Variant) -> SD3Transformer2DModel:
    medium = variant == "3.5-medium"
    options: dict[str, Any] = {
        "qk_norm": None if variant == "medium" else "rms_norm",
        "dual_attention_layers": (0, 1) if medium else (),
    }
    return SD3Transformer2DModel(
        sample_size=16,
        num_layers=3 if medium else 2,
        attention_head_dim=64,
        num_attention_heads=WIDTH // 64,
        joint_attention_dim=CONTEXT_WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=CLIP_L_WIDTH + CLIP_G_WIDTH,
        pos_embed_max_size=12,
        **options,
    ).eval()


def _vae() -> AutoencoderKL:
    config: dict[str, Any] = {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "latent_channels": 16,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    return AutoencoderKL(**config).eval()


def _clip(width: int, vocabulary: int, activation: str) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=1,
        max_position_embeddings=77,
        hidden_act=activation,
        projection_dim=width,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return CLIPTextModelWithProjection(config).eval()


def _t5(vocabulary: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=vocabulary,
        d_model=CONTEXT_WIDTH,
        d_kv=16,
        num_heads=2,
        d_ff=64,
        num_layers=2,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        tie_word_embeddings=False,  # pyright: ignore[reportCallIssue]
    )
    return T5EncoderModel(config).eval()


def make_sd3(
    folder: Path,
    layout: Layout = "diffusers",
    *,
    variant: Variant = "medium",
    t5: bool = True,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Path:
    """Write a tiny model into `folder` and return its path: the folder, or the main file in it.

    `single_file` has everything inside, `bare_file` only transformer and VAE. `components` writes
    the transformer's file alone, beside clip_l, clip_g, t5xxl and vae `.safetensors`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    small = layout == "diffusers"
    model = tiny_sd3(
        variant,
        clip_vocabulary=SMALL_VOCABULARY if small else SHIPPED_VOCABULARY,
        t5_vocabulary=64 if small else SHIPPED_T5_VOCABULARY,
        seed=seed,
    )
    modules: list[torch.nn.Module] = [*vars(model).values()]
    for module in modules:
        module.to(dtype)
    if small:
        _write_folder(folder, model, t5)
        return folder
    return _write_files(folder, model, layout, t5)


# The original layout


def _write_files(folder: Path, model: TinySd3, layout: Layout, t5: bool) -> Path:
    denoiser = original_names(model.transformer.state_dict())
    vae = {vae_name(n): _as_stored(n, t) for n, t in model.vae.state_dict().items()}
    encoders = {"clip_l": model.clip_l, "clip_g": model.clip_g} | (
        {"t5xxl": model.t5} if t5 else {}
    )
    states = {name: _named(encoder.state_dict()) for name, encoder in encoders.items()}
    path = folder / "tiny.safetensors"
    if layout == "components":
        for name, state in (states | {"vae": vae}).items():
            save_file(state, folder / f"{name}.safetensors")
        save_file(denoiser, path)
        return path
    whole = {f"model.diffusion_model.{name}": tensor for name, tensor in denoiser.items()}
    whole |= {f"first_stage_model.{name}": tensor for name, tensor in vae.items()}
    if layout == "single_file":
        for encoder, state in states.items():
            prefix = f"text_encoders.{encoder}.transformer."
            whole |= {f"{prefix}{name}": tensor for name, tensor in state.items()}
    save_file(whole, path)
    return path


def _named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An encoder's tensors as published: each once, T5's table as `shared.weight`."""
    return {n: t.clone() for n, t in state.items() if n != "encoder.embed_tokens.weight"}


def _as_stored(name: str, tensor: Tensor) -> Tensor:
    attention = "attentions" in name and name.endswith("weight") and tensor.ndim == 2
    return (tensor[:, :, None, None] if attention else tensor).contiguous()


_OUTSIDE = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
_INSIDE = {
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
_FUSED = {
    "attn.to_q": ("x_block.attn.qkv", ("attn.to_q", "attn.to_k", "attn.to_v")),
    "attn.add_q_proj": (
        "context_block.attn.qkv", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    ),
    "attn2.to_q": ("x_block.attn2.qkv", ("attn2.to_q", "attn2.to_k", "attn2.to_v")),
}  # fmt: skip
_TAKEN_ALONG = {part for _, parts in _FUSED.values() for part in parts} - set(_FUSED)


def original_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The transformer's tensors as the original checkpoints hold them."""
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("transformer_b"))
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)\.(weight|bias)", name)
        if match is None:
            stem, _, leaf = name.rpartition(".")
            if name in _OUTSIDE:
                tensors[_OUTSIDE[name]] = tensor.contiguous()
            else:
                swapped = stem == "norm_out.linear"
                tensors[f"{_OUTSIDE[stem]}.{leaf}"] = _swap(tensor) if swapped else tensor
            continue
        block, part, leaf = match.groups()
        here = f"joint_blocks.{block}"
        if part in _FUSED:
            whole, parts = _FUSED[part]
            rows = [state[f"transformer_blocks.{block}.{p}.{leaf}"] for p in parts]
            tensors[f"{here}.{whole}.{leaf}"] = torch.cat(rows)
        elif part not in _TAKEN_ALONG:
            swapped = part == "norm1_context.linear" and int(block) == depth - 1
            tensors[f"{here}.{_INSIDE[part]}.{leaf}"] = _swap(tensor) if swapped else tensor
    return tensors


def _swap(tensor: Tensor) -> Tensor:
    scale, shift = tensor.chunk(2)
    return torch.cat([shift, scale])


# diffusers' layout


def _write_folder(folder: Path, model: TinySd3, t5: bool) -> None:
    model.transformer.save_pretrained(folder / "transformer")
    model.vae.save_pretrained(folder / "vae")
    model.clip_l.save_pretrained(folder / "text_encoder")
    model.clip_g.save_pretrained(folder / "text_encoder_2")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    write_small_tokenizer(folder / "tokenizer", pad="<|endoftext|>")
    write_small_tokenizer(folder / "tokenizer_2", pad="!")
    if t5:
        model.t5.save_pretrained(folder / "text_encoder_3")
        write_small_t5_tokenizer(folder / "tokenizer_3")
    third = {"text_encoder_3": "T5EncoderModel", "tokenizer_3": "T5TokenizerFast"}
    index = {
        "_class_name": "StableDiffusion3Pipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "transformer": ["diffusers", "SD3Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        **{part: ["transformers", name] if t5 else [None, None] for part, name in third.items()},
    }
    (folder / "model_index.json").write_text(json.dumps(index))


def write_small_t5_tokenizer(folder: Path) -> None:
    """Write a tokenizer of T5's kind whose pieces are single letters; pads with 0, ends with 1."""
    folder.mkdir(parents=True, exist_ok=True)
    special = ["<pad>", "</s>", "<unk>"]
    pieces = [(token, 0.0) for token in special] + [("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 512,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
