"""A VAE of the usual kind: out of a folder, a file of its own, or a whole checkpoint.

Key conversion is diffusers'; a file's config is ours with its own widths, so nothing is fetched
(spec: training-sd-flux 1.2, 1.4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import single_file_utils
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.loading.assemble import assemble, not_whole
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.folder import load_part, locate

VAE_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
VAE_PREFIXES = ("first_stage_model.", "vae.")


def load_job_vae(
    loading: Loading,
    source: Path,
    checkpoint: Checkpoint | None,
    configs: Path,
    channels: int = 4,
) -> AutoencoderKL:
    """Load the VAE that the job names, or else the model's own, in the job's precision.

    Args:
        loading: the job's wishes.
        source: the base model: its folder, or its file.
        checkpoint: that file, opened; None for a folder.
        configs: our folder of configs, for a file in the original layout.
        channels: of its latents.

    Raises:
        ModelProblem: if it is not there, broken, or another architecture's.
    """
    model, field = loading.model, "model.path"
    dtype = VAE_DTYPES[model.vae_precision]
    if model.vae:
        field = "model.vae"
        source = locate(model.vae, offline=loading.offline, field=field)
        checkpoint = open_checkpoint(source, field) if source.is_file() else None
    if checkpoint is None:
        return vae_in_folder(source, dtype, field, channels)
    return vae_in_checkpoint(checkpoint, configs, dtype, field, channels)


def vae_in_folder(
    folder: Path, dtype: torch.dtype, field: str = "model.path", channels: int = 4
) -> AutoencoderKL:
    """Load the VAE of a model folder, or of a folder that is a VAE itself.

    Raises:
        ModelProblem: if its files are missing or broken, or it has not so many latent channels.
    """
    alone = (folder / "config.json").is_file() and not (folder / "vae").is_dir()
    vae = load_part(AutoencoderKL, folder, "" if alone else "vae", dtype, field)
    check_channels(vae.config["latent_channels"], channels, folder, field)
    return vae


def vae_in_checkpoint(
    checkpoint: Checkpoint,
    configs: Path,
    dtype: torch.dtype,
    field: str = "model.path",
    channels: int = 4,
) -> AutoencoderKL:
    """Build the VAE from a whole checkpoint or from a VAE file in either layout.

    Raises:
        ModelProblem: if it is not there, not whole, or has not so many latent channels.
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
    found = shapes.get("decoder.conv_in.weight", (0, 0))[1]
    check_channels(found, channels, checkpoint.path, field)
    source = checkpoint.read(names, dtype)
    config = json.loads((configs / "vae" / "config.json").read_text("utf-8"))
    if any(".down_blocks." in name for name in source):
        config |= _vae_widths(shapes, "encoder.down_blocks.{}.resnets.{}.conv1.weight")
        converted = source
    else:
        config |= _vae_widths(shapes, "encoder.down.{}.block.{}.conv1.weight")
        try:
            converted = single_file_utils.convert_ldm_vae_checkpoint(source, config)
        except (KeyError, AttributeError):
            raise not_whole(checkpoint, "VAE", field=field) from None
    return assemble(AutoencoderKL, config, converted, source, checkpoint, "VAE", field=field)


def _vae_widths(shapes: Mapping[str, tuple[int, ...]], resnet: str) -> dict[str, Any]:
    """Widths and depth of a VAE, given how its resnets are named."""
    firsts = (resnet.format(level, 0) for level in range(4))
    widths = [shapes[name][0] for name in firsts if name in shapes]
    depth = sum(resnet.format(0, i) in shapes for i in range(8))
    return {"block_out_channels": widths, "layers_per_block": depth} if len(widths) == 4 else {}


def check_channels(found: int, wanted: int, source: Path, field: str) -> None:
    """Refuse a VAE of another architecture.

    Raises:
        ModelProblem: if it has not so many latent channels.
    """
    if found != wanted:
        raise ModelProblem(
            f"The VAE of {source.name} has {found} channels; this architecture has {wanted}.",
            "Choose a VAE made for this architecture.",
            field,
        )
