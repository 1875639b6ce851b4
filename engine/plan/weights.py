"""How many numbers a base model's parts hold, counted in the headers of its files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from engine.plan.header import FileProblem, read_header
from engine.schema.model import Model

UNREAD_LAYERS = {"hunyuan_image": 2}
"""Last layers of the first text encoder that are not loaded: its states are taken before them."""

_LAYER = re.compile(r"(?:.*\.)?layers\.(\d+)\.")

ROLES = ("denoiser", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "text_conditioner")
FOLDERS = {"unet": "denoiser", "transformer": "denoiser"}
"""Folders of a diffusers model that are not called like their role."""

_INSIDE = (
    (re.compile(r"(first_stage_model|vae)\."), "vae"),
    (re.compile(r"(.*\.)?llm_adapter\."), "text_conditioner"),
    (re.compile(r"(cond_stage_model|conditioner\.embedders\.0|text_encoders\.(clip_l|gemma|qwen))"),
     "text_encoder"),
    (re.compile(r"(conditioner\.embedders\.1|text_encoders\.(clip_g|byt5))"), "text_encoder_2"),
    (re.compile(r"text_encoders\.t5xxl"), "text_encoder_3"),
)  # fmt: skip
"""Beginnings of names inside one file that holds several parts; the rest is the denoiser."""

_NOT_LOADED = re.compile(
    r"model_ema\.|(.*\.)?(visual|vision_tower|lm_head)\.|.*\.(position_ids|inv_freq|logit_scale)$"
    r"|(alphas|betas|sqrt|log_one|posterior)_?|.*pos_embedder\.|.*(scale_weight|weight_scale)$"
)
"""What a file may hold and no loader takes."""


def numbers_in(model: Model, path: Path | None) -> dict[str, int]:
    """Role → how many numbers it has, as far as files tell; `path` is the base model's place."""
    counts: dict[str, int] = {}
    unread = UNREAD_LAYERS.get(model.architecture, 0)
    if path is not None:
        counts |= _of_model(path, unread)
    for role in ROLES:
        own = getattr(model, role, None)
        if isinstance(own, str) and own:
            found = _of_part(Path(own).expanduser(), unread if role == "text_encoder" else 0)
            if found:
                counts[role] = found
    return counts


def _of_model(path: Path, unread: int) -> dict[str, int]:
    if path.is_file():
        return dict(_of_file(path, _stamp(path), 0))
    counts: Counter[str] = Counter()
    for folder in (p for p in path.iterdir() if p.is_dir()) if path.is_dir() else ():
        role = FOLDERS.get(folder.name, folder.name)
        if role in ROLES:
            counts[role] = _of_part(folder, unread if role == "text_encoder" else 0)
    return {role: count for role, count in counts.items() if count}  # not what lacks its weights


def _of_part(path: Path, unread: int) -> int:
    """All numbers of a part: a file, or a folder with one weights file or several.

    The last `unread` layers do not count; they are those of the last file.
    """
    files = [path] if path.is_file() else list(_weights(path))
    return sum(
        sum(_of_file(file, _stamp(file), unread if file == files[-1] else 0).values())
        for file in files
    )


def _weights(folder: Path) -> Iterator[Path]:
    """The safetensors of a folder; where two precisions lie side by side, the plain one."""
    files = sorted(folder.glob("*.safetensors"))
    plain = [f for f in files if ".fp16" not in f.name]
    yield from plain or files


def _stamp(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=64)
def _of_file(path: Path, stamp: tuple[int, int], unread: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    if path.suffix != ".safetensors":
        return counts
    try:
        header = read_header(path)
    except FileProblem:
        return counts
    layers = [int(m[1]) for m in map(_LAYER.match, header.entries) if m]
    first_unread = max(layers, default=0) + 1 - unread
    for name, info in header.entries.items():
        layer = _LAYER.match(name)
        if unread and layer is not None and int(layer[1]) >= first_unread:
            continue
        if _NOT_LOADED.match(name):
            continue
        size = 1
        for side in info.shape:
            size *= side
        counts[_role(name)] += size
    return counts


def _role(name: str) -> str:
    return next((role for pattern, role in _INSIDE if pattern.match(name)), "denoiser")
