"""The U-Net of SD's family out of a diffusers folder, and its noise schedule (spec: 1.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.folder import load_part

TRAINED_SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}  # fmt: skip


def unet_in_folder(folder: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    """Load the U-Net.

    Raises:
        ModelProblem: if its files are missing, broken or do not fit its config.
    """
    return load_part(UNet2DConditionModel, folder, "unet", dtype)


def scheduler_config(folder: Path) -> dict[str, Any]:
    """What the folder says of its noise schedule; empty if it says nothing.

    Raises:
        ModelProblem: if the schedule is not the one SD is trained with.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        return {}
    config = json.loads(path.read_text("utf-8"))
    for name, value in TRAINED_SCHEDULE.items():
        if config.get(name, value) != value:
            raise ModelProblem(
                f"The model in {folder.name} was trained with {name} {config[name]}; "
                f"SD 1.x and 2.x have {value}.",
                "Choose another base model.",
            )
    return config
