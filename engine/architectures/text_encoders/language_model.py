"""Gemma 2 and Qwen3 as text encoders: out of a folder, a file, or a whole model's file.

Widths are read off the tensors, so smaller ones of the same build load too (spec: training-dit 1.3,
1.4, 2.1, 4.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import not_whole
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.loading.component_source import Source
from engine.architectures.loading.folder import incomplete, unreadable, variant_of
from engine.architectures.loading.resources import RESOURCES
from engine.plan.part_names import part_kind
from engine.plan.sites.language_model import count_blocks

FIELD = "model.text_encoder"
PART = "text_encoder"
HEAD = "layers.0.self_attn.q_norm.weight"
SPIECE = "spiece_model"
"""The name under which ComfyUI's files carry a tokenizer, beside the weights."""


@dataclass(frozen=True)
class Kind:
    """A language model that reads captions.

    Attributes:
        label: what people call it.
        classes: transformers' classes of its configuration and of the model without its last layer.
        type: what a config.json calls it.
        config: our folder with the published sizes.
        telling: a tensor that its relatives lack.
        foreign: a tensor that only a relative has.
        inside: what its tensors begin with in files that hold a whole model.
        mend: where a person finds it.
    """

    label: str
    classes: tuple[str, str]
    type: str
    config: Path
    telling: str
    foreign: str
    inside: str
    mend: str


GEMMA2 = Kind(
    label="Gemma 2",
    classes=("Gemma2Config", "Gemma2Model"),
    type="gemma2",
    config=RESOURCES / "models" / "lumina2" / "text_encoder",
    telling="layers.0.pre_feedforward_layernorm.weight",
    foreign=HEAD,
    inside="text_encoders.gemma2_2b.transformer.",
    mend="Choose Gemma 2 2B under Gemma 2: the file gemma_2_2b (ComfyUI's Lumina 2 files) or the "
    "folder text_encoder of Lumina-Image-2.0.",
)
QWEN3 = Kind(
    label="Qwen3",
    classes=("Qwen3Config", "Qwen3Model"),
    type="qwen3",
    config=RESOURCES / "models" / "anima" / "text_encoder",
    telling=HEAD,
    foreign="layers.0.pre_feedforward_layernorm.weight",
    inside="text_encoders.qwen3_06b.transformer.",
    mend="Choose Qwen3 0.6B under Qwen3: the file qwen_3_06b_base as Anima is published with, or "
    "the folder of Qwen3-0.6B.",
)


def require_language_model(kind: Kind, source: Source) -> None:
    """Look without loading whether the right model is there.

    Raises:
        ModelProblem: if it is not, or another one is.
    """
    if source.checkpoint is not None:
        _names(kind, source.checkpoint, alone=not source.is_base)
        return
    folder = _folder_of(source)
    path = folder / "config.json"
    if not path.is_file():
        words = f"{folder.name} holds no text encoder, and the job names none."
        raise ModelProblem(words, kind.mend, FIELD)
    found = json.loads(path.read_text("utf-8")).get("model_type")
    if found != kind.type:
        words = f"The text encoder in {folder.name} is {found}, not {kind.label}."
        raise ModelProblem(words, kind.mend, FIELD)


def load_language_model(kind: Kind, source: Source, dtype: torch.dtype) -> Any:
    """Load the model in eval mode, without the layer that would give words.

    Args:
        kind: which it must be.
        source: the base model, or the file or folder that the job names for it.
        dtype: of its weights.

    Raises:
        ModelProblem: if it is not there, broken, or another model.
    """
    require_language_model(kind, source)
    if source.checkpoint is not None:
        return _from_file(kind, source.checkpoint, dtype, alone=not source.is_base)
    return _from_folder(kind, _folder_of(source), dtype)


def _folder_of(source: Source) -> Path:
    inner = source.path / PART
    return inner if inner.is_dir() else source.path


def _from_folder(kind: Kind, folder: Path, dtype: torch.dtype) -> Any:
    import transformers

    try:
        model, info = getattr(transformers, kind.classes[1]).from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, output_loading_info=True,
            variant=variant_of(folder, "model"),
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(folder.parent, folder.name, error, FIELD) from None
    if info["missing_keys"]:
        raise incomplete(folder.parent, folder.name, info["missing_keys"], FIELD)
    return model.eval()


def _from_file(kind: Kind, checkpoint: Checkpoint, dtype: torch.dtype, *, alone: bool) -> Any:
    import transformers

    names = _names(kind, checkpoint, alone=alone)
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    try:
        config = getattr(transformers, kind.classes[0])(**_fitted(kind, shapes))
    except (KeyError, ZeroDivisionError):
        raise not_whole(checkpoint, kind.label) from None
    model, info = getattr(transformers, kind.classes[1]).from_pretrained(
        None, config=config, state_dict=checkpoint.read(names, dtype), dtype=dtype,
        output_loading_info=True,
    )  # fmt: skip
    if info["missing_keys"] or info["mismatched_keys"]:
        raise not_whole(checkpoint, kind.label, info["missing_keys"])
    return model.eval()


def _names(kind: Kind, checkpoint: Checkpoint, *, alone: bool) -> dict[str, str]:
    """Name in the file → name in the class, of the tensors that are needed."""
    prefixes = ("", "model.") if alone else (kind.inside, f"{kind.inside}model.")
    prefix = next((p for p in prefixes if f"{p}{kind.telling}" in checkpoint.shapes), None)
    if prefix is None or f"{prefix}{kind.foreign}" in checkpoint.shapes:
        raise _not_it(kind, checkpoint, alone=alone)
    wanted = (f"{prefix}layers.", f"{prefix}embed_tokens.", f"{prefix}norm.")
    return {n: n.removeprefix(prefix) for n in checkpoint.shapes if n.startswith(wanted)}


def _not_it(kind: Kind, checkpoint: Checkpoint, *, alone: bool) -> ModelProblem:
    name = checkpoint.path.name
    if not alone:
        words = f"{name} holds no text encoder, and the job names none."
        return ModelProblem(words, kind.mend, FIELD)
    found = part_kind(checkpoint.shapes)
    told = f"This is {found.words}" if found else "It is another model"
    return ModelProblem(f"{name} is not {kind.label}. {told}.", kind.mend, FIELD)


def _fitted(kind: Kind, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The published configuration with the file's own sizes."""
    config = json.loads((kind.config / "config.json").read_text("utf-8"))
    head = shapes[HEAD][0] if HEAD in shapes else config["head_dim"]
    query, key = (shapes[f"layers.0.self_attn.{part}_proj.weight"][0] for part in "qk")
    vocabulary, width = shapes["embed_tokens.weight"]
    return config | {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": shapes["layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": count_blocks(shapes, "layers."),
        "num_attention_heads": query // head,
        "num_key_value_heads": key // head,
        "head_dim": head,
    }
