"""Where a part of a model lies: in the base model's folder or file, or in one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.folder import locate


@dataclass(frozen=True)
class Source:
    """A folder, or a file that is open.

    Attributes:
        path: of it.
        checkpoint: the file; None for a folder.
        field: the job's field that names it.
    """

    path: Path
    checkpoint: Checkpoint | None
    field: str

    @property
    def is_base(self) -> bool:
        """It is the base model, which may hold other parts too."""
        return self.field == "model.path"


@dataclass(frozen=True)
class Needed:
    """A part that a base model's file may lack.

    Attributes:
        key: the field of `[model]` that can name it.
        what: what people call it, and the file it is published as.
        inside: what its tensors begin with in a file that holds the whole model.
    """

    key: str
    what: str
    inside: tuple[str, ...]


def base_source(loading: Loading) -> Source:
    """The job's base model, opened.

    Raises:
        ModelProblem: if it is not there, or is no checkpoint.
    """
    return _open(loading.model.path, loading, "model.path")


def source_of(key: str, base: Source, loading: Loading) -> Source:
    """The file or folder that a field of `[model]` names, or else the base model.

    Raises:
        ModelProblem: if what is named is not there, or is no checkpoint.
    """
    named = getattr(loading.model, key)
    return _open(named, loading, f"model.{key}") if named else base


def require_parts(base: Source, loading: Loading, parts: Sequence[Needed], published: str) -> None:
    """Say at once which files a base model's file needs beside it.

    Raises:
        ModelProblem: naming them all, with where they come from; its field is the first one's.
    """
    if base.checkpoint is None:
        return
    names = base.checkpoint.shapes
    missing = [
        part
        for part in parts
        if not getattr(loading.model, part.key)
        and not any(name.startswith(part.inside) for name in names)
    ]
    if missing:
        raise ModelProblem(
            f"{base.path.name} holds only the picture model; it also needs "
            f"{' and '.join(part.what for part in missing)}.",
            f"Give them in the fields of these names. {published}",
            f"model.{missing[0].key}",
        )


def _open(path: str, loading: Loading, field: str) -> Source:
    found = locate(path, offline=loading.offline, field=field)
    return Source(found, open_checkpoint(found, field) if found.is_file() else None, field)
