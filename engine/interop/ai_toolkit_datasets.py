"""ai-toolkit's datasets: folders of pictures, each with its own sizes and captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import FOLDER, Draft
from engine.interop.given import Given
from engine.interop.option_map import table_of
from engine.interop.values import Misfit, is_nothing, items, whole

_PLAIN = {
    "folder_path": "path", "default_caption": "fallback_caption", "random_crop": "random_crop",
    "prior_reg": "preserve_prior", "shuffle_tokens": "shuffle_tags", "keep_tokens": "keep_tags",
    "mask_path": "mask_folder", "invert_mask": "mask_invert", "num_repeats": "repeats",
    "loss_multiplier": "loss_weight", "token_dropout_rate": "tag_dropout",
    "caption_dropout_rate": "caption_dropout", "dataset_path": "metadata_file",
}  # fmt: skip
_SWITCHES = {"flip_x": ("flip", 0.5), "is_reg": ("role", "regularization"),
             "alpha_mask": ("mask", "alpha")}  # fmt: skip
_KEPT = (
    ("cache_latents_to_disk", "dataset.cache_latents", "disk"),
    ("cache_latents", "dataset.cache_latents", "memory"),
    ("cache_text_embeddings", "dataset.cache_text", "disk"),
)
_WIDE = {"bucket_tolerance": "dataset.bucket_step", "buckets": "dataset.buckets",
         "num_workers": "training.workers", "batch_size": "training.batch_size",
         "mask_min_value": "objective.mask_floor",
         "trigger_word": "dataset.trigger_word"}  # fmt: skip


def read_datasets(draft: Draft, datasets: Any) -> None:
    """Put a folder into the draft for each dataset; sizes become those of the whole job."""
    if datasets is None:
        return
    if not isinstance(datasets, list):
        draft.refuse("datasets", datasets, "it is no list")
        return
    sizes: list[tuple[str, Any, list[str]]] = []
    kept: list[str] = []
    for i, dataset in enumerate(datasets):
        place = f"datasets[{i}]."
        if not isinstance(dataset, Mapping):
            draft.refuse(f"datasets[{i}]", dataset, "it is no dataset")
            continue
        given = Given({str(k): v for k, v in dataset.items()})
        _sizes(draft, given, place, sizes)
        _kept(draft, given, place, kept)
        draft.add_folder(_folder(draft, given, place))
    if not kept and datasets:
        draft.default("datasets[].cache_latents", "dataset.cache_latents", "off")
    _settle(draft, sizes)


def _folder(draft: Draft, given: Given, place: str) -> dict[str, Any]:
    own: dict[str, Any] = {}
    ending = given.pop("caption_ext")
    if ending is not None:
        dotted = f".{ending}" if not str(ending).startswith(".") else str(ending)
        draft.take(f"{place}caption_ext", ending, f"{FOLDER}caption_extension", dotted, to=own)
    for key, value in list(given.left.items()):
        shown = f"{place}{key}"
        row = table_of("ai-toolkit").get(f"datasets[].{key}")
        if is_nothing(value) or (value is False and key not in _WIDE):
            draft.unset(shown, value)
        elif key in _PLAIN:
            if draft.take(shown, value, f"{FOLDER}{_PLAIN[key]}", to=own) and key == "mask_path":
                own["mask"] = "folder"
        elif key in _SWITCHES:
            field, new = _SWITCHES[key]
            draft.take(shown, value, f"{FOLDER}{field}", new, "the switch is a value here", to=own)
        elif key in _WIDE:
            draft.take(shown, value, _WIDE[key])
        elif row is not None and row.refused:
            draft.refuse(shown, value, row.note or "Graft does not do this")
        elif row is None:
            draft.unknown(shown, value, "ai-toolkit")
        else:
            draft.drop(shown, value, row.note or "Graft has no such setting")
    own.setdefault("path", "")
    return own


def _sizes(draft: Draft, given: Given, place: str, sizes: list[tuple[str, Any, list[str]]]) -> None:
    value = given.pop("resolution")
    if value is None:
        sizes.append((f"{place}resolution", None, ["512"]))
        return
    try:
        sizes.append((f"{place}resolution", value, [str(whole(side)) for side in items(value)]))
    except Misfit as misfit:
        draft.refuse(f"{place}resolution", value, str(misfit))


def _kept(draft: Draft, given: Given, place: str, kept: list[str]) -> None:
    """To disk wins over in memory."""
    on = [one for one in _KEPT if given.switch(draft, f"{one[0]}")]
    for key, path, how in on:
        wins = next(other for other in on if other[1] == path)[2]
        if path == "dataset.cache_latents":
            kept.append(wins)
        draft.take(f"{place}{key}", True, path, wins, "" if wins == how else "to disk wins")


def _settle(draft: Draft, sizes: list[tuple[str, Any, list[str]]]) -> None:
    wanted = list(dict.fromkeys(size for _, _, some in sizes for size in some))
    if not wanted:
        return
    alike = all(some == wanted for _, _, some in sizes)
    why = "" if alike else "every folder is trained at each of the sizes"
    for key, value, _ in sizes:
        if value is None:
            draft.default(key, "dataset.resolution", wanted, why)
        else:
            draft.take(key, value, "dataset.resolution", wanted, why)
