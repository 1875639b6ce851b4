"""The queue on disk: frozen jobs in their order, kept over restarts."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.schema.job_file import save_job
from engine.schema.options import get_at
from engine.schema.whole_file import write_whole


@dataclass(frozen=True)
class QueueItem:
    """A job to run: its frozen file, or the run folder to go on with.

    `directory` is set once its engine has told its run folder; an item that still has one when
    the list is read was cut off with the window.
    """

    identity: str
    name: str
    job_file: str
    resume: str = ""
    sets: tuple[str, ...] = ()  # `--set` texts
    directory: str = ""

    def arguments(self) -> list[str]:
        """The engine's command line after `main.py`."""
        words = ["train", self.job_file, "--events"]
        if self.resume:
            words += ["--resume", self.resume]
        for text in self.sets:
            words += ["--set", text]
        return words


class RunQueue:
    """The waiting jobs in order. Every change is on disk when it returns.

    A job is copied when it is queued: later edits of the form do not reach it (spec: gui 0.5).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._list = directory / "queue.json"
        self.items: list[QueueItem] = []
        self.cut_off: list[QueueItem] = []
        for item in self._read():
            (self.cut_off if item.directory else self.items).append(item)

    def add(self, data: Mapping[str, Any], first: bool = False) -> QueueItem:
        """Freeze a job and put it at the end, or at the front."""
        identity = uuid.uuid4().hex[:12]
        name = str(get_at(data, "output.name") or "") or name_from_folder(data)
        file = self._directory / f"{identity}.toml"
        save_job(file, data)
        return self._insert(QueueItem(identity, name, str(file)), first)

    def add_resume(self, run: Path, name: str, sets: tuple[str, ...]) -> QueueItem:
        """Put going on with a run at the front."""
        identity = uuid.uuid4().hex[:12]
        item = QueueItem(identity, name, str(run / "job.toml"), str(run), sets)
        return self._insert(item, True)

    def move(self, identity: str, to: int) -> None:
        """Put an item at another place."""
        at = self._index(identity)
        if at is not None:
            self.items.insert(max(0, min(to, len(self.items))), self.items.pop(at))
            self.save()

    def remove(self, identity: str) -> None:
        """Take an item out and delete its frozen job."""
        at = self._index(identity)
        if at is not None:
            self.forget(self.items.pop(at))

    def forget(self, item: QueueItem) -> None:
        """Delete the frozen job of an item that is no longer needed."""
        self.cut_off = [other for other in self.cut_off if other.identity != item.identity]
        self.save()
        if not item.resume:
            with contextlib.suppress(OSError):
                Path(item.job_file).unlink(missing_ok=True)

    def save(self, running: QueueItem | None = None) -> None:
        """Write the list; the running item stands in front of it."""
        items = [*self.cut_off, *([running] if running is not None else []), *self.items]
        text = json.dumps([asdict(item) for item in items], indent=1)
        write_whole(self._list, text.encode())

    def _insert(self, item: QueueItem, first: bool) -> QueueItem:
        self.items.insert(0 if first else len(self.items), item)
        self.save()
        return item

    def _index(self, identity: str) -> int | None:
        return next((i for i, item in enumerate(self.items) if item.identity == identity), None)

    def _read(self) -> list[QueueItem]:
        try:
            rows = json.loads(self._list.read_text(encoding="utf-8"))
            items = [QueueItem(**{**row, "sets": tuple(row["sets"])}) for row in rows]
        except (OSError, ValueError, TypeError, KeyError):
            return []
        return [item for item in items if Path(item.job_file).is_file()]


def name_from_folder(data: Mapping[str, Any]) -> str:
    """The name a run without one gets: its first picture folder's."""
    folder = str(get_at(data, "dataset.folders[0].path") or "")
    return Path(folder).name or "run"


def with_directory(item: QueueItem, directory: Path) -> QueueItem:
    """The item, with the run folder its engine told."""
    return replace(item, directory=str(directory))


def set_text(path: str, value: object) -> str:
    """A `--set` text for a value; None is written "off"."""
    return f"{path}={json.dumps('off' if value is None else value, ensure_ascii=False)}"
