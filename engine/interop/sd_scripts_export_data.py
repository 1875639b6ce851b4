"""The pictures of a job as a dataset config of sd-scripts, with the options that go beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tomlkit

from engine.interop.exported import Sheet
from engine.schema.architectures import UNET
from engine.schema.dataset_folder import Folder
from engine.schema.options import options
from engine.schema.text_encoders import live_encoders

_FILTERS = {"box": "area"}
_PLAIN = {
    "repeats": "num_repeats", "fallback_caption": "class_tokens",
    "caption_prefix": "caption_prefix",
    "caption_suffix": "caption_suffix", "wildcards": "enable_wildcard",
    "tag_separator": "caption_separator", "shuffle_tags": "shuffle_caption",
    "keep_tags": "keep_tokens", "keep_separator": "keep_tokens_separator",
    "group_separator": "secondary_separator", "tag_dropout": "caption_tag_dropout_rate",
    "tag_warmup": "token_warmup_step", "tag_warmup_start": "token_warmup_min",
    "caption_dropout": "caption_dropout_rate",
    "caption_dropout_every_epochs": "caption_dropout_every_n_epochs", "random_crop": "random_crop",
}  # fmt: skip
_CHANCES = {"flip": ("flip_aug", 0.5), "color_jitter": ("color_aug", 0.1)}
_DONE = (*_PLAIN, *_CHANCES, "path", "enabled", "role", "caption_extension", "metadata_file",
         "mask",
         "mask_folder", "preserve_prior", "loss_weight")  # fmt: skip


def dataset_config(sheet: Sheet) -> str:
    """Write the dataset config; a dataset for each size, as sd-scripts has it."""
    dataset = sheet.job.dataset
    document = tomlkit.document()
    general = tomlkit.table()
    for path, name, write in _general(sheet):
        value = write(sheet.get(path))
        if value is not None:
            general[name] = value
    document["general"] = general
    folders = [f for f in enumerate(dataset.folders) if _goes(sheet, *f)]
    sets = tomlkit.aot()
    for size in sheet.get("dataset.resolution"):
        table = tomlkit.table()
        width, _, height = size.replace("×", "x").partition("x")
        table["resolution"] = [int(width), int(height)] if height else int(width)
        table["batch_size"] = sheet.job.training.batch_size
        subsets = tomlkit.aot()
        for i, folder in folders:
            subsets.append(_subset(sheet, i, folder))
        table["subsets"] = subsets
        sets.append(table)
    document["datasets"] = sets
    _beside(sheet)
    return tomlkit.dumps(document)


def _general(sheet: Sheet) -> list[tuple[str, str, Callable[[Any], Any]]]:
    def same(value: Any) -> Any:
        return value

    buckets = sheet.job.dataset.buckets
    largest = max(
        (
            max(int(s) for s in size.replace("×", "x").split("x"))
            for size in sheet.job.dataset.resolution
        ),
        default=512,
    )
    entries: list[tuple[str, str, Callable[[Any], Any]]] = [
        ("dataset.buckets", "enable_bucket", same),
        (
            "dataset.resize_filter",
            "resize_interpolation",
            lambda v: None if v == "lanczos" else _FILTERS.get(v, v),
        ),
        ("dataset.validation_share", "validation_split", lambda v: float(v) if v else None),
        ("dataset.validation_seed", "validation_seed", same),
    ]
    if buckets:
        entries += [
            ("dataset.bucket_min", "min_bucket_reso", same),
            ("dataset.bucket_max", "max_bucket_reso", lambda v: 2 * largest if v is None else v),
            ("dataset.bucket_step", "bucket_reso_steps", same),
            ("dataset.upscale", "bucket_no_upscale", lambda v: not v),
        ]
    sheet.used |= {
        f"dataset.{key}"
        for key in (
            "bucket_min",
            "bucket_max",
            "bucket_step",
            "upscale",
            "bucket_rule",
            "mix_folders",
            "short_batches",
            "background",
            "cache_precision",
            "text_variations",
        )
    }
    return entries


def _goes(sheet: Sheet, i: int, folder: Folder) -> bool:
    if folder.enabled and folder.role == "validation":
        words = "sd-scripts holds out a share (validation_split), no folder"
        sheet.lack(f"dataset.folders[{i}].role", words)
    return folder.enabled and folder.role != "validation"


def _subset(sheet: Sheet, i: int, folder: Folder) -> Any:
    place = f"dataset.folders[{i}]."
    table = tomlkit.table()
    if folder.path:
        table["image_dir"] = folder.path
    if folder.metadata_file:
        table["metadata_file"] = folder.metadata_file
    else:
        table["caption_extension"] = folder.caption_extension
    for field, name in _PLAIN.items():
        value = getattr(folder, field)
        if value == options()[f"dataset.folders[].{field}"].default and field != "repeats":
            continue
        if field == "repeats":
            if not float(value).is_integer():
                sheet.lack(f"{place}repeats", f"whole numbers only there: {max(1, round(value))}")
            value = max(1, round(value))
        if field == "fallback_caption" and folder.metadata_file:
            sheet.lack(f"{place}fallback_caption", "not with a caption list there")
            continue
        table[name] = value
    for field, (name, strength) in _CHANCES.items():
        value = getattr(folder, field)
        if value:
            table[name] = True
            if value != strength:
                sheet.lack(f"{place}{field}", f"a switch there, of the strength {strength:g}")
    if folder.role == "regularization":
        table["is_reg"] = True
        if folder.loss_weight != 1:
            sheet.words += ["--prior_loss_weight", f"{folder.loss_weight:g}"] * (
                "--prior_loss_weight" not in sheet.words
            )
    elif folder.loss_weight != 1:
        sheet.lack(f"{place}loss_weight", "there for regularization folders alone")
    if folder.mask == "alpha":
        table["alpha_mask"] = True
    elif folder.mask == "folder" and folder.mask_folder:
        table["conditioning_data_dir"] = folder.mask_folder
    elif folder.mask == "file":
        sheet.lack(f"{place}mask", "masks lie in a folder of their own there")
    if folder.preserve_prior:
        attributes = tomlkit.inline_table()
        attributes["diff_output_preservation"] = True
        table["custom_attributes"] = attributes
    for key, value in folder.model_dump().items():
        option = options()[f"dataset.folders[].{key}"]
        if key not in _DONE and value != option.default:
            sheet.lack(f"{place}{key}", "sd-scripts has no such option")
    return table


def _beside(sheet: Sheet) -> None:
    """Caches and the like, which are options of the command."""
    latents, text = sheet.get("dataset.cache_latents"), sheet.get("dataset.cache_text")
    sheet.put("cache_latents", latents != "off")
    sheet.put("cache_latents_to_disk", latents == "disk")
    if sheet.architecture in ("sd1", "sd2") and text != "off":
        sheet.lack("dataset.cache_text", "captions of SD 1.x and 2.x are not kept there")
    elif text != "off" and sheet.architecture == "sdxl" and live_encoders(sheet.job):
        sheet.lack("dataset.cache_text", "those of SDXL are kept there only if no encoder learns")
    elif text != "off":
        sheet.put("cache_text_encoder_outputs", True)
        sheet.put("cache_text_encoder_outputs_to_disk", text == "disk")
    size = sheet.get("dataset.cache_batch_size")
    sheet.put("vae_batch_size", size if size > 1 else None)
    if sheet.architecture in UNET:
        sheet.take("dataset.weighted_captions", "weighted_captions")
    word = sheet.get("dataset.trigger_word")
    if word:
        sheet.lack("dataset.trigger_word", "write it into the captions, or use caption_prefix")
