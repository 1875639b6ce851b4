"""The last session: autosaved a second after each change, taken up at the next start."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.document import Document
from app.preset_store import PresetStore
from engine.schema.job_file import read_toml, to_toml
from engine.schema.problem import JobError
from engine.schema.whole_file import write_whole

AUTOSAVE_MS = 1000


class Session(QObject):
    """Keeps the job being edited in a file of its own, hidden fields and all.

    Signals:
        saved: unix seconds.
        failed: why it could not be saved, in words.
    """

    saved = Signal(float)
    failed = Signal(str)

    def __init__(
        self, document: Document, store: PresetStore, path: Path, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._document, self._store, self._path = document, store, path
        self.saved_at = 0.0
        self._timer = QTimer(self, interval=AUTOSAVE_MS, singleShot=True)
        self._timer.timeout.connect(self.save)
        document.changed.connect(self._timer.start)
        document.replaced.connect(self._timer.start)
        document.file_changed.connect(self._timer.start)

    def save(self) -> None:
        """Write now."""
        self._timer.stop()
        head = {
            "session": {
                "preset": self._document.preset.name,
                "file": str(self._document.path or ""),
            }
        }
        try:
            write_whole(self._path, to_toml(self._document.data, head).encode())
        except OSError as error:
            self.failed.emit(self.tr("The job could not be saved: %s.") % (error.strerror or error))
            return
        self.saved_at = time.time()
        self.saved.emit(self.saved_at)

    def save_if_waiting(self) -> None:
        """Write what is not yet written, as when the window closes."""
        if self._timer.isActive():
            self.save()

    def restore(self) -> bool:
        """Take up the last session; False if there is none that can be read."""
        try:
            data = read_toml(self._path)
        except JobError:
            return False
        about: Any = data.pop("session", {})
        about = about if isinstance(about, dict) else {}
        architecture = str(data.get("model", {}).get("architecture", "sd1"))
        preset = self._store.named(architecture, str(about.get("preset", "")))
        try:
            self._document.replace(data, self.tr("last session"), preset)
        except JobError:
            return False
        self._document.undo_stack.clear()
        file = Path(str(about.get("file") or ""))
        if about.get("file"):
            self._take_up_file(file)
        self.saved_at = self._path.stat().st_mtime
        self._timer.stop()
        return True

    def _take_up_file(self, file: Path) -> None:
        """Remember the named file; it is dirty if it has other values than the session."""
        current = self._document.snapshot()
        try:
            stored = read_toml(file)
            self._document.replace(stored, "")
        except JobError:
            return
        self._document.mark_saved(file)
        self._document.put_all(current)
        self._document.undo_stack.clear()
