"""Previews at full size: read in a worker, a few kept, the neighbours read ahead."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage, QImageReader

from app.worker import in_worker

CAPACITY = 8


class FullPictures(QObject):
    """Gives pictures at once when it has them, and reads the rest in a worker.

    Signals:
        ready: the path of a picture that is there now, or was found unreadable.
    """

    ready = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._images: OrderedDict[str, QImage] = OrderedDict()
        self._asked: set[str] = set()
        self._problems: dict[str, str] = {}

    def get(self, path: Path) -> QImage | None:
        """The picture, or None while it is read or if it cannot be."""
        key = str(path)
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
            return image
        if key not in self._asked and key not in self._problems:
            self._asked.add(key)
            in_worker(self, lambda: _read(key), self._on_read)
        return None

    def problem(self, path: Path) -> str:
        """Why a picture cannot be shown."""
        return self._problems.get(str(path), "")

    def read_ahead(self, paths: Iterable[Path]) -> None:
        """Have pictures ready that will be asked for next."""
        for path in paths:
            self.get(path)

    def forget_all(self) -> None:
        """Another run is shown."""
        self._images.clear()
        self._problems.clear()

    def _on_read(self, read: tuple[str, QImage, str]) -> None:
        path, image, problem = read
        self._asked.discard(path)
        if problem:
            self._problems[path] = problem
        else:
            self._images[path] = image
            while len(self._images) > CAPACITY:
                self._images.popitem(last=False)
        self.ready.emit(path)


def _read(path: str) -> tuple[str, QImage, str]:
    reader = QImageReader(path)
    reader.setAutoTransform(True)
    image = reader.read()
    return path, image, "" if not image.isNull() else reader.errorString()
