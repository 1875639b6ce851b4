"""The tiny Lumina-Image 2: the real block structure at toy width, in every layout people have."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import Gemma2Config, Gemma2Model

from tests.tiny_ldm import vae_name

Layout = Literal["diffusers", "single_file", "components"]
WIDTH, TEXT_WIDTH, VOCABULARY = 192, 32, 300
BLOCKS = re.compile(r"^(layers|noise_refiner|context_refiner)\.")
_STEMS = (
    ("time_caption_embed.caption_embedder.", "cap_embedder."),
    ("time_caption_embed.timestep_embedder.linear_1.", "t_embedder.mlp.0."),
    ("time_caption_embed.timestep_embedder.linear_2.", "t_embedder.mlp.2."),
    ("norm_out.linear_1.", "final_layer.adaLN_modulation.1."),
    ("norm_out.linear_2.", "final_layer.linear."),
)
_IN_BLOCKS = (
    (".attn.to_out.0.", ".attention.out."),
    (".attn.norm_q.", ".attention.q_norm."),
    (".attn.norm_k.", ".attention.k_norm."),
    (".feed_forward.linear_", ".feed_forward.w"),
    (".norm1.norm.", ".attention_norm1."),
    (".norm1.linear.", ".adaLN_modulation.1."),
    (".norm1.", ".attention_norm1."),
    (".norm2.", ".attention_norm2."),
)


@dataclass(frozen=True)
class TinyLumina2:
    """The three modules, float32, in eval mode."""

    denoiser: Lumina2Transformer2DModel
    vae: AutoencoderKL
    text_encoder: Gemma2Model


def tiny_lumina2(seed: int = 0) -> TinyLumina2:
    """Build the modules with random weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Lumina2Transformer2DModel(
            hidden_size=WIDTH, num_layers=2, num_refiner_layers=2, num_attention_heads=2,
            num_kv_heads=1, cap_feat_dim=TEXT_WIDTH,
        )  # fmt: skip
        config = Gemma2Config(
            vocab_size=VOCABULARY, hidden_size=TEXT_WIDTH, intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, head_dim=256,
        )  # fmt: skip
        text_encoder = Gemma2Model(config)
        vae = tiny_flux_vae()
    return TinyLumina2(denoiser.eval(), vae, text_encoder.eval())


def tiny_flux_vae() -> AutoencoderKL:
    """A VAE of 16 channels as FLUX.1 has it, narrow."""
    config: dict[str, Any] = {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "latent_channels": 16,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    return AutoencoderKL(**config).eval()


def make_lumina2(folder: Path, layout: Layout = "diffusers", *, seed: int = 0) -> Path:
    """Write a tiny model and return its path: the folder, or the denoiser's file in it.

    `single_file` is a file with everything inside; `components` are lumina.safetensors,
    gemma.safetensors (with its tokenizer inside) and ae.safetensors side by side.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = tiny_lumina2(seed)
    if layout == "diffusers":
        _write_folder(folder, model)
        return folder
    picture, text, vae = original_denoiser(model.denoiser), _text(model), original_vae(model.vae)
    if layout == "components":
        save_file(text, folder / "gemma.safetensors")
        save_file(vae, folder / "ae.safetensors")
        save_file(picture, folder / "lumina.safetensors")
        return folder / "lumina.safetensors"
    inside = "text_encoders.gemma2_2b."
    spiece = text.pop("spiece_model")
    whole = {f"model.diffusion_model.{name}": tensor for name, tensor in picture.items()}
    whole |= {f"{inside}transformer.{name}": tensor for name, tensor in text.items()}
    whole |= {f"{inside}spiece_model": spiece, f"{inside}logit_scale": torch.tensor(1.0)}
    whole |= {f"vae.{name}": tensor for name, tensor in vae.items()}
    save_file(whole, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


def _write_folder(folder: Path, model: TinyLumina2) -> None:
    model.denoiser.save_pretrained(folder / "transformer")
    model.vae.save_pretrained(folder / "vae")
    model.text_encoder.save_pretrained(folder / "text_encoder")
    FlowMatchEulerDiscreteScheduler(shift=6.0).save_pretrained(folder / "scheduler")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.model").write_bytes(sentence_piece())
    index = {"_class_name": "Lumina2Pipeline"}
    (folder / "model_index.json").write_text(json.dumps(index))


def original_denoiser(denoiser: Lumina2Transformer2DModel) -> dict[str, Tensor]:
    """The denoiser's tensors in the original layout, with the one that nothing reads."""
    tensors: dict[str, Tensor] = {"norm_final.weight": torch.ones(WIDTH)}
    state = denoiser.state_dict()
    for name, tensor in state.items():
        if name.endswith(".attn.to_q.weight"):
            here = name.removesuffix(".attn.to_q.weight")
            qkv = torch.cat([state[f"{here}.attn.to_{part}.weight"] for part in "qkv"])
            tensors[f"{here}.attention.qkv.weight"] = qkv
        elif not name.endswith((".attn.to_k.weight", ".attn.to_v.weight")):
            tensors[_original(name)] = tensor.contiguous()
    return tensors


def _original(name: str) -> str:
    for theirs, ours in _IN_BLOCKS if BLOCKS.match(name) else _STEMS:
        if theirs in name:
            return name.replace(theirs, ours)
    return name


def original_vae(vae: AutoencoderKL) -> dict[str, Tensor]:
    """The VAE's tensors in the original layout."""
    tensors = {}
    for name, tensor in vae.state_dict().items():
        attention = "attentions" in name and name.endswith("weight") and tensor.ndim == 2
        stored = tensor[:, :, None, None] if attention else tensor
        tensors[vae_name(name)] = stored.contiguous()
    return tensors


def _text(model: TinyLumina2) -> dict[str, Tensor]:
    """Gemma's tensors as in ComfyUI's file: with `model.` in front, and its tokenizer as bytes."""
    tensors = {f"model.{n}": t.contiguous() for n, t in model.text_encoder.state_dict().items()}
    piece = torch.frombuffer(bytearray(sentence_piece()), dtype=torch.uint8).clone()
    return tensors | {"spiece_model": piece}


@lru_cache(maxsize=1)
def sentence_piece() -> bytes:
    """A SentencePiece model with Gemma's special tokens, learned from two sentences."""
    import sentencepiece

    written = io.BytesIO()
    words = ("a cat on a mat, disc and plain", "the dog is round and flat")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 20),
        model_writer=written, vocab_size=VOCABULARY - 4, model_type="bpe", byte_fallback=True,
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>",
        bos_piece="<bos>", user_defined_symbols=["<mask>"], add_dummy_prefix=False,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return written.getvalue()
