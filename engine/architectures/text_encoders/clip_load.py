"""CLIP text encoders out of a folder, a file of their own, or a whole checkpoint (spec: 1.1, 1.4).

Whatever the source, they are the libraries' classes with the file's own widths and depth. Three
layouts are read: transformers' (`text_model.encoder.layers…`, with or without its first word) and
OpenCLIP's (`transformer.resblocks…`), whose projection is stored transposed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.loaders import single_file_utils
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import not_whole
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.folder import incomplete, unreadable, variant_of
from engine.architectures.loading.resources import RESOURCES

CLIP_TOKENIZER = RESOURCES / "tokenizers" / "clip"
HEAD_WIDTH = 64  # of every attention head in these encoders
WRAPPED = "text_model."  # before every name but the projection's, in files and in one class
PROJECTION = "text_projection.weight"
TOKENS, OPEN_CLIP_TOKENS = "embeddings.token_embedding.weight", "token_embedding.weight"
# Say nothing about the weights, or belong to CLIP's other half.
IGNORED = re.compile(r"(.*\.)?position_ids|logit_scale|logit_bias|visual\..*|attn_mask")

Clip = CLIPTextModel | CLIPTextModelWithProjection


@dataclass(frozen=True)
class ClipKind:
    """One of the encoders there are.

    Attributes:
        label: its name, in messages.
        config: its folder in resources/models.
        projected: the pooled output is projected (`CLIPTextModelWithProjection`).
        identity: that projection is the identity, whatever the file holds.
        drop_last: the file's last layer is left out, because the model was trained without.
    """

    label: str
    config: str
    projected: bool = False
    identity: bool = False
    drop_last: bool = False


CLIP_L = ClipKind("CLIP-L", "clip_l")
CLIP_L_IDENTITY = ClipKind("CLIP-L", "clip_l", projected=True, identity=True)
OPEN_CLIP_H = ClipKind("OpenCLIP-H", "clip_h", drop_last=True)
OPEN_CLIP_G = ClipKind("OpenCLIP-G", "clip_g", projected=True)

WIDTH_LABELS = {768: "CLIP-L", 1024: "OpenCLIP-H", 1280: "OpenCLIP-G"}


def load_clip(kind: ClipKind, path: Path, dtype: torch.dtype, field: str) -> Clip:
    """Load an encoder that a person chose: a file of its own, or a folder.

    Args:
        kind: which one it must be.
        path: a `.safetensors` file in either layout, a folder with a config, or a model's folder.
        dtype: of the weights.
        field: the job's field that names the path.

    Raises:
        ModelProblem: if it is another encoder, not whole, or cannot be read.
    """
    if path.is_dir():
        return clip_in_folder(kind, path, dtype, field)
    return clip_in_checkpoint(kind, open_checkpoint(path, field), dtype, field=field)


# Folders


def clip_in_folder(
    kind: ClipKind, folder: Path, dtype: torch.dtype, field: str = "model.path"
) -> Clip:
    """Load an encoder from its folder; without a config there, from `text_encoder` in it.

    Raises:
        ModelProblem: if the folder holds another encoder, or its files are missing or broken.
    """
    if not (folder / "config.json").is_file() and (folder / "text_encoder").is_dir():
        folder = folder / "text_encoder"
    _check_folder_config(kind, folder, field)
    cls = CLIPTextModelWithProjection if kind.projected else CLIPTextModel
    try:
        model, info = cls.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, output_loading_info=True,
            variant=variant_of(folder, "model"),
        )  # pyright: ignore[reportGeneralTypeIssues]  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(folder.parent, folder.name, error, field) from None
    missing = set(info["missing_keys"])
    if kind.identity and PROJECTION in missing:
        _make_identity(model)
        missing.remove(PROJECTION)
    if missing:
        raise incomplete(folder.parent, folder.name, missing, field)
    return model


def _check_folder_config(kind: ClipKind, folder: Path, field: str) -> None:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(folder.parent, folder.name, error, field) from None
    sort = str(config.get("model_type", ""))
    if not sort.startswith("clip"):
        raise _other(kind, folder.name, f"a {sort or 'different'} model", field)
    width = config.get("text_config", config).get("hidden_size")
    _check_width(kind, folder.name, width, field)


# Files


def clip_in_checkpoint(
    kind: ClipKind,
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    prefixes: Sequence[str] = ("",),
    field: str = "model.path",
) -> Clip:
    """Load an encoder from a file of its own or from below a prefix of a whole checkpoint.

    Args:
        kind: which one it must be.
        checkpoint: the file.
        dtype: of the weights; what is stored in fewer bits is cast to it.
        prefixes: where it may lie; the first with anything below is taken.
        field: the job's field that names the file.

    Raises:
        ModelProblem: if it is not there, is another encoder, or is not whole.
    """
    names = next(filter(None, map(checkpoint.below, prefixes)), {})
    names = {stored: _bare(name) for stored, name in names.items()}
    names = {stored: name for stored, name in names.items() if not IGNORED.fullmatch(name)}
    stored = {name: stored for stored, name in names.items()}
    embedding = stored.get(OPEN_CLIP_TOKENS) or stored.get(TOKENS)
    if embedding is None:
        raise _no_clip(kind, checkpoint, stored, field)
    _check_width(kind, checkpoint.path.name, checkpoint.shapes[embedding][-1], field)
    if OPEN_CLIP_TOKENS in stored:
        state = _from_open_clip(kind, checkpoint, names, dtype)
    else:
        state = checkpoint.read(names, dtype)
    return _build(kind, checkpoint, state, dtype, field)


def _bare(name: str) -> str:
    """The flat class's name; some component files keep a member's name before everything."""
    if not name.startswith("transformer.resblocks."):
        name = name.removeprefix("transformer.")
    return name.removeprefix(WRAPPED)


def _no_clip(
    kind: ClipKind, checkpoint: Checkpoint, given: Iterable[str], field: str
) -> ModelProblem:
    """Say what the file is instead of a CLIP."""
    if any(".SelfAttention." in name for name in given):
        return _other(kind, checkpoint.path.name, "a T5 text encoder", field)
    if any("double_blocks." in name or "input_blocks." in name for name in given):
        return _other(kind, checkpoint.path.name, "a picture model", field)
    if any("self_attn." in name and "layers." in name for name in given):
        return _other(kind, checkpoint.path.name, "another language model", field)
    return ModelProblem(
        f"{checkpoint.path.name} holds no text encoder {kind.label}.",
        "Choose the model's whole checkpoint, not its denoiser alone."
        if field == "model.path"
        else f"Choose the file of {kind.label}.",
        field,
    )


def _from_open_clip(
    kind: ClipKind, checkpoint: Checkpoint, names: Mapping[str, str], dtype: torch.dtype
) -> dict[str, Tensor]:
    """The state by the flat class's names: q, k and v apart, the projection turned."""
    unused = set() if kind.projected else {"text_projection"}
    blocks = {int(n.split(".")[2]) for n in names.values() if n.startswith("transformer.resblocks")}
    skipped = f"transformer.resblocks.{max(blocks, default=0)}." if kind.drop_last else " "
    # A prefix of our own: the converter leaves out layers below the one that SD 2.x has.
    prefix = "clip."
    wanted = {
        stored: prefix + name
        for stored, name in names.items()
        if name not in unused and not name.startswith(skipped)
    }
    source = checkpoint.read(wanted, dtype)
    # The converter asks a model only for its width, and there is no model yet.
    width = source[prefix + OPEN_CLIP_TOKENS].shape[1]
    holder = SimpleNamespace(config=SimpleNamespace(hidden_size=width))
    try:
        state = single_file_utils.convert_open_clip_checkpoint(holder, source, prefix)
    except (KeyError, AttributeError):
        raise not_whole(checkpoint, f"text encoder {kind.label}") from None
    return {name.removeprefix(WRAPPED): tensor for name, tensor in state.items()}


def _build(
    kind: ClipKind,
    checkpoint: Checkpoint,
    state: dict[str, Tensor],
    dtype: torch.dtype,
    field: str,
) -> Clip:
    config = _fitted_config(kind, state)
    projection = state.pop(PROJECTION, None)
    if kind.projected:
        state = {WRAPPED + name: tensor for name, tensor in state.items()}
        if kind.identity:
            state[PROJECTION] = torch.eye(config.hidden_size, dtype=dtype)
        elif projection is not None:
            state[PROJECTION] = projection
    cls: Any = CLIPTextModelWithProjection if kind.projected else CLIPTextModel
    model, info = cls.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, output_loading_info=True
    )
    what = f"text encoder {kind.label}"
    if info["missing_keys"] or info["mismatched_keys"]:
        raise _with_field(not_whole(checkpoint, what, info["missing_keys"]), field)
    if info["unexpected_keys"]:
        extra = sorted(info["unexpected_keys"])
        raise ModelProblem(
            f"The {what} of {checkpoint.path.name} has {len(extra)} tensors more than its "
            f"architecture, such as {extra[0]}.",
            f"Choose another file of {kind.label}, in fp16 or fp32.",
            field,
        )
    return model


def _fitted_config(kind: ClipKind, state: Mapping[str, Tensor]) -> CLIPTextConfig:
    """The encoder's published config with the file's own widths and depth."""
    config = CLIPTextConfig.from_pretrained(str(RESOURCES / "models" / kind.config))
    embedding = state.get(TOKENS)
    fc1 = state.get("encoder.layers.0.mlp.fc1.weight")
    projection = state.get(PROJECTION)
    if embedding is not None:
        config.vocab_size, config.hidden_size = embedding.shape
        config.num_attention_heads = max(1, config.hidden_size // HEAD_WIDTH)
    if fc1 is not None:
        config.intermediate_size = fc1.shape[0]
    if kind.identity:
        config.projection_dim = config.hidden_size
    elif projection is not None:
        config.projection_dim = projection.shape[0]
    layers = {int(n.split(".")[2]) for n in state if n.startswith("encoder.layers.")}
    config.num_hidden_layers = max(layers, default=-1) + 1
    return config


def _make_identity(model: Any) -> None:
    """Give an encoder that was saved without a projection one that changes nothing."""
    width, weight = model.config.hidden_size, model.text_projection.weight
    model.text_projection = nn.Linear(width, width, bias=False, dtype=weight.dtype)
    nn.init.eye_(model.text_projection.weight)
    model.config.projection_dim = width


# Messages


def _check_width(kind: ClipKind, name: str, width: int | None, field: str) -> None:
    """Refuse an encoder of another kind by its width; unknown widths (of tests) pass."""
    found = WIDTH_LABELS.get(width or 0)
    if found not in (None, kind.label):
        raise _other(kind, name, found or "", field)


def _other(kind: ClipKind, name: str, found: str, field: str) -> ModelProblem:
    return ModelProblem(
        f"{name} is {found}, but the text encoder {kind.label} is wanted here.",
        f"Choose the file of {kind.label}.",
        field,
    )


def _with_field(problem: ModelProblem, field: str) -> ModelProblem:
    return ModelProblem(problem.message, problem.mend, field)
