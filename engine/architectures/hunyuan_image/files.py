"""HunyuanImage-2.1's denoiser and VAE out of a folder or a file of their own (training-dit 3.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.architectures.architecture import ModelProblem
from engine.architectures.hunyuan_image.keys import convert_denoiser, convert_vae
from engine.architectures.loading.assemble import assemble
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.folder import load_part
from engine.architectures.loading.resources import RESOURCES

CONFIGS = RESOURCES / "models" / "hunyuan_image"
VAE_FILE = "hunyuan_image_2.1_vae_fp16.safetensors"
PREFIXES = ("model.diffusion_model.", "diffusion_model.")


def load_denoiser(path: Path, dtype: torch.dtype, field: str) -> Any:
    """Load diffusers' HunyuanImageTransformer2DModel.

    Args:
        path: its own folder, or a file in any spelling.
        dtype: of its weights.
        field: the job's field that names the path.

    Raises:
        ModelProblem: if it is broken, not whole, or has layers that the architecture has not.
    """
    from diffusers.models.transformers.transformer_hunyuanimage import (
        HunyuanImageTransformer2DModel,
    )

    if path.is_dir():
        return load_part(HunyuanImageTransformer2DModel, path, "", dtype, field)
    checkpoint = open_checkpoint(path, field)
    converted = convert_denoiser(checkpoint.read(_denoiser_names(checkpoint), dtype))
    config = _denoiser_config(converted)
    return assemble(
        HunyuanImageTransformer2DModel, config, converted, converted, checkpoint, "picture model",
        field=field,
    )  # fmt: skip


def _denoiser_names(checkpoint: Checkpoint) -> dict[str, str]:
    """{name in the file: name without the prefix that programs put before it}."""
    prefix = next((p for p in PREFIXES if checkpoint.below(p)), "")
    return checkpoint.below(prefix)


def _denoiser_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Our configuration with the file's own widths and depths, from converted tensors."""
    config = _config("transformer")

    def size(name: str, axis: int = 0) -> int:
        tensor = tensors.get(name)
        return 0 if tensor is None else tensor.shape[axis]

    width = size("x_embedder.proj.weight")
    head = size("transformer_blocks.0.attn.norm_q.weight") or config["attention_head_dim"]
    return config | {
        "in_channels": size("x_embedder.proj.weight", 1),
        "out_channels": size("proj_out.weight"),
        "num_attention_heads": width // head,
        "attention_head_dim": head,
        "num_layers": _depth(tensors, "transformer_blocks."),
        "num_single_layers": _depth(tensors, "single_transformer_blocks."),
        "num_refiner_layers": _depth(tensors, "context_embedder.token_refiner.refiner_blocks."),
        "mlp_ratio": size("transformer_blocks.0.ff.net.0.proj.weight") / max(1, width),
        "text_embed_dim": size("context_embedder.proj_in.weight", 1),
        "text_embed_2_dim": size("context_embedder_2.linear_1.weight", 1),
        "rope_axes_dim": [head // 2, head // 2],
    }


def _depth(tensors: Mapping[str, Tensor], start: str) -> int:
    numbers = (n.removeprefix(start).split(".")[0] for n in tensors if n.startswith(start))
    return max((int(n) + 1 for n in numbers if n.isdigit()), default=0)


def load_vae(path: Path, dtype: torch.dtype, field: str) -> Any:
    """Load diffusers' AutoencoderKLHunyuanImage.

    Args:
        path: its own folder, or a file in ComfyUI's, Tencent's or the library's layout.
        dtype: of its weights.
        field: the job's field that names the path.

    Raises:
        ModelProblem: if it is another VAE, broken or not whole.
    """
    from diffusers.models.autoencoders.autoencoder_kl_hunyuanimage import AutoencoderKLHunyuanImage

    if path.is_dir():
        return load_part(AutoencoderKLHunyuanImage, path, "", dtype, field)
    checkpoint = open_checkpoint(path, field)
    names = checkpoint.below("vae.") or checkpoint.below("")
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    if "decoder.conv_in.conv.weight" in shapes:
        raise ModelProblem(
            f"{path.name} is the VAE of HunyuanImage's refiner.", f"Choose {VAE_FILE}.", field
        )
    if "decoder.conv_in.weight" not in shapes:
        raise ModelProblem(f"{path.name} holds no VAE.", f"Choose {VAE_FILE}.", field)
    converted = convert_vae(checkpoint.read(names, dtype), _config("vae")["layers_per_block"])
    return assemble(
        AutoencoderKLHunyuanImage, _vae_config(shapes), converted, converted, checkpoint, "VAE",
        field=field,
    )  # fmt: skip


def _vae_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Our configuration with the file's own widths."""
    config = _config("vae")
    if "encoder.down_blocks.0.conv1.weight" in shapes:  # already named as the library does
        return config
    widths: list[int] = []
    while (name := f"encoder.down.{len(widths)}.block.0.conv1.weight") in shapes:
        widths.append(shapes[name][0])
    samplers = sum(f"encoder.down.{i}.downsample.conv.weight" in shapes for i in range(len(widths)))
    return config | {
        "block_out_channels": widths,
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "spatial_compression_ratio": 2**samplers,
    }


def _config(part: str) -> dict[str, Any]:
    return json.loads((CONFIGS / part / "config.json").read_text("utf-8"))
