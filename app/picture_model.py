"""The dataset's pictures as a list model: rows filtered, captions with undo, problems as badges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from PySide6.QtGui import QUndoCommand, QUndoStack

from app.caption_file import BulkEdit, Caption, CaptionError, read_caption, save_caption, tags_of
from app.picture_filter import Entry, FilterError, Test, parse_filter

Index = QModelIndex | QPersistentModelIndex
ROW = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class Picture:
    """One picture of a folder; sizes as it is shown (upright), 0 where unknown."""

    path: str
    caption_path: str  # where its caption is or would be
    folder: int  # index into dataset.folders
    width: int = 0
    height: int = 0
    problem: str = ""  # why it will be left out, or a warning
    separator: str = ","

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


class PictureModel(QAbstractListModel):
    """Pictures of all folders; captions are read when first asked for.

    Signals:
        captions_changed(paths): captions of these pictures are other ones now.
        filter_failed(words): the filter line cannot be read; the former one stays.
        save_failed(words): a caption could not be written.
        counts_changed: rows or tags were added or removed.
    """

    captions_changed = Signal(list)
    filter_failed = Signal(str)
    save_failed = Signal(str)
    counts_changed = Signal()

    def __init__(self, undo: QUndoStack, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._undo = undo
        self._all: list[Picture] = []
        self._rows: list[Picture] = []
        self._captions: dict[str, Caption] = {}
        self._test: Test | None = None
        self._filter = ""

    # --- rows ----------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        picture = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return picture.name
        if role == Qt.ItemDataRole.ToolTipRole:
            size = f"\n{picture.width} × {picture.height}" if picture.width else ""
            problem = f"\n{picture.problem}" if picture.problem else ""
            return f"{picture.path}{size}{problem}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            caption = self.caption(picture).text or self.tr("no caption")
            return f"{picture.name}, {caption}. {picture.problem}".strip()
        return picture if role == ROW else None

    def set_pictures(self, pictures: Sequence[Picture]) -> None:
        """Show other pictures; captions already read stay where the files are the same."""
        self.beginResetModel()
        self._all = list(pictures)
        known = {p.caption_path for p in pictures}
        self._captions = {path: c for path, c in self._captions.items() if path in known}
        self._rows = self._passing()
        self.endResetModel()
        self.counts_changed.emit()

    @property
    def pictures(self) -> Sequence[Picture]:
        """All pictures, filtered out ones too."""
        return self._all

    @property
    def shown(self) -> Sequence[Picture]:
        """The pictures that pass the filter."""
        return self._rows

    def set_filter(self, text: str) -> None:
        """Show only pictures that pass; a line that cannot be read changes nothing."""
        try:
            test = parse_filter(text) if text.strip() else None
        except FilterError as error:
            self.filter_failed.emit(str(error))
            return
        self.filter_failed.emit("")
        self._test, self._filter = test, text
        self._refilter()

    def _refilter(self) -> None:
        rows = self._passing()
        if rows != self._rows:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()
            self.counts_changed.emit()

    def _passing(self) -> list[Picture]:
        if self._test is None:
            return list(self._all)
        return [p for p in self._all if self._test(self.entry(p))]

    def entry(self, picture: Picture) -> Entry:
        """What filters see of a picture."""
        return Entry(
            picture.name, self.caption(picture).text, picture.width, picture.height,
            picture.problem, picture.separator,
        )  # fmt: skip

    def set_problem(self, path: str, words: str) -> None:
        """Mark a picture, as when its file turns out to be none."""
        for rows in (self._all, self._rows):
            for row, picture in enumerate(rows):
                if picture.path == path and not picture.problem:
                    rows[row] = replace(picture, problem=words)
        self._touch([path])

    def _touch(self, paths: Iterable[str]) -> None:
        wanted = set(paths)
        for row, picture in enumerate(self._rows):
            if picture.path in wanted:
                self.dataChanged.emit(self.index(row), self.index(row))

    # --- captions ------------------------------------------------------------------------------

    def caption(self, picture: Picture) -> Caption:
        """The caption, read from its file when first asked for."""
        found = self._captions.get(picture.caption_path)
        if found is None:
            try:
                found = read_caption(Path(picture.caption_path))
            except CaptionError as error:
                found = Caption("", warning=str(error))
            self._captions[picture.caption_path] = found
        return found

    def forget_captions(self, caption_paths: Iterable[str] | None = None) -> list[str]:
        """Read captions anew: files changed outside. Returns the paths of changed pictures."""
        changed = []
        paths = set(self._captions if caption_paths is None else caption_paths)
        for picture in self._all:
            if picture.caption_path in paths and picture.caption_path in self._captions:
                before = self._captions.pop(picture.caption_path)
                if self.caption(picture).raw != before.raw:
                    changed.append(picture.path)
        if changed:
            self._touch(changed)
            self.captions_changed.emit(changed)
            self.counts_changed.emit()
        return changed

    def set_caption(self, picture: Picture, text: str) -> None:
        """Save one caption at once; undo brings the former text back."""
        self.set_captions({picture.path: text}, self.tr("caption of %s") % picture.name)

    def set_captions(self, texts: Mapping[str, str], words: str) -> None:
        """Save several captions as one step of undo; unchanged ones are left alone."""
        by_path = {p.path: p for p in self._all}
        changes = [
            (by_path[path], self.caption(by_path[path]).text, text)
            for path, text in texts.items()
            if path in by_path and self.caption(by_path[path]).text != text
        ]
        if changes:
            self._undo.push(_CaptionEdit(self, changes, words))

    def preview(self, edit: BulkEdit, pictures: Sequence[Picture]) -> dict[str, tuple[str, str]]:
        """What a bulk edit would change: picture path → caption before and after."""
        found = {}
        for picture in pictures:
            before = self.caption(picture).text
            after = edit.apply(before)
            if after != before:
                found[picture.path] = (before, after)
        return found

    def write(self, pairs: Sequence[tuple[Picture, str]]) -> None:
        """Save captions without undo; for the steps of undo themselves."""
        done = []
        for picture, text in pairs:
            path = Path(picture.caption_path)
            try:
                self._captions[picture.caption_path] = save_caption(
                    path, self.caption(picture), text
                )
            except CaptionError as error:
                self.save_failed.emit(str(error))
                continue
            done.append(picture.path)
        self._touch(done)
        self.captions_changed.emit(done)
        self.counts_changed.emit()

    def tag_counts(self) -> list[tuple[str, int]]:
        """Tags of all captions with their numbers, most frequent first."""
        counts: Counter[str] = Counter()
        for picture in self._all:
            counts.update(set(tags_of(self.caption(picture).text, picture.separator)))
        return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


class _CaptionEdit(QUndoCommand):
    """Captions written to their files."""

    def __init__(
        self, model: PictureModel, changes: Sequence[tuple[Picture, str, str]], words: str
    ) -> None:
        super().__init__(words)
        self._model, self._changes = model, changes

    def redo(self) -> None:
        """Write the new texts."""
        self._model.write([(picture, after) for picture, _, after in self._changes])

    def undo(self) -> None:
        """Write the former texts."""
        self._model.write([(picture, before) for picture, before, _ in self._changes])
