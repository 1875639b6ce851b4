"""HunyuanImage-2.1's text encoders out of a folder or a file of their own (training-dit 3.1, 3.3).

Of Qwen2.5-VL nothing is read that the states do not pass through: no vision tower, no output head,
and not the last two layers, 6.6 of its 8.3 billion numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.architectures.architecture import ModelProblem
from engine.architectures.hunyuan_image.files import CONFIGS
from engine.architectures.loading.assemble import not_whole
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.folder import incomplete, unreadable
from engine.architectures.text_encoders.t5 import load_t5

QWEN_FILE = "qwen_2.5_vl_7b.safetensors"
GLYPH_FILE = "byt5_small_glyphxl_fp16.safetensors"
LAYERS_AFTER = 2  # of Qwen's layers that come after the states the denoiser was taught to read
BYTE_IDS = 259  # 256 bytes and three signs: fewer rows cannot hold a text
PLAIN_BYT5_ROWS = 384

_FIRST = "layers.0.self_attn."
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.")
_OTHER_PARTS = ("visual.", "lm_head.", "norm.")
_MEND_QWEN = f"Choose {QWEN_FILE} (or its fp8 copy) under Qwen2.5-VL."
_MEND_GLYPHS = f"Choose {GLYPH_FILE} under ByT5."


def load_language_part(path: Path, dtype: torch.dtype, field: str) -> nn.Module:
    """Load Qwen2.5-VL's language part, whose last hidden state is the whole model's third-last.

    Args:
        path: a folder with a config of Qwen2.5-VL, or a `.safetensors` file.
        dtype: of its weights.
        field: the job's field that names the path.

    Raises:
        ModelProblem: if it is another model, broken or not whole.
    """
    if path.is_dir():
        model = _language_part_of_folder(path, dtype, field)
    else:
        model = _language_part_of_file(open_checkpoint(path, field), dtype, field)
    model.norm = nn.Identity()
    return model.eval()


def _language_part_of_folder(folder: Path, dtype: torch.dtype, field: str) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

    kind = _config(folder, field).get("model_type")
    if kind == "qwen2_5_vl":
        config: Any = Qwen2_5_VLConfig.from_pretrained(str(folder)).text_config
    elif kind == "qwen2_5_vl_text":
        config = Qwen2_5_VLTextConfig.from_pretrained(str(folder))
    else:
        raise ModelProblem(
            f"The text encoder in {folder} is {kind}, not Qwen2.5-VL.", _MEND_QWEN, field
        )
    _shorten(config)
    try:
        model, info = Qwen2_5_VLTextModel.from_pretrained(
            str(folder), config=config, dtype=dtype, local_files_only=True,
            output_loading_info=True,
        )  # pyright: ignore[reportGeneralTypeIssues]  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(folder, "", error, field) from None
    missing = set(info["missing_keys"]) - {"norm.weight"}
    if missing:
        raise incomplete(folder, "", missing, field)
    return model


def _language_part_of_file(checkpoint: Checkpoint, dtype: torch.dtype, field: str) -> Any:
    from transformers import Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

    names = _bare(checkpoint)
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    if f"{_FIRST}q_proj.bias" not in shapes or "embed_tokens.weight" not in shapes:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no Qwen2.5-VL text encoder.", _MEND_QWEN, field
        )
    layers = {int(name.split(".")[1]) for name in shapes if name.startswith("layers.")}
    config = Qwen2_5_VLTextConfig.from_dict(_qwen_config(shapes, max(layers) + 1))
    _shorten(config)
    wanted = {
        stored: given
        for stored, given in names.items()
        if not given.startswith("layers.") or int(given.split(".")[1]) < config.num_hidden_layers
    }
    model, info = Qwen2_5_VLTextModel.from_pretrained(
        None, config=config, state_dict=checkpoint.read(wanted, dtype), dtype=dtype,
        output_loading_info=True,
    )  # pyright: ignore[reportGeneralTypeIssues]  # fmt: skip
    wrong = {*info["missing_keys"], *info["unexpected_keys"]} - {"norm.weight"}
    wrong |= {str(key) for key in info["mismatched_keys"]}
    if wrong:
        raise not_whole(checkpoint, "Qwen2.5-VL", wrong, field)
    return model


def _bare(checkpoint: Checkpoint) -> dict[str, str]:
    """{name in the file: name in the language part}, of nothing else."""
    names = {}
    for stored in checkpoint.shapes:
        prefix = next((p for p in _PREFIXES if stored.startswith(p)), "")
        given = stored.removeprefix(prefix)
        if not given.startswith(_OTHER_PARTS):
            names[stored] = given
    return names


def _qwen_config(shapes: Mapping[str, tuple[int, ...]], layers: int) -> dict[str, Any]:
    """The published configuration with the file's own widths; every head has its width."""
    config = json.loads((CONFIGS / "text_encoder" / "config.json").read_text("utf-8"))
    head = config["hidden_size"] // config["num_attention_heads"]
    rows, width = shapes["embed_tokens.weight"]
    return config | {
        "vocab_size": rows,
        "hidden_size": width,
        "intermediate_size": shapes.get("layers.0.mlp.gate_proj.weight", (0,))[0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, shapes[f"{_FIRST}q_proj.bias"][0] // head),
        "num_key_value_heads": max(1, shapes.get(f"{_FIRST}k_proj.bias", (0,))[0] // head),
    }


def _shorten(config: Any) -> None:
    """Leave out the layers that no state passes through."""
    config.num_hidden_layers -= LAYERS_AFTER
    config.layer_types = config.layer_types[: config.num_hidden_layers]


def load_glyph_encoder(path: Path, dtype: torch.dtype, field: str) -> nn.Module:
    """Load the ByT5 that was trained on glyphs, from a folder or a file of its own.

    Raises:
        ModelProblem: if it is another model, broken or not whole.
    """
    if path.is_dir():
        config = _config(path, field)
        rows = int(config["vocab_size"]) if config.get("model_type") == "t5" else 0
    else:
        shapes = open_checkpoint(path, field).shapes
        table = shapes.get("shared.weight") or shapes.get("encoder.embed_tokens.weight") or (0,)
        rows = table[0] if "encoder.block.0.layer.0.SelfAttention.q.weight" in shapes else 0
    if rows < BYTE_IDS:
        raise ModelProblem(f"{path.name} holds no ByT5 text encoder.", _MEND_GLYPHS, field)
    if rows == PLAIN_BYT5_ROWS or rows > 10_000:
        kind = "the plain ByT5" if rows == PLAIN_BYT5_ROWS else "a T5 that reads words"
        raise ModelProblem(
            f"{path.name} is {kind}; HunyuanImage needs the one trained on glyphs.",
            _MEND_GLYPHS,
            field,
        )
    return load_t5(str(path), path, None, "", dtype, offline=True, field=field)


def _config(folder: Path, field: str) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise ModelProblem(
            f"{folder} holds no text encoder (no config.json that can be read).",
            "Choose the encoder's folder or file.",
            field,
        ) from None
