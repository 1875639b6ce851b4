"""Another architecture is chosen: its preset, and what is told of values that do not go along."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject

from app.document import Document
from app.preset_store import PresetStore
from app.widgets.notice import Notice
from app.work_area import WorkArea
from engine.schema.architectures import ARCHITECTURES


class ArchitectureChoice(QObject):
    """Changes the architecture of the job, and says what was put aside for switching back."""

    def __init__(self, document: Document, store: PresetStore, work: WorkArea) -> None:
        super().__init__(work)
        self._document, self._store, self._work = document, store, work
        self._notice: Notice | None = None
        document.replaced.connect(self._close_notice)

    def choose(self, architecture: str) -> None:
        """Change the architecture; a preset of the same name is taken where there is one."""
        document, store = self._document, self._store
        former = document.architecture
        preset = store.named(architecture, document.preset.name) or store.default(architecture)
        aside = document.set_architecture(architecture, preset)
        if aside:
            words = self._words_on_files(aside, former, architecture)
            self._work.toast.say(words, self.tr("Undo"), document.undo_stack.undo)
        left = document.not_applying()
        if left:
            labels = ", ".join(o.label(former) for o in left)
            words = self.tr("Kept for switching back, without effect here: %s.") % labels
            self._notice = Notice(words, "info", parent=self._work)
            self._notice.closed.connect(self._forget_notice)
            self._work.add_notice(self._notice)

    def _words_on_files(self, files: Sequence[str], former: str, architecture: str) -> str:
        names = ", ".join(Path(file).name for file in files)
        return (
            self.tr("Taken out, as %1 has parts of its own: %2. Comes back with %3.")
            .replace("%1", ARCHITECTURES[architecture].label)
            .replace("%3", ARCHITECTURES[former].label)
            .replace("%2", names)
        )

    def _close_notice(self) -> None:
        if self._notice is not None:  # it told of another architecture or job
            self._notice.closed.emit()

    def _forget_notice(self) -> None:
        self._notice = None
