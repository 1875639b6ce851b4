"""The tokenizer that Qwen2.5-VL and Qwen3 share: the model's own, or the one that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.resources import RESOURCES

SHIPPED = RESOURCES / "tokenizers" / "qwen"
_FILES = ("tokenizer.json", "vocab.json")


def load_qwen_tokenizer(folder: Path | None = None, field: str = "model.tokenizer") -> Any:
    """Load transformers' Qwen2Tokenizer, padding with `<|endoftext|>` on the right.

    Args:
        folder: where a model has it; the shipped one where there is none.
        field: the job's field that named the folder.

    Raises:
        ModelProblem: if the folder holds no vocabulary, or a broken one.
    """
    from transformers import Qwen2Tokenizer

    if folder is not None and not any((folder / name).is_file() for name in _FILES):
        raise ModelProblem(
            f"{folder.name} holds no tokenizer (neither {' nor '.join(_FILES)}).",
            "Choose the folder 'tokenizer' of the model, or leave it empty.",
            field,
        )
    try:
        tokenizer = Qwen2Tokenizer.from_pretrained(str(folder or SHIPPED), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelProblem(
            f"The tokenizer in {(folder or SHIPPED).name} is broken: {str(error).splitlines()[0]}",
            "Copy the folder again, or leave it empty.",
            field,
        ) from None
    tokenizer.padding_side = "right"
    return tokenizer
