"""The tiny SDXL: the real 23 blocks with their 70 transformer blocks at toy width, random weights.

The pooled vector keeps its real width of 1280, by which files of SDXL are told from their kin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.tiny import (
    SHIPPED_VOCABULARY,
    SMALL_VOCABULARY,
    Layout,
    tiny_vae,
    write_scheduler,
    write_small_tokenizer,
)
from tests.tiny_ldm import open_clip_state_dict, unet_and_vae

WIDTHS = (32, 32, 64)
CLIP_L_WIDTH, CLIP_G_WIDTH, POOLED_WIDTH = 32, 64, 1280
DOWN_BLOCKS = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
UP_BLOCKS = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")


@dataclass(frozen=True)
class TinySdxl:
    """The four modules of a tiny model, float32, in eval mode."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    clip_l: CLIPTextModel
    clip_g: CLIPTextModelWithProjection


def tiny_sdxl(
    *,
    vocabulary: int = SMALL_VOCABULARY,
    seed: int = 0,
    depths: tuple[int, int, int] = (1, 2, 10),
) -> TinySdxl:
    """Build the modules with random weights; the same seed gives the same weights.

    `depths` are the transformer blocks of an attention at each level; fewer are for tests that
    need the names and not the number.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config: dict[str, Any] = {
            "sample_size": 8,
            "block_out_channels": WIDTHS,
            "down_block_types": DOWN_BLOCKS,
            "up_block_types": UP_BLOCKS,
            "transformer_layers_per_block": list(depths),
            "cross_attention_dim": CLIP_L_WIDTH + CLIP_G_WIDTH,
            "attention_head_dim": [1, 1, 1],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": POOLED_WIDTH + 6 * 256,
        }
        unet = UNet2DConditionModel(**config)
        vae = tiny_vae(scaling_factor=0.13025)
        clip_l = CLIPTextModel(_text_config(vocabulary, CLIP_L_WIDTH, "quick_gelu"))
        clip_g = CLIPTextModelWithProjection(_text_config(vocabulary, CLIP_G_WIDTH, "gelu"))
    return TinySdxl(unet.eval(), vae.eval(), clip_l.eval(), clip_g.eval())


def _text_config(vocabulary: int, width: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=1,
        max_position_embeddings=77,
        hidden_act=activation,
        projection_dim=POOLED_WIDTH,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1 if activation == "quick_gelu" else 0,
    )


def make_sdxl(
    folder: Path,
    layout: Layout = "diffusers",
    prediction: Literal["epsilon", "v"] = "epsilon",
    *,
    zero_terminal_snr: bool = False,
    seed: int = 0,
) -> Path:
    """Write a tiny model into `folder` and return its path: the folder, or the file in it.

    A single file tells v-prediction and zero terminal SNR as those of the community do: by keys.
    """
    folder.mkdir(parents=True, exist_ok=True)
    small = layout == "diffusers"
    model = tiny_sdxl(vocabulary=SMALL_VOCABULARY if small else SHIPPED_VOCABULARY, seed=seed)
    if small:
        _write_folder(folder, model, prediction, zero_terminal_snr)
        return folder
    tensors = sdxl_state_dict(model)
    tensors |= {"v_pred": torch.zeros(0)} if prediction == "v" else {}
    tensors |= {"ztsnr": torch.zeros(0)} if zero_terminal_snr else {}
    if layout == "ckpt":
        path = folder / "tiny.ckpt"
        torch.save({"state_dict": tensors, "global_step": 1}, path)
        return path
    path = folder / "tiny.safetensors"
    save_file(tensors, path)
    return path


def sdxl_state_dict(model: TinySdxl) -> dict[str, Tensor]:
    """The whole checkpoint in the original layout."""
    tensors = unet_and_vae(model.unet, model.vae)
    prefix = "conditioner.embedders.0.transformer.text_model."
    for name, tensor in model.clip_l.state_dict().items():
        tensors[f"{prefix}{name}"] = tensor.contiguous()
    tensors[f"{prefix}embeddings.position_ids"] = torch.arange(77)[None]
    second = "conditioner.embedders.1.model."
    return tensors | open_clip_state_dict(model.clip_g.state_dict(), second)


def _write_folder(folder: Path, model: TinySdxl, prediction: str, zero_terminal_snr: bool) -> None:
    model.unet.save_pretrained(folder / "unet")
    model.vae.save_pretrained(folder / "vae")
    model.clip_l.save_pretrained(folder / "text_encoder")
    model.clip_g.save_pretrained(folder / "text_encoder_2")
    write_scheduler(folder / "scheduler", prediction, zero_terminal_snr)
    write_small_tokenizer(folder / "tokenizer", pad="<|endoftext|>")
    write_small_tokenizer(folder / "tokenizer_2", pad="!")
    index = {
        "_class_name": "StableDiffusionXLPipeline",
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
