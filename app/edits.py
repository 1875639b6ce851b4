"""The steps of undo: values set, and everything replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QUndoCommand

from engine.schema.presets import Preset

if TYPE_CHECKING:
    from app.document import Document

Pairs = Sequence[tuple[str, Any]]
_SET_ID = 1


@dataclass(frozen=True)
class Snapshot:
    """A whole job with the preset it is compared to."""

    preset: Preset
    data: dict[str, Any]


class SetEdit(QUndoCommand):
    """Values at some paths; edits of the same paths that follow each other become one."""

    def __init__(self, document: Document, pairs: Pairs, former: Pairs, text: str) -> None:
        super().__init__(text)
        self._document, self._pairs, self._former = document, pairs, former
        self._merging = document.take_merging()

    def redo(self) -> None:
        """Set the new values."""
        self._document.put(self._pairs)

    def undo(self) -> None:
        """Set the former values."""
        self._document.put(self._former)

    def id(self) -> int:
        """One id for all, so that Qt asks `mergeWith`."""
        return _SET_ID

    def mergeWith(self, other: QUndoCommand) -> bool:
        """Take in a later edit of the same paths."""
        if not isinstance(other, SetEdit) or not other._merging:
            return False
        if [p for p, _ in self._pairs] != [p for p, _ in other._pairs]:
            return False
        self._pairs = other._pairs
        self.setText(other.text())
        self.setObsolete(list(self._pairs) == list(self._former))
        return True


class ReplaceEdit(QUndoCommand):
    """Another job, preset or architecture in place of all values."""

    def __init__(self, document: Document, new: Snapshot, old: Snapshot, text: str) -> None:
        super().__init__(text)
        self._document, self._new, self._old = document, new, old

    def redo(self) -> None:
        """Take over the new values."""
        self._document.put_all(self._new)

    def undo(self) -> None:
        """Take the old values back."""
        self._document.put_all(self._old)
