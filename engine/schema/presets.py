"""Presets: partial jobs with a name, a purpose and the memory they need."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import canonical
from engine.schema.job_file import read_toml, to_toml
from engine.schema.options import get_at, options, set_at
from engine.schema.problem import JobError, Problem
from engine.schema.whole_file import write_whole

MODEL_FILES = (
    "model.path", "model.vae", "model.denoiser", "model.text_encoder", "model.text_encoder_2",
    "model.text_encoder_3", "model.text_conditioner", "model.tokenizer", "model.tokenizer_2",
)  # fmt: skip
"""Fields that name the parts of a model."""

NOT_IN_PRESETS = (
    *MODEL_FILES, "dataset.folders", "dataset.trigger_word", "dataset.cache_directory",
    "network.start_from", "output.name", "output.directory", "samples.prompts",
)  # fmt: skip
"""Fields that belong to one job, not to a way of training; saving a preset leaves them out."""


@dataclass(frozen=True)
class Preset:
    """A named partial job; `data` has only the values it sets."""

    name: str
    architecture: str
    data: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    memory: str = ""  # what it needs, in words: "6 GB"
    path: Path | None = None  # None: not yet in a file
    built_in: bool = False


def read_preset(path: Path, built_in: bool = False) -> Preset:
    """Read a preset file: a job file with a `[preset]` table.

    Raises:
        JobError: as `read_toml`, for unknown keys, or without an architecture.
    """
    data = read_toml(path)
    about = data.pop("preset", {})
    if not isinstance(about, Mapping):
        raise JobError([Problem("preset", "[preset] is a table with a name.")], str(path))
    tree, problems = canonical(data)
    architecture = get_at(tree, "model.architecture")
    if architecture not in ARCHITECTURES:
        problems.append(Problem("model.architecture", f"'{architecture}' is no architecture."))
    if problems:
        raise JobError(problems, str(path))
    return Preset(
        name=str(about.get("name", path.stem)),
        architecture=architecture,
        data=tree,
        description=str(about.get("description", "")),
        memory=str(about.get("memory", "")),
        path=path,
        built_in=built_in,
    )


def preset_toml(preset: Preset) -> str:
    """The preset as the text of its file."""
    about = {"name": preset.name, "description": preset.description, "memory": preset.memory}
    return to_toml(preset.data, {"preset": {k: v for k, v in about.items() if v}})


def save_preset(preset: Preset, path: Path) -> None:
    """Write the preset whole or not at all."""
    write_whole(path, preset_toml(preset).encode())


def from_job(name: str, data: Mapping[str, Any], description: str = "", memory: str = "") -> Preset:
    """Make a preset of a job: every value that differs from the defaults, less the job's own."""
    architecture = str(get_at(data, "model.architecture"))
    tree: dict[str, Any] = {"model": {"architecture": architecture}}
    for path, entry in options().items():
        if entry.kind in ("table", "tables") or "[]" in path or path in NOT_IN_PRESETS:
            continue
        value = get_at(data, path)
        if value != defaults(architecture, path):
            set_at(tree, path, value)
    return Preset(name, architecture, tree, description, memory)


def defaults(architecture: str, path: str) -> Any:
    """The default of a field for an architecture."""
    entry = options()[path]
    return ARCHITECTURES[architecture].defaults.get(path, entry.default)


def base_data(preset: Preset) -> dict[str, Any]:
    """A whole job's data with the architecture's defaults and, over them, the preset's values."""
    tree: dict[str, Any] = {}
    for path, entry in options().items():
        if entry.kind == "table" or "[]" in path:
            continue
        value = defaults(preset.architecture, path)
        set_at(tree, path, copy.deepcopy(value))  # a caller may change it in place
    set_at(tree, "model.architecture", preset.architecture)
    _merge(tree, preset.data)
    return tree


def _merge(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value
