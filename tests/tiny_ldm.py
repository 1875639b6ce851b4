"""Modules of the libraries written as an original-layout checkpoint: the loader's maps inverted."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_UNET_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_VAE_ATTENTION = {
    "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
}  # fmt: skip


def ldm_state_dict(
    unet: UNet2DConditionModel, vae: AutoencoderKL, text: CLIPTextModel, architecture: str
) -> dict[str, Tensor]:
    """Return the whole checkpoint, with the extras that real files carry."""
    tensors = unet_and_vae(unet, vae)
    if architecture == "sd1":
        prefix = "cond_stage_model.transformer.text_model."
        for name, tensor in text.state_dict().items():
            tensors[f"{prefix}{name}"] = tensor.contiguous()
        tensors[f"{prefix}embeddings.position_ids"] = torch.arange(77)[None]
    else:
        # with one more resblock than the model uses, as SD 2.x files have it
        tensors |= open_clip_state_dict(text.state_dict(), "cond_stage_model.model.", unused=1)
    return tensors


def unet_and_vae(unet: UNet2DConditionModel, vae: AutoencoderKL) -> dict[str, Tensor]:
    """The part of a checkpoint that SD 1.x, SD 2.x and SDXL have in common."""
    tensors = {"alphas_cumprod": torch.ones(1000)}
    attention_on_top = unet.config["up_block_types"][0] == "CrossAttnUpBlock2D"
    for name, tensor in unet.state_dict().items():
        stored = unet_name(name, attention_on_top=attention_on_top)
        tensors[f"model.diffusion_model.{stored}"] = tensor.contiguous()
    for name, tensor in vae.state_dict().items():
        attention = "attentions" in name and name.endswith("weight") and tensor.ndim == 2
        stored = tensor[:, :, None, None] if attention else tensor
        tensors[f"first_stage_model.{vae_name(name)}"] = stored.contiguous()
    return tensors


def unet_name(name: str, *, attention_on_top: bool = False) -> str:
    """The original name of a UNet parameter; 2 resnets a level.

    An upsampler's place is behind the attention, where its level has one; the lowest level of SD
    1.x and 2.x has none.
    """
    stem, _, leaf = name.rpartition(".")
    if stem in _UNET_OUTSIDE:
        return f"{_UNET_OUTSIDE[stem]}.{leaf}"
    part, *rest = name.split(".")
    if part == "mid_block":
        kind, index, *inner = rest
        place = 1 if kind == "attentions" else 2 * int(index)
        return f"middle_block.{place}.{_inner(kind, inner)}"
    level, kind, index, *inner = rest
    if part == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{3 * int(level) + 3}.0.op.{inner[-1]}"
        block = 3 * int(level) + int(index) + 1
        return f"input_blocks.{block}.{int(kind == 'attentions')}.{_inner(kind, inner)}"
    if kind == "upsamplers":
        place = 1 if level == "0" and not attention_on_top else 2
        return f"output_blocks.{3 * int(level) + 2}.{place}.conv.{inner[-1]}"
    block = 3 * int(level) + int(index)
    return f"output_blocks.{block}.{int(kind == 'attentions')}.{_inner(kind, inner)}"


def _inner(kind: str, inner: list[str]) -> str:
    if kind == "resnets":
        return f"{_RESNET[inner[0]]}.{inner[1]}"
    return ".".join(inner)


def vae_name(name: str) -> str:
    """The original name of a VAE parameter; 4 levels."""
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)", lambda m: f"up_blocks.{3 - int(m[1])}", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", r"up.\1.block", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", r"up.\1.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        head, _, tail = name.partition("mid_block.attentions.0.")
        stem, _, leaf = tail.rpartition(".")
        return f"{head}mid.attn_1.{_VAE_ATTENTION[stem]}.{leaf}"
    return name


def open_clip_state_dict(
    state: Mapping[str, Tensor], prefix: str, *, unused: int = 0
) -> dict[str, Tensor]:
    """A CLIP's state in OpenCLIP's layout, with `unused` copies of its last layer behind it.

    Without a projection of its own it gets one, as the files have it in any case.
    """
    flat = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    width = flat["final_layer_norm.weight"].shape[0]
    projection = flat.get("text_projection.weight", torch.eye(width))
    tensors = {
        "positional_embedding": flat["embeddings.position_embedding.weight"],
        "token_embedding.weight": flat["embeddings.token_embedding.weight"],
        "ln_final.weight": flat["final_layer_norm.weight"],
        "ln_final.bias": flat["final_layer_norm.bias"],
        "text_projection": projection.T,
        "logit_scale": torch.tensor(4.6),
    }
    layers = 1 + max(int(n.split(".")[2]) for n in flat if n.startswith("encoder.layers."))
    for layer in range(layers + unused):
        source = f"encoder.layers.{min(layer, layers - 1)}."
        target = f"transformer.resblocks.{layer}."
        for leaf in ("weight", "bias"):
            qkv = [flat[f"{source}self_attn.{k}_proj.{leaf}"] for k in "qkv"]
            tensors[f"{target}attn.in_proj_{leaf}"] = torch.cat(qkv)
            for theirs, ours in (
                ("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
            ):  # fmt: skip
                tensors[f"{target}{theirs}.{leaf}"] = flat[f"{source}{ours}.{leaf}"]
    return {f"{prefix}{name}": tensor.contiguous().clone() for name, tensor in tensors.items()}
