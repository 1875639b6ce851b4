"""sd-scripts' pictures: folders, the dataset config, buckets and caches (spec: data-loop 1, 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.interop.draft import FOLDER, Draft
from engine.interop.given import Given
from engine.interop.option_map import settle, table_of
from engine.interop.sd_scripts_sizes import read_buckets, read_resolutions
from engine.interop.values import Misfit, flag, is_nothing, whole
from engine.plan.folders import FolderProblem, propose_folders

CONFIG = "sd-scripts dataset_config"
COLOR_JITTER = 0.1
"""Strength of ours that comes nearest to the fixed color variation there."""

_SWITCHES = {
    "flip_aug": ("flip", 0.5), "color_aug": ("color_jitter", COLOR_JITTER),
    "alpha_mask": ("mask", "alpha"), "is_reg": ("role", "regularization"),
}  # fmt: skip
_JOB_WIDE = (
    "resolution", "batch_size", "enable_bucket", "min_bucket_reso", "max_bucket_reso",
    "bucket_reso_steps", "bucket_no_upscale", "validation_split", "validation_seed",
    "resize_interpolation", "network_multiplier",
)  # fmt: skip
"""Keys of general and datasets that are one for the whole job here."""

FOLDER_KEYS = tuple(
    key for key in table_of(CONFIG) if key not in (*_JOB_WIDE, "image_dir", "metadata_file")
)
_CACHES = (
    ("dataset.cache_latents", "cache_latents_to_disk", "cache_latents"),
    ("dataset.cache_text", "cache_text_encoder_outputs_to_disk", "cache_text_encoder_outputs"),
)


def read_data(
    draft: Draft, given: Given, config: Mapping[str, Any] | None, *, alone: bool = False
) -> None:
    """Put pictures, captions, buckets and caches into the draft.

    `config` is a dataset config; `alone` says that there is nothing else to read.
    """
    _for_all(draft, given)
    if config is not None:
        _from_config(draft, given, config)
        for key in ("train_data_dir", "reg_data_dir", "in_json"):
            if key in given:
                draft.drop(key, given.pop(key), "the dataset config's folders count instead")
        found = bool(draft.folders)
    else:
        read_resolutions(draft, given, [("resolution", given.pop("resolution"), None)])
        read_buckets(draft, given)
        found = _from_folders(draft, given)
    weight = given.value(draft, "prior_loss_weight")
    if weight is not None:
        draft.take("prior_loss_weight", weight, f"{FOLDER}loss_weight")
    plain = any("metadata_file" not in f and "caption_extension" not in f for f in draft.folders)
    if found and plain and "caption_extension" not in draft.for_folders:
        draft.default("caption_extension", f"{FOLDER}caption_extension", ".caption")
    masks = "mask" in draft.for_folders or any("mask" in folder for folder in draft.folders)
    if given.switch(draft, "masked_loss"):
        if masks:
            draft.add("masked_loss", True, "taken", f"{FOLDER}mask", why="by the masks of folders")
        else:
            words = "without alpha_mask or conditioning_data_dir there is no mask"
            draft.drop("masked_loss", True, words)
    if masks:
        words = "sd-scripts' loss is the mean over the whole picture"
        draft.default("masked_loss", "objective.mask_normalize", False, words)
    if not alone:
        _caches(draft, given)


def _for_all(draft: Draft, given: Given) -> None:
    """The command's options that every folder has."""
    older = given.value(draft, "caption_extention")
    if older is not None and "caption_extension" not in given:
        draft.take("caption_extention", older, f"{FOLDER}caption_extension", _ending(older))
    for key in FOLDER_KEYS:
        if key in given and key not in ("conditioning_data_dir", "is_reg"):
            folder_value(draft, key, given.pop(key))
    masks = given.value(draft, "conditioning_data_dir")
    if masks is not None and given.is_on("masked_loss"):
        folder_value(draft, "conditioning_data_dir", masks)
    elif masks is not None:
        draft.refuse("conditioning_data_dir", masks, "without masked_loss it is for ControlNets")


def folder_value(
    draft: Draft, key: str, value: Any, to: dict[str, Any] | None = None, place: str = ""
) -> None:
    """Put one of a folder's options into the draft; `to` is the folder, without it all."""
    shown = f"{place}{key}"
    if is_nothing(value):
        draft.unset(shown, value)
    elif key in _SWITCHES:
        name, on = _SWITCHES[key]
        try:
            is_on = flag(value)
        except Misfit as misfit:
            draft.refuse(shown, value, str(misfit))
            return
        if is_on:
            draft.take(shown, value, f"{FOLDER}{name}", on, "the switch is a value here", to=to)
        else:
            _off(draft, shown, value, name, to)
    elif key == "conditioning_data_dir":
        if draft.take(shown, value, f"{FOLDER}mask_folder", to=to):
            (draft.for_folders if to is None else to)["mask"] = "folder"
    elif key == "caption_extension":
        draft.take(shown, value, f"{FOLDER}caption_extension", _ending(value), to=to)
    elif key == "custom_attributes":
        _attributes(draft, shown, value, to)
    elif value is False and not table_of(CONFIG)[key].counterpart:
        draft.unset(shown, value)
    else:
        settle(draft, key, value, CONFIG, place, to=to)


def _off(draft: Draft, shown: str, value: Any, name: str, to: dict[str, Any] | None) -> None:
    """A switch that is off may undo one that is on further up."""
    holder = draft.for_folders if to is None else to
    if to is not None and name in draft.for_folders:
        holder[name] = {"flip": 0.0, "color_jitter": 0.0, "mask": "none", "role": "train"}[name]
    else:
        holder.pop(name, None)
    draft.unset(shown, value)


def _ending(value: Any) -> Any:
    return f".{value}" if isinstance(value, str) and value and not value.startswith(".") else value


def _attributes(draft: Draft, shown: str, value: Any, to: dict[str, Any] | None) -> None:
    known = isinstance(value, Mapping) and value.get("diff_output_preservation") is not None
    if known:
        on = value["diff_output_preservation"]
        draft.take(f"{shown}.diff_output_preservation", on, f"{FOLDER}preserve_prior", to=to)
    rest = {k: v for k, v in value.items() if k != "diff_output_preservation"} if known else value
    if rest:
        draft.drop(shown, rest, "only diff_output_preservation means something")


def _from_config(draft: Draft, given: Given, config: Mapping[str, Any]) -> None:
    """A dataset config: what stands further in counts more."""
    general = _table(draft, "general", config.get("general", {}))
    datasets = _tables(draft, "datasets", config.get("datasets", []))
    for key, value in config.items():
        if key not in ("general", "datasets"):
            draft.drop(key, value, "a dataset config has general and datasets")
    wide: dict[str, list[tuple[str, Any, int | None]]] = {}
    for key in _JOB_WIDE:
        if key in given:
            wide[key] = [(key, given.pop(key), None)]
    own = _level(draft, general, "general.", None, wide, None)
    draft.for_folders.update(own)
    for i, dataset in enumerate(datasets):
        place = f"datasets[{i}]."
        subsets = _tables(draft, f"{place}subsets", dataset.get("subsets", []))
        inside = {key: value for key, value in dataset.items() if key != "subsets"}
        shared = _level(draft, inside, place, {}, wide, i)
        for j, subset in enumerate(subsets):
            _subset(draft, subset, f"{place}subsets[{j}].", shared, i)
    _settle_wide(draft, given, wide)


def _level(
    draft: Draft,
    table: Mapping[str, Any],
    place: str,
    to: dict[str, Any] | None,
    wide: dict[str, list[tuple[str, Any, int | None]]],
    number: int | None,
) -> dict[str, Any]:
    """The folder options of general or of a dataset; those of the whole job go to `wide`."""
    for key, value in table.items():
        if key in _JOB_WIDE:
            wide.setdefault(key, []).append((f"{place}{key}", value, number))
        elif key in FOLDER_KEYS:
            folder_value(draft, key, value, to, place)
        else:
            settle(draft, key, value, CONFIG, place)
    return to or {}


def _subset(
    draft: Draft, subset: Mapping[str, Any], place: str, shared: Mapping[str, Any], dataset: int
) -> None:
    own = dict(shared)
    for key, value in subset.items():
        if key == "image_dir" and is_nothing(value):
            draft.unset(f"{place}{key}", value)
        elif key == "image_dir":
            draft.take(f"{place}{key}", value, f"{FOLDER}path", to=own)
        elif key == "metadata_file":
            draft.take(f"{place}{key}", value, f"{FOLDER}metadata_file", to=own)
        elif key in FOLDER_KEYS:
            folder_value(draft, key, value, own, place)
        elif key == "resize_interpolation":
            draft.drop(f"{place}{key}", value, "it is one for the whole job, dataset.resize_filter")
        else:
            settle(draft, key, value, CONFIG, place)
    if not own.get("path"):
        own["path"] = ""
        if "metadata_file" not in own and "image_dir" not in subset:
            draft.refuse(f"{place}image_dir", None, "a folder of pictures is missing")
    draft.add_folder({**own, "_dataset": dataset})


def _settle_wide(
    draft: Draft, given: Given, wide: dict[str, list[tuple[str, Any, int | None]]]
) -> None:
    """Options that datasets may differ in there, and that are one for the job here."""
    _batch(draft, wide.pop("batch_size", []))
    read_resolutions(draft, given, wide.pop("resolution", []))
    for folder in draft.folders:
        folder.pop("_dataset", None)
    for place, value, _ in wide.pop("network_multiplier", []):
        if str(value) in ("1", "1.0"):
            draft.unset(place, value)
        else:
            draft.refuse(place, value, "only 1 can be trained with")
    for key, found in wide.items():
        first = next((one for one in found if one[2] is not None), found[-1])
        place, value = first[0], first[1]
        for other, different, _ in found:
            if other != place:
                words = f"{place} counts, for all folders" if different != value else ""
                draft.add(other, different, "changed" if words else "taken", why=words)
        draft.spelling[key] = place
        given.left[key] = value
    read_buckets(draft, given)
    for key in ("validation_split", "validation_seed"):
        if key in given:
            value = given.pop(key)
            path = table_of(CONFIG)[key].path
            if is_nothing(value):
                draft.unset(key, value)
            else:
                draft.take(key, value, path)


def _batch(draft: Draft, found: list[tuple[str, Any, int | None]]) -> None:
    if not found:
        return
    inner = [one for one in found if one[2] is not None] or found
    most = Counter(str(value) for _, value, _ in inner).most_common(1)[0][0]
    for place, value, _ in found:
        if str(value) == most:
            draft.take(place, value, "training.batch_size")
        else:
            draft.drop(place, value, f"the batch size is one for the whole job; it is {most}")


def _table(draft: Draft, key: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    draft.refuse(key, value, "it is no table")
    return {}


def _tables(draft: Draft, key: str, value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        draft.refuse(key, value, "it is no list of tables")
        return []
    return [_table(draft, f"{key}[{i}]", item) for i, item in enumerate(value)]


def _from_folders(draft: Draft, given: Given) -> bool:
    """`train_data_dir` and `reg_data_dir` with their `N_name` folders, or one with `in_json`."""
    listed = given.value(draft, "in_json")
    repeats = given.value(draft, "dataset_repeats")
    train = given.value(draft, "train_data_dir")
    if listed is not None:
        own: dict[str, Any] = {"path": ""}
        if train is not None:
            draft.take("train_data_dir", train, f"{FOLDER}path", to=own)
        draft.take("in_json", listed, f"{FOLDER}metadata_file", to=own)
        if repeats is not None:
            draft.take("dataset_repeats", repeats, f"{FOLDER}repeats", to=own)
        draft.add_folder(own)
        return True
    if repeats is not None:
        draft.drop("dataset_repeats", repeats, "it counts only with in_json")
    if train is not None:
        add_parent(draft, "train_data_dir", train, "train")
    reg = given.value(draft, "reg_data_dir")
    if reg is not None:
        add_parent(draft, "reg_data_dir", reg, "regularization")
    return train is not None


def add_parent(draft: Draft, key: str, value: Any, role: str) -> None:
    """Turn each `N_name` inside a folder into a folder with N repeats and a caption."""
    own = {} if role == "train" else {"role": role}
    there = draft.located(value)
    found = []
    if there is not None and there.is_dir():
        try:
            found = propose_folders(there)
        except (OSError, FolderProblem):
            found = []
    for each in found:
        folder: dict[str, Any] = {**own, "path": str(each.path)}
        if each.repeats != 1:
            folder["repeats"] = float(each.repeats)
        if each.fallback_caption:
            folder["fallback_caption"] = each.fallback_caption
        draft.add_folder(folder)
    if found:
        draft.add(
            key,
            value,
            "changed",
            "dataset.folders",
            [str(f.path) for f in found],
            "each N_name in it is a folder with N repeats",
        )
        return
    held = str(value) if isinstance(value, str) else ""
    draft.add_folder({**own, "path": held})
    draft.add(
        key,
        value,
        "changed",
        "dataset.folders",
        [held],
        "there is no picture on this machine: add each N_name folder in it with N repeats",
    )


def _caches(draft: Draft, given: Given) -> None:
    """To disk wins over in memory, which wins over off."""
    for path, to_disk, in_memory in _CACHES:
        on_disk = given.switch(draft, to_disk)
        kept = given.switch(draft, in_memory)
        if on_disk:
            draft.take(to_disk, True, path, "disk", "the switch is a value here")
            if kept:
                draft.add(in_memory, True, "changed", path, "disk", f"{to_disk} is on too")
        elif kept:
            draft.take(in_memory, True, path, "memory", "the switch is a value here")
        else:
            draft.default(in_memory, path, "off")
    size = given.value(draft, "vae_batch_size")
    if size is not None:
        _batch_of_cache(draft, size)


def _batch_of_cache(draft: Draft, size: Any) -> None:
    try:
        unset = whole(size) == 0
    except Misfit:
        unset = False
    if unset:
        draft.unset("vae_batch_size", size)
    else:
        draft.take("vae_batch_size", size, "dataset.cache_batch_size")
