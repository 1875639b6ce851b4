"""Modules out of a diffusers folder, given as a path or as a hub id (spec: 1.2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from engine.architectures.architecture import ModelProblem
from engine.plan.detect import hub_folder, is_hub_id

COMPONENT_FILES = ["model_index.json"] + [
    f"{part}/{name}"
    for part in (
        "unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3",
        "text_conditioner", "tokenizer", "tokenizer_2", "tokenizer_3", "t5_tokenizer",
        "scheduler",
    )
    for name in ("*.json", "*.safetensors", "*.txt", "*.model")
]  # fmt: skip


def locate(path: str, *, offline: bool, field: str = "model.path") -> Path:
    """The file or folder that `path` names; a hub id becomes the folder of its snapshot.

    Raises:
        ModelProblem: if there is nothing, or a hub id is not in the cache and `offline` is on.
    """
    here = Path(path).expanduser()
    if here.exists():
        return here
    if not is_hub_id(path):
        raise ModelProblem(f"There is no file or folder {path}.", "Choose it again.", field)
    cached = hub_folder(path)
    if cached is not None:
        return cached
    if offline:
        raise ModelProblem(
            f"There is no file or folder {path}, and no model of that name in the hub's cache.",
            "Choose a file, or switch Stay offline off to download it.",
            field,
        )
    return _download(path, field)


def _download(name: str, field: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    alone = ["config.json", "*.safetensors"]
    patterns = COMPONENT_FILES if field == "model.path" else alone
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise ModelProblem(
            f"{name} could not be downloaded: {str(error).splitlines()[0]}",
            "Check the name and the network, or choose a file.",
            field,
        ) from None


def load_part(
    cls: Any, folder: Path, part: str, dtype: torch.dtype, field: str = "model.path"
) -> Any:
    """Load one of diffusers' modules from a model folder, or from the folder itself (`part` "").

    Raises:
        ModelProblem: if its files are missing, broken or do not fit its config.
    """
    where = folder / part if part else folder
    try:
        model, info = cls.from_pretrained(
            str(where), torch_dtype=dtype, local_files_only=True, output_loading_info=True,
            variant=variant_of(where, "diffusion_pytorch_model"),
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(folder, part, error, field) from None
    if info["missing_keys"]:
        raise incomplete(folder, part, info["missing_keys"], field)
    return model.eval()


def variant_of(folder: Path, stem: str) -> str | None:
    """None where the plain weights are; else the variant there is, such as fp16."""
    names = [p.name for p in folder.glob(f"{stem}*") if p.suffix in (".safetensors", ".bin")]
    sharded = rf"{re.escape(stem)}(-\d+-of-\d+)?\.(safetensors|bin)"
    if any(re.fullmatch(sharded, name) for name in names):
        return None
    found = (re.match(rf"{re.escape(stem)}\.([\w-]+?)(-\d+-of-\d+)?\.", name) for name in names)
    return next((match[1] for match in found if match), None)


def unreadable(
    folder: Path, part: str, error: Exception, field: str = "model.path"
) -> ModelProblem:
    """Say that a part could not be loaded, in the library's own first words."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return ModelProblem(
        f"{Path(folder.name, part)} could not be loaded: {first}",
        "Download the folder again, or choose another model.",
        field,
    )


def incomplete(folder: Path, part: str, missing: Any, field: str = "model.path") -> ModelProblem:
    """Say that a part lacks tensors, of which one is named."""
    names = sorted(missing)
    return ModelProblem(
        f"{Path(folder.name, part)} is not whole: {len(names)} tensors are missing, such as "
        f"{names[0]}.",
        "Download the folder again.",
        field,
    )
