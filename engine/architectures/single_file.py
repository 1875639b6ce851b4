"""SD 1.x/2.x modules out of one checkpoint file in the original layout.

Key conversion is diffusers' (`diffusers.loaders.single_file_utils` is no public API, so this file
alone touches it); configs are ours with the widths read off the file, so nothing is fetched
(spec: training-sd-flux 1.2, 1.4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.loaders import single_file_utils
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from engine.architectures.architecture import ModelProblem
from engine.architectures.assemble import assemble, not_whole
from engine.architectures.checkpoint import Checkpoint

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
CLIP_TOKENIZER = RESOURCES / "tokenizers" / "clip"
UNET_PREFIX = "model.diffusion_model."
VAE_PREFIXES = ("first_stage_model.", "vae.")
CLIP_PREFIX = "cond_stage_model.transformer."
OPEN_CLIP_PREFIX = "cond_stage_model.model."
HEAD_WIDTH = 64  # of every attention head in SD 2.x and in the text encoders


def config_folder(architecture: str, prediction: str) -> Path:
    """Our diffusers-layout folder of configs for an architecture."""
    name = "sd2_v" if (architecture, prediction) == ("sd2", "v") else architecture
    return RESOURCES / "models" / name


def load_unet(checkpoint: Checkpoint, configs: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    """Build the U-Net from a whole checkpoint, or from a file that holds it alone.

    Raises:
        ModelProblem: if it is not there, not whole, or larger than the architecture.
    """
    names = checkpoint.below(UNET_PREFIX)
    if not names and "input_blocks.0.0.weight" in checkpoint.shapes:
        names = {name: name for name in checkpoint.shapes}
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no picture model (U-Net) in the original layout.",
            "Choose a whole checkpoint file, or a diffusers folder.",
        )
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    config = _unet_config(_config(configs / "unet"), shapes)
    source = checkpoint.read({s: UNET_PREFIX + g for s, g in names.items()}, dtype)
    try:
        converted = single_file_utils.convert_ldm_unet_checkpoint(source, config)
    except (KeyError, AttributeError):
        raise not_whole(checkpoint, "U-Net") from None
    return assemble(UNet2DConditionModel, config, converted, source, checkpoint, "U-Net")


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text("utf-8"))


def _unet_config(config: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Our config with the file's own widths."""
    level = "input_blocks.{}.0.out_layers.3.weight"
    widths = [shapes[n][0] for n in (level.format(3 * i + 1) for i in range(4)) if n in shapes]
    cross = shapes.get("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")
    if len(widths) == 4 and widths != list(config["block_out_channels"]):
        config["block_out_channels"] = widths
        if config["use_linear_projection"]:
            config["attention_head_dim"] = [max(1, width // HEAD_WIDTH) for width in widths]
    if cross is not None:
        config["cross_attention_dim"] = cross[1]
    return config


def load_vae(
    checkpoint: Checkpoint, configs: Path, dtype: torch.dtype, field: str = "model.path"
) -> AutoencoderKL:
    """Build the VAE from a whole checkpoint or from a VAE file in either layout.

    Raises:
        ModelProblem: if it is not there, not whole, or not a VAE with 4 channels.
    """
    names = next(filter(None, map(checkpoint.below, VAE_PREFIXES)), None)
    if names is None and "decoder.conv_in.weight" in checkpoint.shapes:
        names = {name: name for name in checkpoint.shapes}
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no VAE (picture encoder).",
            "Give one under VAE." if field == "model.path" else "Choose a VAE file or folder.",
            "model.vae",
        )
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    channels = shapes.get("decoder.conv_in.weight", (0, 0))[1]
    if channels != 4:
        raise ModelProblem(
            f"The VAE of {checkpoint.path.name} has {channels} channels; SD 1.x and 2.x have 4.",
            "Choose a VAE made for this architecture.",
            field,
        )
    source = checkpoint.read(names, dtype)
    config = _config(configs / "vae")
    if any(".down_blocks." in name for name in source):
        config |= _vae_widths(shapes, "encoder.down_blocks.{}.resnets.{}.conv1.weight")
        converted = source
    else:
        config |= _vae_widths(shapes, "encoder.down.{}.block.{}.conv1.weight")
        try:
            converted = single_file_utils.convert_ldm_vae_checkpoint(source, config)
        except (KeyError, AttributeError):
            raise not_whole(checkpoint, "VAE") from None
    return assemble(AutoencoderKL, config, converted, source, checkpoint, "VAE")


def _vae_widths(shapes: Mapping[str, tuple[int, ...]], resnet: str) -> dict[str, Any]:
    """Widths and depth of a VAE, given how its resnets are named."""
    firsts = (resnet.format(level, 0) for level in range(4))
    widths = [shapes[name][0] for name in firsts if name in shapes]
    depth = sum(resnet.format(0, i) in shapes for i in range(8))
    return {"block_out_channels": widths, "layers_per_block": depth} if len(widths) == 4 else {}


def load_text_encoder(checkpoint: Checkpoint, configs: Path, dtype: torch.dtype) -> CLIPTextModel:
    """Build the text encoder from a whole checkpoint: CLIP's layout, old or new, or OpenCLIP's.

    Raises:
        ModelProblem: if it is not there or not whole.
    """
    config = CLIPTextConfig.from_pretrained(str(configs / "text_encoder"))
    if names := checkpoint.below(CLIP_PREFIX):
        state = {
            name.removeprefix("text_model."): tensor  # files of 2022 lack this part
            for name, tensor in checkpoint.read(names, dtype).items()
            if not name.endswith("position_ids")
        }
    elif names := checkpoint.below(OPEN_CLIP_PREFIX):
        state = _from_open_clip(checkpoint, names, dtype)
    else:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no text encoder.",
            "Choose the model's whole checkpoint, not its pruned U-Net alone.",
        )
    _fit_text_config(config, state)
    model, info = CLIPTextModel.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, output_loading_info=True
    )  # pyright: ignore[reportGeneralTypeIssues]
    if info["missing_keys"] or info["mismatched_keys"]:
        raise not_whole(checkpoint, "text encoder", info["missing_keys"])
    return model


def _from_open_clip(
    checkpoint: Checkpoint, names: Mapping[str, str], dtype: torch.dtype
) -> dict[str, Tensor]:
    """The text encoder's state without the last block, which SD 2.x never used."""
    blocks = {int(n.split(".")[2]) for n in names.values() if n.startswith("transformer.resblocks")}
    skipped = f"transformer.resblocks.{max(blocks, default=0)}."
    wanted = {
        stored: stored
        for stored, name in names.items()
        if not name.startswith(skipped) and name not in ("logit_scale", "text_projection")
    }
    source = checkpoint.read(wanted, dtype)
    width = checkpoint.shapes[f"{OPEN_CLIP_PREFIX}positional_embedding"][1]
    # The converter asks a model only for its width, and there is no model yet.
    holder = SimpleNamespace(config=SimpleNamespace(hidden_size=width))
    state = single_file_utils.convert_open_clip_checkpoint(holder, source, OPEN_CLIP_PREFIX)
    return {name.removeprefix("text_model."): tensor for name, tensor in state.items()}


def _fit_text_config(config: CLIPTextConfig, state: Mapping[str, Tensor]) -> None:
    """Give the config the file's own widths and depth."""
    position = state.get("embeddings.position_embedding.weight")
    fc1 = state.get("encoder.layers.0.mlp.fc1.weight")
    if position is not None and position.shape[1] != config.hidden_size:
        config.hidden_size = position.shape[1]
        config.num_attention_heads = max(1, position.shape[1] // HEAD_WIDTH)
    if fc1 is not None:
        config.intermediate_size = fc1.shape[0]
    layers = {int(n.split(".")[2]) for n in state if n.startswith("encoder.layers.")}
    config.num_hidden_layers = max(layers, default=-1) + 1
