"""The folders of pictures that an adapter file's metadata tells of: their options, not where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.schema.options import canonical_key, option_at

_TABLE = "dataset.folders[]"
_KEPT = (
    "num_repeats", "shuffle_caption", "keep_tokens", "keep_tokens_separator",
    "secondary_separator", "enable_wildcard", "caption_prefix", "caption_suffix", "class_tokens",
    "flip_aug", "color_aug", "random_crop",
)  # fmt: skip
_SWITCHED = {"flip_aug": 0.5, "color_aug": 0.1}
"""sd-scripts' switches of what are amounts here."""

_COUNTED = (("ss_dataset_dirs", False), ("ss_reg_dataset_dirs", True))


def folders_of(metadata: Mapping[str, str], notes: list[str]) -> list[dict[str, Any]]:
    """Items for `dataset.folders` with an empty path each; `notes` gets what they were called."""
    found = _from_datasets(_json(metadata.get("ss_datasets"))) or _from_counts(metadata)
    folders = []
    for name, pictures, options in found:
        count = f" ({pictures} pictures)" if isinstance(pictures, int) else ""
        notes.append(f"The pictures were in {name}{count}: choose the folder yourself.")
        folders.append({"path": "", **options})
    return folders


def _from_datasets(datasets: Any) -> list[tuple[str, Any, dict[str, Any]]]:
    found = []
    for dataset in datasets if isinstance(datasets, list) else ():
        subsets = dataset.get("subsets") if isinstance(dataset, dict) else None
        for subset in subsets if isinstance(subsets, list) else ():
            if isinstance(subset, dict):
                name = str(subset.get("image_dir") or "a folder")
                found.append((name, subset.get("img_count"), _options(subset)))
    return found


def _from_counts(metadata: Mapping[str, str]) -> list[tuple[str, Any, dict[str, Any]]]:
    found = []
    for key, is_prior in _COUNTED:
        folders = _json(metadata.get(key))
        for name, counts in folders.items() if isinstance(folders, dict) else ():
            if isinstance(counts, dict):
                given = {"num_repeats": counts.get("n_repeats"), "is_reg": is_prior}
                found.append((str(name), counts.get("img_count"), _options(given)))
    return found


def _options(subset: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a folder that differ from the defaults."""
    options: dict[str, Any] = {}
    for word in _KEPT:
        key = canonical_key(_TABLE, word)
        value = subset.get(word)
        if key is None or value is None or isinstance(value, dict | list):
            continue
        if word in _SWITCHED:
            value = _SWITCHED[word] if value is True else 0.0
        if value != option_at(f"{_TABLE}.{key}").default:
            options[key] = value
    if subset.get("is_reg") is True:
        options["role"] = "regularization"
    return options


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
