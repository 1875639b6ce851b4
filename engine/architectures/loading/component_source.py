"""Where a part of a model lies: in the base model's folder or file, or in one of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.folder import locate
from engine.plan.detect import ModelFacts
from engine.plan.parts import MENDS, unnamed, words_on


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


def require_parts(facts: ModelFacts, base: Source, loading: Loading) -> None:
    """Say at once which files a base model's file needs beside it.

    Raises:
        ModelProblem: naming them all, with where they come from; its field is the first one's.
    """
    lacking = unnamed(facts.absent, loading.model)
    if lacking:
        words, mend = words_on(base.path.name, lacking), MENDS[loading.architecture]
        raise ModelProblem(words, mend, f"model.{lacking[0].field}")


def _open(path: str, loading: Loading, field: str) -> Source:
    found = locate(path, offline=loading.offline, field=field)
    return Source(found, open_checkpoint(found, field) if found.is_file() else None, field)
