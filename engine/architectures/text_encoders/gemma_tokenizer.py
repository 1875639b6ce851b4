"""Gemma's tokenizer: from a folder, out of the text encoder's file, or from the hub's cache.

Its licence does not let it be shipped. ComfyUI's files of Gemma carry the SentencePiece model as a
tensor of bytes beside the weights (spec: training-dit 2.1).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.text_encoders.language_model import SPIECE
from engine.plan.detect import hub_folder

FIELD = "model.tokenizer"
FILES = ("tokenizer.json", "tokenizer.model")
REPOSITORIES = (
    "Alpha-VLLM/Lumina-Image-2.0", "google/gemma-2-2b", "google/gemma-2-2b-it", "unsloth/gemma-2-2b"
)  # fmt: skip
"""Repositories of the hub that hold it, at their top or in a folder `tokenizer`."""

_OPTIONS = {"add_bos_token": True, "padding_side": "right"}
# The library's own defaults for a bare SentencePiece model: no <bos>, and padding on the left.


def load_gemma_tokenizer(
    chosen: str | None, folders: tuple[Path, ...], checkpoints: tuple[Checkpoint, ...]
) -> Any:
    """Load transformers' GemmaTokenizer, with <bos> in front and padding on the right.

    Args:
        chosen: the folder that the job names.
        folders: of the model and of the text encoder, where it may lie.
        checkpoints: files that may carry it.

    Raises:
        ModelProblem: if it is nowhere, with where it comes from; or if it is broken.
    """
    if chosen:
        return _from_folder(Path(chosen).expanduser())
    found = next(_places(folders), None)
    if found is not None:
        return _from_folder(found)
    for checkpoint in checkpoints:
        name = next((n for n in checkpoint.shapes if n.rpartition(".")[2] == SPIECE), None)
        if name is not None:
            return _from_bytes(checkpoint, name)
    cached = (hub_folder(repository) for repository in REPOSITORIES)
    found = next(_places(tuple(folder for folder in cached if folder is not None)), None)
    if found is not None:
        return _from_folder(found)
    raise ModelProblem(
        "The tokenizer of Gemma 2 is not there: neither in the model, nor in the text encoder's "
        "file, nor in the hub's cache.",
        "Choose a folder with tokenizer.json or tokenizer.model of Gemma 2 2B under Tokenizer; it "
        "is the folder 'tokenizer' of Alpha-VLLM/Lumina-Image-2.0. Graft may not ship it.",
        FIELD,
    )


def _places(folders: tuple[Path, ...]) -> Iterator[Path]:
    for folder in folders:
        for place in (folder / "tokenizer", folder):
            if any((place / name).is_file() for name in FILES):
                yield place


def _from_folder(folder: Path) -> Any:
    from transformers import GemmaTokenizer

    if not any((folder / name).is_file() for name in FILES):
        words = f"{folder.name} holds no tokenizer (neither {' nor '.join(FILES)})."
        raise ModelProblem(words, "Choose the folder 'tokenizer' of the model.", FIELD)
    try:
        return GemmaTokenizer.from_pretrained(str(folder), local_files_only=True, **_OPTIONS)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelProblem(
            f"The tokenizer in {folder.name} is broken: {str(error).splitlines()[0]}",
            "Copy the folder again.",
            FIELD,
        ) from None


def _from_bytes(checkpoint: Checkpoint, name: str) -> Any:
    """Read the SentencePiece model that lies among a file's tensors."""
    content = checkpoint.read({name: name})[name].numpy().tobytes()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / checkpoint.path.stem
        folder.mkdir()
        (folder / FILES[1]).write_bytes(content)
        return _from_folder(folder)
