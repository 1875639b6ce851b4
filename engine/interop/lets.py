"""A TOML file of LoRA_Easy_Training_Scripts into a job: sd-scripts' options in groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.interop.draft import Draft
from engine.interop.reading import ImportProblem
from engine.interop.report import Imported
from engine.interop.sd_scripts import read_options

PEER = "LoRA_Easy_Training_Scripts"
_GROUPS = (
    "general_args", "network_args", "optimizer_args", "saving_args", "bucket_args", "noise_args",
    "sample_args", "logging_args", "flux_args", "extra_args",
)  # fmt: skip
_TABLES = ("network_args", "optimizer_args", "lr_scheduler_args")
_IGNORED = {
    "tag_occurrence": "tags are listed on the Dataset page", "tag_file_location": "the same",
    "save_toml": "each run's folder has its job.toml", "save_toml_location": "the same",
}  # fmt: skip
_WITH_NAME = ("output_dir", "output_name", "resume", "log_prefix")


def is_file(tree: Mapping[str, Any]) -> bool:
    """Whether a TOML file is one of these."""
    return any(
        isinstance(tree.get(group), Mapping)
        and any(isinstance(tree[group].get(k), Mapping) for k in ("args", "dataset_args"))
        for group in _GROUPS
    )


def import_file(tree: Mapping[str, Any], folder: Path | None = None) -> Imported:
    """Import a file.

    Raises:
        ImportProblem: it trains a textual inversion.
    """
    draft = Draft(PEER, folder)
    draft.cut = "datasets[0]."
    mode = tree.get("train_mode")
    if isinstance(mode, Mapping):
        kind = mode.get("train_mode")
        if kind not in (None, "lora"):
            raise ImportProblem(f"These settings train {str(kind)[:40]}; Graft trains LoRA.")
        draft.add("train_mode", kind, "taken", why="it is LoRA")
    values: dict[str, Any] = {}
    general: dict[str, Any] = {}
    for group, content in tree.items():
        if group in ("subsets", "train_mode"):
            continue
        if not isinstance(content, Mapping):
            draft.drop(group, content, "it is no group of settings")
        elif group == "textual_inversion_args":
            draft.refuse(group, dict(content), "Graft trains LoRA, no textual inversion")
        else:
            _group(draft, str(group), content, values, general)
    name = values.pop("easy_name", None)
    if isinstance(name, str):
        _put_name(draft, name, values)
    subsets = tree.get("subsets", [])
    config = _datasets(draft, general, subsets)
    draft.spelling |= {f"general.{key}": spelled for key, spelled in _places(tree).items()}
    _read(draft, values, config)
    return draft.finished()


def _group(
    draft: Draft,
    group: str,
    content: Mapping[str, Any],
    values: dict[str, Any],
    general: dict[str, Any],
) -> None:
    for part, held in content.items():
        if not isinstance(held, Mapping) or part not in ("args", "dataset_args"):
            draft.drop(f"{group}.{part}", held, "it is no part of a group that Graft knows")
            continue
        for key, value in held.items():
            place = f"{group}.{part}.{key}"
            if key in _IGNORED:
                draft.drop(place, value, _IGNORED[key])
            elif part == "dataset_args":
                general[str(key)] = value
            elif key in _TABLES:
                values[str(key)] = value
            elif key == "fa":
                _put(draft, values, "network_module", "networks.lora_fa", place, value)
            elif key == "warmup_ratio":
                share = f"{float(value) * 100:g}%" if isinstance(value, int | float) else value
                _put(draft, values, "lr_warmup_steps", share, place, value)
            elif key in values:
                draft.refuse(place, value, "it is given in another group too")
            else:
                draft.spelling[str(key)] = place
                values[str(key)] = value


def _put(draft: Draft, values: dict[str, Any], key: str, new: Any, place: str, value: Any) -> None:
    if value in (False, 0, None):
        draft.unset(place, value)
    else:
        draft.respell(key, place, value)
        values[key] = new


def _put_name(draft: Draft, name: str, values: dict[str, Any]) -> None:
    """One name stands for ${replace} in several texts."""
    for key in _WITH_NAME:
        if isinstance(values.get(key), str):
            values[key] = values[key].replace("${replace}", name)
    draft.add("easy_name", name, "taken", why="put where ${replace} stood")


def _places(tree: Mapping[str, Any]) -> dict[str, str]:
    """Where the options of all folders stand."""
    return {
        str(key): f"{group}.dataset_args.{key}"
        for group, content in tree.items()
        if isinstance(content, Mapping) and isinstance(content.get("dataset_args"), Mapping)
        for key in content["dataset_args"]
    }


def _datasets(draft: Draft, general: dict[str, Any], subsets: Any) -> dict[str, Any]:
    """A dataset config of sd-scripts with one dataset."""
    if not isinstance(subsets, list):
        draft.refuse("subsets", subsets, "it is no list of tables")
        subsets = []
    cleaned = []
    for i, subset in enumerate(subsets):
        if not isinstance(subset, Mapping):
            draft.refuse(f"subsets[{i}]", subset, "it is no table")
            continue
        if "name" in subset:
            draft.drop(f"subsets[{i}].name", subset["name"], "folders are named by their path")
        cleaned.append({k: v for k, v in subset.items() if k != "name"})
    return {"general": general, "datasets": [{"subsets": cleaned}]}


def _read(draft: Draft, values: dict[str, Any], config: Mapping[str, Any]) -> None:
    scheduler = values.get("lr_scheduler_type")
    module = values.get("network_args")
    if isinstance(module, Mapping) and ("algo" in module or "preset" in module):
        values.setdefault("network_module", "lycoris.kohya")
    if isinstance(scheduler, str):
        values["lr_scheduler_type"] = scheduler.removeprefix("LoraEasyCustomOptimizer.")
    read_options(draft, values, config=config)
