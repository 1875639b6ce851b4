"""sd-scripts' resolutions and buckets (spec: data-loop 2)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.values import Misfit, flag, items, whole

Placed = tuple[str, Any, int | None]
"""An option with its place: the words for the report, the value, the dataset it is for."""

_FILTERS = {
    "lanczos": "lanczos", "nearest": "nearest", "bilinear": "bilinear", "linear": "bilinear",
    "bicubic": "bicubic", "cubic": "bicubic", "area": "box",
}  # fmt: skip
_DEFAULT_LONGEST = 1024


def resolution_text(value: Any) -> str:
    """A size as ours is written: 512 or 512x768.

    Raises:
        Misfit: it is no size.
    """
    sides = [whole(side) for side in items(value)]
    if len(sides) == 1 or (len(sides) == 2 and sides[0] == sides[1]):
        return str(sides[0])
    if len(sides) == 2:
        return f"{sides[0]}x{sides[1]}"
    raise Misfit("a size is one number, or width and height")


def read_resolutions(draft: Draft, given: Given, found: list[Placed]) -> None:
    """Put the sizes into the draft: one, or those that all folders are trained at.

    The same folder in datasets of several sizes becomes one folder and a list of sizes.
    """
    given.pop("resolution")
    sizes: list[tuple[str, Any, int | None, str]] = []
    for place, value, dataset in found:
        if value in (None, ""):
            continue
        try:
            sizes.append((place, value, dataset, resolution_text(value)))
        except Misfit as misfit:
            draft.refuse(place, value, str(misfit))
    if not sizes:
        return
    by_dataset = {dataset: size for _, _, dataset, size in sizes if dataset is not None}
    general = next((size for _, _, dataset, size in sizes if dataset is None), None)
    used = {
        f["_dataset"]: by_dataset.get(f["_dataset"], general)
        for f in draft.folders
        if "_dataset" in f
    }
    wanted = list(dict.fromkeys(size for size in used.values() if size)) or [sizes[-1][3]]
    why = ""
    if len(wanted) > 1:
        why = _one_folder_for_all(draft, used)
    for place, value, _, size in sizes:
        if size in wanted:
            draft.take(place, value, "dataset.resolution", wanted, why)
        else:
            draft.drop(place, value, "no folder is trained at it")


def _one_folder_for_all(draft: Draft, used: dict[int, str | None]) -> str:
    """Join folders that are the same but for their size; say what became of the sizes."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in draft.folders:
        key = repr(sorted((k, v) for k, v in folder.items() if k != "_dataset"))
        groups[key].append(folder)
    seen = {key: {used.get(f["_dataset"]) for f in folders} for key, folders in groups.items()}
    everywhere = set(used.values())
    draft.folders = [folders[0] for folders in groups.values()]
    if all(sizes == everywhere for sizes in seen.values()):
        return "each folder is trained at each of the sizes, as there"
    return "the sizes are those of the whole job: every folder is trained at each of them"


def read_buckets(draft: Draft, given: Given) -> None:
    """Put the buckets into the draft, with sd-scripts' own defaults."""
    if given.switch(draft, "enable_bucket"):
        draft.take("enable_bucket", True, "dataset.buckets")
        on = True
    else:
        draft.default("enable_bucket", "dataset.buckets", False)
        on = False
    enlarging = True
    if "bucket_no_upscale" in given:
        value = given.pop("bucket_no_upscale")
        try:
            enlarging = not flag(value)
            draft.take("bucket_no_upscale", value, "dataset.upscale", enlarging, "turned round")
        except Misfit as misfit:
            draft.refuse("bucket_no_upscale", value, str(misfit))
    for key, path in (
        ("min_bucket_reso", "dataset.bucket_min"),
        ("max_bucket_reso", "dataset.bucket_max"),
        ("bucket_reso_steps", "dataset.bucket_step"),
    ):
        value = given.value(draft, key)
        if value is not None and key == "bucket_reso_steps" and _below_8(value):
            draft.take(key, value, path, 8, "the VAE's own step is the least")
        elif value is not None:
            draft.take(key, value, path)
        elif key == "max_bucket_reso" and on and enlarging:
            draft.default(key, path, _DEFAULT_LONGEST)
    if on:
        words = "sd-scripts chooses buckets so"
        draft.default("bucket choice", "dataset.bucket_rule", "ratio", words)
    scaled = given.value(draft, "resize_interpolation")
    if scaled is not None:
        ours = _FILTERS.get(str(scaled).lower(), scaled)
        draft.take("resize_interpolation", scaled, "dataset.resize_filter", ours)


def _below_8(value: Any) -> bool:
    try:
        return 0 < whole(value) < 8
    except Misfit:
        return False
