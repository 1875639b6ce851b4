"""OneTrainer's concepts, which are folders of pictures, and its samples, which are previews."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import FOLDER, Draft
from engine.interop.given import Given
from engine.interop.option_map import table_of
from engine.interop.previews import put_prompts
from engine.interop.reading import ImportProblem, parse, read_text
from engine.interop.values import Misfit, flag, is_nothing

_ROLES = {"STANDARD": "train", "VALIDATION": "validation", "PRIOR_PREDICTION": "train"}


def listed(draft: Draft, tree: Mapping[str, Any], key: str, file_key: str) -> list[Any]:
    """A list that stands in the configuration, or in a file that it names."""
    held, name = tree.get(key), tree.get(file_key)
    if isinstance(held, list) and held:
        return held
    if held is not None and not isinstance(held, list):
        draft.refuse(key, held, "it is no list")
        return []
    path = draft.located(name)
    if path is None and isinstance(name, str) and draft.folder is not None:
        path = draft.located(str(draft.folder.parent / name))
    if path is None:
        return []
    try:
        read = parse(read_text(path), path.name)
    except ImportProblem as problem:
        draft.refuse(file_key, name, str(problem).rstrip("."))
        return []
    draft.add(file_key, name, "taken", why="read, its entries follow")
    return read if isinstance(read, list) else []


def read_concepts(draft: Draft, given: Given, concepts: list[Any]) -> None:
    """Put a folder into the draft for each concept."""
    _file(draft, given, "concept_file_name", concepts, "add the folders of pictures yourself")
    kept = draft.data.get("dataset", {}).get("cache_latents", "disk") != "off"
    variations = 1
    for i, concept in enumerate(concepts):
        if not isinstance(concept, Mapping):
            draft.refuse(f"concepts[{i}]", concept, "it is no concept")
            continue
        variations = max(variations, _concept(draft, concept, f"concepts[{i}].", kept))
    if variations > 1:
        if draft.data.get("dataset", {}).get("cache_text", "off") != "off":
            draft.take("concepts[].text_variations", variations, "dataset.text_variations")
        else:
            draft.drop(
                "concepts[].text_variations",
                variations,
                "captions are drawn anew each time, as they are not kept",
            )


def _concept(draft: Draft, concept: Mapping[str, Any], place: str, kept: bool) -> int:
    own: dict[str, Any] = {}
    left = dict(_flat(concept))
    kind = str(left.pop("type", None) or "STANDARD").rpartition(".")[2]
    if kind in _ROLES:
        if kind != "STANDARD":
            draft.take(f"{place}type", kind, f"{FOLDER}role", _ROLES[kind], to=own)
        if kind == "PRIOR_PREDICTION":
            draft.take(f"{place}type", kind, f"{FOLDER}preserve_prior", True, to=own)
    else:
        draft.refuse(f"{place}type", kind, "it is STANDARD, VALIDATION or PRIOR_PREDICTION")
    balance = left.pop("balancing", left.pop("repeats", None))
    strategy = str(left.pop("balancing_strategy", None) or "REPEATS").rpartition(".")[2]
    if balance is not None:
        field = "samples_per_epoch" if strategy == "SAMPLES" else "repeats"
        draft.take(f"{place}balancing", balance, f"{FOLDER}{field}", to=own)
    for key, field, value in (
        ("image.enable_random_flip", "flip", 0.5),
        ("image.enable_fixed_flip", "flip", 1.0),
        ("image.enable_random_hue", "color_jitter", 0.1),
        ("image.enable_crop_jitter", "random_crop", True),
    ):
        held = left.pop(key, None)
        if held is None:
            continue
        if not _on(held):
            draft.unset(f"{place}{key}", held)
        elif kept and field in ("random_crop", "color_jitter"):
            draft.drop(f"{place}{key}", held, "kept pictures are cut in the middle, and not varied")
        else:
            draft.take(f"{place}{key}", held, f"{FOLDER}{field}", value, to=own)
    for key in ("text.tag_dropout_probability", "text.tag_dropout_mode"):
        if not _on(left.get("text.tag_dropout_enable")) and key in left:
            draft.unset(f"{place}{key}", left.pop(key))
    tags = ("text.tag_delimiter", "text.keep_tags_count")
    if not _on(left.get("text.enable_tag_shuffling")) and not _on(
        left.get("text.tag_dropout_enable")
    ):
        for key in tags:
            if key in left:
                draft.unset(f"{place}{key}", left.pop(key))
    variations = left.pop("text_variations", 1)
    known = table_of("OneTrainer")
    for key, value in left.items():
        row = known.get(f"concepts[].{key}")
        if is_nothing(value) or value is False or (value in (0, 1, [], {}) and row is None):
            draft.unset(f"{place}{key}", value)
        elif row is not None and row.counterpart and row.path.startswith(FOLDER):
            draft.take(f"{place}{key}", value, row.path, to=own)
        elif key in (
            "image.resolution_override",
            "text.prompt_source",
            "text.tag_dropout_enable",
            "seed",
            "image_variations",
        ):
            draft.unset(f"{place}{key}", value)
        else:
            draft.drop(
                f"{place}{key}", value, (row.note if row else "") or "Graft has no such setting"
            )
    own.setdefault("path", "")
    draft.add_folder(own)
    return variations if isinstance(variations, int) and not isinstance(variations, bool) else 1


def _on(value: Any) -> bool:
    try:
        return value is not None and flag(value)
    except Misfit:
        return False


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and key != "concept_stats":
            flat |= _flat(value, f"{prefix}{key}.")
        elif key != "concept_stats":
            flat[f"{prefix}{key}"] = value
    return flat


_SAMPLE = {
    "prompt": "prompt", "negative_prompt": "negative", "width": "width", "height": "height",
    "seed": "seed", "diffusion_steps": "steps", "cfg_scale": "cfg", "noise_scheduler": "sampler",
}  # fmt: skip


def _file(draft: Draft, given: Given, key: str, found: list[Any], mend: str) -> None:
    """End the name of a file whose list was read, was not needed, or is not there."""
    named = given.pop(key)
    if is_nothing(named) or any(line.key == key for line in draft.lines):
        return
    if found:
        draft.unset(key, named)
    else:
        draft.refuse(key, named, f"there is no such file on this machine; {mend}")


def read_samples(draft: Draft, given: Given, samples: list[Any]) -> None:
    """Put a preview into the draft for each sample."""
    _file(draft, given, "sample_definition_file_name", samples, "write the prompts under Samples")
    tables = []
    for i, sample in enumerate(samples):
        if not isinstance(sample, Mapping):
            draft.refuse(f"samples[{i}]", sample, "it is no sample")
            continue
        table: dict[str, Any] = {}
        for key, value in sample.items():
            if key == "enabled":
                continue
            if key in _SAMPLE and not is_nothing(value):
                name = {
                    "negative": "negative_prompt",
                    "steps": "sample_steps",
                    "cfg": "scale",
                    "sampler": "sample_sampler",
                }.get(_SAMPLE[key], _SAMPLE[key])
                table[name] = str(value).rpartition(".")[2] if name == "sample_sampler" else value
            elif key == "random_seed" and _on(value):
                table["seed"] = -1
            elif is_nothing(value) or value in (False, 0, 1):
                draft.unset(f"samples[{i}].{key}", value)
            else:
                draft.drop(f"samples[{i}].{key}", value, "Graft's previews have no such setting")
        if _on(sample.get("enabled", True)):
            tables.append(table)
        else:
            draft.drop(f"samples[{i}]", table.get("prompt", ""), "it is switched off")
    if tables:
        put_prompts(draft, "samples", tables, tables)
