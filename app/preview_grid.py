"""The previews of a run as a table: a row for each prompt, a column for each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QUrl,
)

from app import run_folder
from app.run_model import RunModel
from app.words import duration_words
from app.worker import in_worker
from engine.protocol import Sample

Index = QModelIndex | QPersistentModelIndex
PLANNED = 3  # how many columns to come are drawn


class PreviewGrid(QAbstractTableModel):
    """Column 0 holds the prompts; then come the steps with previews, then those to come."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run: RunModel | None = None
        self.prompts: list[int] = []
        self.steps: list[int] = []
        self.planned: list[int] = []
        self.starred: set[str] = set()  # file names in the run's checkpoints
        self._samples: dict[tuple[int, int], Sample] = {}
        self._known: tuple[int, int, list[int]] = (-1, -1, [])

    def set_run(self, run: RunModel | None) -> None:
        """Show another run."""
        if self.run is not None:
            self.run.updated.disconnect(self.refresh)
            self.run.reloaded.disconnect(self.refresh)
        self.run = run
        self._known = (-1, -1, [])
        if run is not None:
            run.updated.connect(self.refresh)
            run.reloaded.connect(self.refresh)
        self.starred = set()
        self.refresh()
        self.read_stars()

    def refresh(self) -> None:
        """Take in new previews; nothing is reset when there are none."""
        samples = self.run.state.samples if self.run is not None else []
        planned = self._planned_steps()
        known = (len(samples), id(samples[-1]) if samples else 0, planned)
        if known == self._known:
            return
        self._known = known
        found = {(s.prompt_index, s.step): s for s in samples}
        prompts = sorted({s.prompt_index for s in samples})
        steps = sorted({s.step for s in samples})
        if (prompts, steps, planned) == (self.prompts, self.steps, self.planned):
            self._samples = found
            if prompts:
                last = self.index(len(prompts) - 1, self.columnCount() - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self._samples, self.prompts, self.steps, self.planned = found, prompts, steps, planned
        self.endResetModel()

    def _planned_steps(self) -> list[int]:
        """The next steps that will have previews, by the run's own settings."""
        if self.run is None or self.run.state.is_over or not self.run.state.samples:
            return []
        state, hello = self.run.state, self.run.state.hello
        per_epoch = hello.steps_per_epoch if hello is not None else 0
        every = run_folder.every_steps(self.run.settings, "samples", per_epoch)
        if not every or not state.total_steps:
            return []
        last = max(s.step for s in state.samples)
        first = (max(last, state.step) // every + 1) * every
        return list(range(first, state.total_steps + 1, every))[:PLANNED]

    # What is where

    def sample(self, prompt: int, step: int) -> Sample | None:
        """The preview of a prompt at a step."""
        return self._samples.get((prompt, step))

    def sample_at(self, index: Index) -> Sample | None:
        """The preview of a cell."""
        step = self.step_of(index.column())
        if step is None or not 0 <= index.row() < len(self.prompts):
            return None
        return self.sample(self.prompts[index.row()], step)

    def step_of(self, column: int) -> int | None:
        """The step of a column, None for the prompts'."""
        steps = [*self.steps, *self.planned]
        return steps[column - 1] if 1 <= column <= len(steps) else None

    def is_planned(self, column: int) -> bool:
        """Whether the column's previews are still to come."""
        return column > len(self.steps)

    def index_of(self, prompt: int, step: int) -> QModelIndex:
        """The cell of a preview."""
        if prompt not in self.prompts or step not in self.steps:
            return QModelIndex()
        return self.index(self.prompts.index(prompt), self.steps.index(step) + 1)

    def path_of(self, sample: Sample) -> Path | None:
        """The picture file of a preview."""
        return self.run.file(sample.path) if self.run is not None else None

    def first_of(self, prompt: int) -> Sample | None:
        """Any preview of a prompt, for its words and seed."""
        return next((s for (p, _), s in self._samples.items() if p == prompt), None)

    def planned_words(self, step: int) -> tuple[str, str]:
        """When a column to come will be there: in steps, and in time."""
        if self.run is None:
            return ("", "")
        left = max(0, step - self.run.state.step)
        speed = self.run.state.seconds_per_step
        return (
            self.tr("in {0} steps").format(f"{left:,}"),
            duration_words(left * speed) if speed else "",
        )

    # Stars

    def file_of(self, step: int) -> Path | None:
        """The adapter file saved at a step."""
        files = self.run.state.files() if self.run is not None else []
        found = [c for c in files if c.step == step]
        return self.run.file(found[-1].path) if found and self.run is not None else None

    def is_starred(self, step: int) -> bool:
        """Whether the file of a step is kept from deletion."""
        file = self.file_of(step)
        return file is not None and file.name in self.starred

    def toggle_star(self, step: int) -> bool:
        """Keep the file of a step for good, or no longer. False: there is no file."""
        file = self.file_of(step)
        if file is None:
            return False
        on = file.name not in self.starred
        (self.starred.add if on else self.starred.discard)(file.name)
        self._tell_all()
        in_worker(self, lambda: run_folder.set_star(file, on), lambda _: self.read_stars(),
                  lambda _: self.read_stars())  # fmt: skip
        return True

    def read_stars(self) -> None:
        """Read which files are starred; a star is a file beside the adapter file."""
        if self.run is not None and self.run.directory is not None:
            directory = self.run.directory
            in_worker(self, lambda: run_folder.stars(directory), self._on_stars)

    def _on_stars(self, starred: set[str]) -> None:
        if starred != self.starred:
            self.starred = starred
            self._tell_all()

    def _tell_all(self) -> None:
        if self.columnCount() > 1:
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, self.columnCount() - 1)
            last = self.index(self.rowCount() - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    # Qt's questions

    def rowCount(self, parent: Index | None = None) -> int:
        """Prompts."""
        return 0 if parent is not None and parent.isValid() else len(self.prompts)

    def columnCount(self, parent: Index | None = None) -> int:
        """The prompts' column and one a step."""
        if parent is not None and parent.isValid():
            return 0
        return 1 + len(self.steps) + len(self.planned) if self.prompts else 0

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Words for screen readers and tooltips; pictures are painted by the delegate."""
        if not index.isValid():
            return None
        if index.column() == 0:
            first = self.first_of(self.prompts[index.row()])
            if first is None or role not in (
                Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole,
                Qt.ItemDataRole.AccessibleTextRole,
            ):  # fmt: skip
                return None
            return first.prompt
        sample = self.sample_at(index)
        if sample is None:
            return None
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{step_words(sample.step)}: {sample.prompt}"
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Base model, Step 250 …"""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            step = self.step_of(section)
            return "" if step is None else step_words(step)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Pictures can be chosen and dragged out."""
        if self.sample_at(index) is None:
            return Qt.ItemFlag.ItemIsEnabled
        chosen = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return chosen | Qt.ItemFlag.ItemIsDragEnabled

    def mimeData(self, indexes: Any) -> QMimeData:
        """The picture files themselves."""
        data = QMimeData()
        paths = [self.path_of(s) for i in indexes if (s := self.sample_at(i)) is not None]
        data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths if path is not None])
        return data


def step_words(step: int) -> str:
    """A column's title."""
    return "Base model" if step == 0 else f"Step {step:,}"
