"""Files in the wrong field of `[model]`, told from their headers before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.plan.detect import PICKLES, ModelFacts, hub_folder, is_hub_id
from engine.plan.fp8_scales import lost_scale, without_scale
from engine.plan.header import FileProblem, read_header, stamp_of
from engine.plan.model_names import LABELS, verdict_of
from engine.plan.part_names import (
    PartKind,
    Shapes,
    clip_by_width,
    part_kind,
    t5_by_table,
    vae_by_channels,
)
from engine.plan.parts import PARTS
from engine.plan.pickle_names import read_pickle_names
from engine.schema.model import Model
from engine.schema.options import option_at
from engine.schema.problem import Problem

_CLIP_L, _CLIP_G = ("clip_l", "clip"), ("clip_g", "clip")  # "clip": of toy widths, for tests
_VAE_SD, _VAE_FLUX = ("vae_sd",), ("vae_flux",)

SLOTS: dict[str, dict[str, tuple[str, ...]]] = {
    "sd1": {"vae": _VAE_SD},
    "sd2": {"vae": _VAE_SD},
    "sdxl": {"vae": _VAE_SD},
    "flux": {"text_encoder": _CLIP_L, "text_encoder_2": ("t5",), "vae": _VAE_FLUX},
    "sd3": {
        "text_encoder": _CLIP_L, "text_encoder_2": _CLIP_G, "text_encoder_3": ("t5",),
        "vae": _VAE_FLUX,
    },
    "lumina2": {"text_encoder": ("gemma",), "vae": _VAE_FLUX},
    "hunyuan_image": {
        "text_encoder": ("qwen2.5",), "text_encoder_2": ("byt5",), "vae": ("vae_hunyuan_image",)
    },
    "anima": {"text_encoder": ("qwen3",), "vae": ("vae_qwen",)},
}  # fmt: skip
"""Architecture → field of `[model]` → the kinds of `engine.plan.part_names` that belong there."""

_TEXT_INSIDE = ("text_encoders.", "cond_stage_model.", "conditioner.embedders.")
"""What a whole checkpoint's text encoders begin with."""

_CONFIG_KINDS = {
    "gemma2": ("gemma", "a Gemma text encoder"),
    "gemma3": ("gemma3", "a Gemma 3 text encoder"),
    "gemma3_text": ("gemma3", "a Gemma 3 text encoder"),
    "qwen3": ("qwen3", "a Qwen3 text encoder"),
    "qwen2": ("qwen2.5", "a Qwen2.5 text encoder"),
    "qwen2_5_vl": ("qwen2.5", "a Qwen2.5 text encoder"),
    "qwen2_5_vl_text": ("qwen2.5", "a Qwen2.5 text encoder"),
    "AutoencoderKLQwenImage": ("vae_qwen", "a VAE of Qwen-Image, as Anima has it"),
    "AutoencoderKLHunyuanImage": ("vae_hunyuan_image", "a VAE of HunyuanImage-2.1"),
}
"""What a folder's config calls its model → its kind, and words for it."""


@dataclass(frozen=True)
class _Found:
    """What a field's file or folder is: a picture model, perhaps with more inside, or a part.

    Attributes:
        kind: the part that it is; of a whole checkpoint its VAE.
        architecture: that of its picture model, empty if it has none.
        has_text: it has text encoders beside a picture model.
        is_adapter: it holds an adapter.
    """

    kind: PartKind | None = None
    architecture: str = ""
    has_text: bool = False
    is_adapter: bool = False

    @property
    def words(self) -> str:
        """What a person calls it, with its article; empty if it is nothing known."""
        if self.architecture:
            return f"a picture model ({LABELS[self.architecture]})"
        if self.kind is not None:
            return self.kind.words
        return "an adapter (LoRA)" if self.is_adapter else ""

    def is_at_home(self, architecture: str, field: str, kinds: tuple[str, ...]) -> bool:
        """Whether it belongs into a field, as far as can be told."""
        if field == "denoiser" and self.architecture:
            return self.architecture == architecture
        if field != "vae" and self.has_text and self.architecture == architecture:
            return True  # its loader looks for the encoder inside
        if self.kind is not None and (field == "vae" or not self.architecture):
            return self.kind.id in kinds
        return not self.words


def part_problems(model: Model, facts: ModelFacts | None = None) -> Iterator[Problem]:
    """Yield what is wrong with the files that a job names beside its base model.

    A file that cannot be told is passed over: its loader says more when it reads it.

    Args:
        model: the job's `[model]`.
        facts: of the base model, to compare widths with; None if it was not looked at.
    """
    slots = {"denoiser": ()} | SLOTS[model.architecture]
    for field, kinds in slots.items():
        named = (getattr(model, field) or "").strip()
        words = _wrong(model.architecture, field, kinds, named, facts) if named else ""
        if words:
            yield Problem(f"model.{field}", words)


def _wrong(
    architecture: str, field: str, kinds: tuple[str, ...], named: str, facts: ModelFacts | None
) -> str:
    path = Path(named).expanduser()
    if not path.exists() and is_hub_id(named):
        cached = hub_folder(named)
        if cached is None:
            return ""  # its loader downloads it, or says that it may not
        path = cached
    if not path.exists():
        return f"There is no file or folder {named}. Choose it again."
    try:
        found = _in_folder(path, field) if path.is_dir() else _in_file(path, stamp_of(path))
    except FileProblem as problem:
        return str(problem)
    wanted = option_at(f"model.{field}").label(architecture)
    if not found.is_at_home(architecture, field, kinds):
        mend = _mend(architecture, field)
        return f"{path.name} is {found.words}, and {wanted} is wanted here. {mend}"
    width = _token_width(architecture, kinds, facts)
    if width and found.kind is not None and found.kind.width not in (0, width):
        return (
            f"{path.name} is a T5 that gives {found.kind.width} numbers for a token; the picture "
            f"model takes {width}. {_mend(architecture, field)}"
        )
    return ""


def _token_width(architecture: str, kinds: tuple[str, ...], facts: ModelFacts | None) -> int | None:
    """What the picture model takes of T5, where that is known."""
    if facts is None or facts.architecture != architecture or kinds != ("t5",):
        return None
    return getattr(facts.shape, "context_width", None)


def _mend(architecture: str, field: str) -> str:
    """Which file belongs there, by the name it usually has."""
    for part in PARTS.get(architecture, ()):
        if part.field == field:
            return f"Choose {part.words}."
    if field == "text_encoder_3":
        return "Choose T5-XXL (t5xxl_fp16.safetensors)."
    what = "a VAE" if field == "vae" else "one"
    return f"Choose {what} made for {LABELS[architecture]}."


@lru_cache(maxsize=64)
def _in_file(path: Path, stamp: tuple[int, int]) -> _Found:  # the stamp is a part of the key
    if path.suffix.lower() in PICKLES:
        return _of_shapes(read_pickle_names(path).shapes)
    header = read_header(path)
    lost = lost_scale(header.entries)
    if lost is not None:
        raise FileProblem(without_scale(path.name, lost))
    return _of_shapes({name: info.shape for name, info in header.entries.items()})


def _of_shapes(shapes: Shapes) -> _Found:
    verdict = verdict_of(shapes)
    has_text = any(name.startswith(_TEXT_INSIDE) for name in shapes)
    return _Found(part_kind(shapes), verdict.architecture or "", has_text, verdict.is_adapter)


def _in_folder(folder: Path, field: str) -> _Found:
    """A part's own folder, or a model's folder that has one of that name."""
    inner = folder / field
    path = (inner if inner.is_dir() else folder) / "config.json"
    try:
        config: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return _Found()
    except (OSError, ValueError):
        raise FileProblem(f"{path} cannot be read. Copy the folder again.") from None
    return _Found(_of_config(config)) if isinstance(config, dict) else _Found()


def _of_config(config: dict[str, Any]) -> PartKind | None:
    sort = str(config.get("model_type") or config.get("_class_name") or "")
    if sort in _CONFIG_KINDS:
        kind, words = _CONFIG_KINDS[sort]
        return PartKind(kind, words, f"its config says {sort}")
    if sort in ("clip", "clip_text_model"):
        return clip_by_width(int(config.get("text_config", config).get("hidden_size", 0)))
    if sort in ("t5", "umt5", "mt5"):
        return t5_by_table(int(config.get("vocab_size", 0)), int(config.get("d_model", 0)))
    if sort == "AutoencoderKL":
        return vae_by_channels(int(config.get("latent_channels", 4)))
    return None
