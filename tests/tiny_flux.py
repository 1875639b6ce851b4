"""The tiny set of FLUX.1: both kinds of blocks, CLIP-L, T5 and VAE at toy width, random weights.

In every layout people have: a diffusers folder, the original files apart, one file with all parts
as ComfyUI writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from tests.tiny import SHIPPED_VOCABULARY, SMALL_VOCABULARY, write_small_tokenizer
from tests.tiny_ldm import vae_name

Layout = Literal["diffusers", "components", "single_file"]
WIDTH, TEXT_WIDTH = 64, 32
T5_VOCABULARY = 32128
PREFIXES = {
    "transformer": "model.diffusion_model.",
    "vae": "vae.",
    "clip": "text_encoders.clip_l.transformer.",
    "t5": "text_encoders.t5xxl.transformer.",
}
"""Where a file with all parts keeps each of them."""


@dataclass(frozen=True)
class TinyFlux:
    """The four modules of a tiny model, float32, in eval mode."""

    transformer: FluxTransformer2DModel
    vae: AutoencoderKL
    clip: CLIPTextModel
    t5: T5EncoderModel


def flux_modules(
    variant: str = "dev", *, vocabulary: int = SMALL_VOCABULARY, seed: int = 0
) -> TinyFlux:
    """Build the modules with random weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = FluxTransformer2DModel(
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=32,
            num_attention_heads=WIDTH // 32,
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=TEXT_WIDTH,
            guidance_embeds=variant == "dev",
            axes_dims_rope=(4, 14, 14),
        )
        clip = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=TEXT_WIDTH,
                intermediate_size=2 * TEXT_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=1,
                max_position_embeddings=77,
                hidden_act="quick_gelu",
                bos_token_id=vocabulary - 2,
                eos_token_id=vocabulary - 1,
                pad_token_id=vocabulary - 1,
            )
        )
        vae = tiny_vae()
        t5 = tiny_t5()
    return TinyFlux(transformer.eval(), vae.eval(), clip.eval(), t5.eval())


def tiny_vae(scaling: float = 0.3611, shift: float = 0.1159) -> AutoencoderKL:
    """A VAE with 16 channels, built as FLUX.1's and SD3's are."""
    config: dict[str, Any] = {
        "latent_channels": 16,
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": scaling,
        "shift_factor": shift,
    }
    return AutoencoderKL(**config)


def tiny_t5() -> T5EncoderModel:
    """A T5 1.1 encoder with the real vocabulary."""
    config: dict[str, Any] = {
        "vocab_size": T5_VOCABULARY,
        "d_model": TEXT_WIDTH,
        "d_kv": 16,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "is_encoder_decoder": False,
    }
    return T5EncoderModel(T5Config(**config))


def make_flux(
    folder: Path, layout: Layout = "diffusers", variant: str = "dev", *, seed: int = 0
) -> Path:
    """Write a tiny model into `folder` and return what `model.path` names.

    In "components" that is the transformer's file; clip_l, t5xxl and ae.safetensors lie beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "diffusers":
        _write_folder(folder, flux_modules(variant, seed=seed), variant)
        return folder
    model = flux_modules(variant, vocabulary=SHIPPED_VOCABULARY, seed=seed)
    parts = original_parts(model)
    if layout == "single_file":
        path = folder / "all_in_one.safetensors"
        whole = {PREFIXES[p] + n: t for p, tensors in parts.items() for n, t in tensors.items()}
        save_file(whole, path)
        return path
    names = {"transformer": f"flux1-{variant}", "vae": "ae", "clip": "clip_l", "t5": "t5xxl"}
    for part, tensors in parts.items():
        save_file(tensors, folder / f"{names[part]}.safetensors")
    return folder / f"flux1-{variant}.safetensors"


def files_beside(path: Path) -> dict[str, Any]:
    """The job's fields that name the other components of a transformer's file."""
    names = {"text_encoder": "clip_l", "text_encoder_2": "t5xxl", "vae": "ae"}
    return {field: str(path.with_name(f"{n}.safetensors")) for field, n in names.items()}


def original_parts(model: TinyFlux) -> dict[str, dict[str, Tensor]]:
    """Each part's tensors as the original files name them."""
    t5 = {n: t for n, t in model.t5.state_dict().items() if n != "encoder.embed_tokens.weight"}
    vae = {}
    for name, tensor in model.vae.state_dict().items():
        conv = "attentions" in name and name.endswith("weight") and tensor.ndim == 2
        vae[vae_name(name)] = (tensor[:, :, None, None] if conv else tensor).contiguous()
    return {
        "transformer": original_transformer(model.transformer),
        "vae": vae,
        "clip": {f"text_model.{n}": t for n, t in model.clip.state_dict().items()},
        "t5": t5,
    }


def original_transformer(transformer: FluxTransformer2DModel) -> dict[str, Tensor]:
    """The transformer in the layout it was published in."""
    state = dict(transformer.state_dict())
    original: dict[str, Tensor] = {}

    def move(theirs: str, *ours: str) -> None:
        for leaf in ("weight", "bias"):
            tensors = [state.pop(f"{name}.{leaf}") for name in ours]
            original[f"{theirs}.{leaf}"] = torch.cat(tensors)

    def norm(theirs: str, ours: str) -> None:
        original[f"{theirs}.scale"] = state.pop(f"{ours}.weight")

    embed = "time_text_embed"
    embedders = {"time_in": "timestep", "vector_in": "text", "guidance_in": "guidance"}
    for theirs, ours in embedders.items():
        if f"{embed}.{ours}_embedder.linear_1.weight" in state:
            move(f"{theirs}.in_layer", f"{embed}.{ours}_embedder.linear_1")
            move(f"{theirs}.out_layer", f"{embed}.{ours}_embedder.linear_2")
    move("img_in", "x_embedder")
    move("txt_in", "context_embedder")
    for i in range(len(transformer.transformer_blocks)):
        here, there = f"double_blocks.{i}", f"transformer_blocks.{i}"
        attention = f"{there}.attn"
        for stream, mod, parts, out, ff, kind in (
            ("img", "norm1", ("to_q", "to_k", "to_v"), "to_out.0", "ff", ""),
            ("txt", "norm1_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out",
             "ff_context", "added_"),
        ):  # fmt: skip
            move(f"{here}.{stream}_mod.lin", f"{there}.{mod}.linear")
            move(f"{here}.{stream}_attn.qkv", *(f"{attention}.{part}" for part in parts))
            move(f"{here}.{stream}_attn.proj", f"{attention}.{out}")
            move(f"{here}.{stream}_mlp.0", f"{there}.{ff}.net.0.proj")
            move(f"{here}.{stream}_mlp.2", f"{there}.{ff}.net.2")
            norm(f"{here}.{stream}_attn.norm.query_norm", f"{attention}.norm_{kind}q")
            norm(f"{here}.{stream}_attn.norm.key_norm", f"{attention}.norm_{kind}k")
    for i in range(len(transformer.single_transformer_blocks)):
        here, there = f"single_blocks.{i}", f"single_transformer_blocks.{i}"
        parts = [f"{there}.attn.{part}" for part in ("to_q", "to_k", "to_v")]
        move(f"{here}.modulation.lin", f"{there}.norm.linear")
        move(f"{here}.linear1", *parts, f"{there}.proj_mlp")
        move(f"{here}.linear2", f"{there}.proj_out")
        norm(f"{here}.norm.query_norm", f"{there}.attn.norm_q")
        norm(f"{here}.norm.key_norm", f"{there}.attn.norm_k")
    move("final_layer.linear", "proj_out")
    for leaf in ("weight", "bias"):
        scale, shift = state.pop(f"norm_out.linear.{leaf}").chunk(2)
        original[f"final_layer.adaLN_modulation.1.{leaf}"] = torch.cat([shift, scale])
    assert not state, sorted(state)
    return original


def _write_folder(folder: Path, model: TinyFlux, variant: str) -> None:
    model.transformer.save_pretrained(folder / "transformer")
    model.vae.save_pretrained(folder / "vae")
    model.clip.save_pretrained(folder / "text_encoder")
    model.t5.save_pretrained(folder / "text_encoder_2")
    shifted = {"use_dynamic_shifting": True} if variant == "dev" else {"shift": 1.0}
    FlowMatchEulerDiscreteScheduler(**shifted).save_pretrained(folder / "scheduler")  # pyright: ignore[reportArgumentType]
    write_small_tokenizer(folder / "tokenizer", pad="<|endoftext|>")
    index = {
        "_class_name": "FluxPipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
