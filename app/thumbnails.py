"""Small pictures for grids, made off the window's thread and kept on disk.

A thumbnail is found by path, time and size of its file, so an edited picture gets a new one.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QImage, QImageReader, QPixmap

from app.worker import in_worker
from engine.schema.whole_file import write_whole

SIDE_PX = 256
_MAX_PIXELS = 300_000_000  # beyond this a header is a trap, not a photograph
_ALLOCATION_MB = 1300
_AT_ONCE = 2


class Thumbnails(QObject):
    """Gives pixmaps at once when it has them, and asks the workers for the rest.

    Signals:
        ready(path): the thumbnail of that file is there now.
        failed(path, words): the file is no picture that can be shown.
    """

    ready = Signal(str)
    failed = Signal(str, str)

    def __init__(self, cache: Path | None, capacity: int = 2000, parent: QObject | None = None):
        super().__init__(parent)
        self._cache = cache
        self._capacity = capacity
        self._pixmaps: OrderedDict[str, QPixmap] = OrderedDict()
        self._waiting: dict[str, None] = {}  # what was asked for last is visible now: it goes first
        self._working: set[str] = set()
        self._failed: dict[str, str] = {}

    @property
    def asked(self) -> int:
        """How many thumbnails are being made or wait for it."""
        return len(self._waiting) + len(self._working)

    def get(self, path: str) -> QPixmap | None:
        """The thumbnail, or None while it is being made or cannot be."""
        found = self._pixmaps.get(path)
        if found is not None:
            self._pixmaps.move_to_end(path)
            return found
        if path not in self._working and path not in self._failed:
            self._waiting.pop(path, None)
            self._waiting[path] = None
            self._start_next()
        return None

    def problem(self, path: str) -> str:
        """Why a file has no thumbnail; empty if it has one or is not yet looked at."""
        return self._failed.get(path, "")

    def forget(self, path: str) -> None:
        """Look at a file anew: it changed."""
        self._pixmaps.pop(path, None)
        self._failed.pop(path, None)

    def stop(self) -> None:
        """Drop what waits, as another folder is shown or the window closes."""
        self._waiting.clear()
        self._working.clear()

    def _start_next(self) -> None:
        while self._waiting and len(self._working) < _AT_ONCE:
            path, _ = self._waiting.popitem()
            self._working.add(path)
            in_worker(self, partial(_thumbnail, path, self._cache), self._on_done)

    def _on_done(self, made: tuple[str, QImage | None, str]) -> None:
        path, image, words = made
        if path not in self._working:
            return  # asked for before `stop`
        self._working.discard(path)
        self._start_next()
        if image is None:
            self._failed[path] = words
            self.failed.emit(path, words)
            return
        self._pixmaps[path] = QPixmap.fromImage(image)
        while len(self._pixmaps) > self._capacity:
            self._pixmaps.popitem(last=False)
        self.ready.emit(path)


def _thumbnail(path: str, cache: Path | None) -> tuple[str, QImage | None, str]:
    """Take a thumbnail from the disk, or make it; with the words if it cannot be made."""
    try:
        file = _cache_file(path, cache)
        if file is not None and file.exists():
            kept = QImage(str(file))
            if not kept.isNull():
                return path, kept, ""
        image = picture(path, SIDE_PX)
        if image is not None and file is not None:
            _keep(image, file)
        return path, image, "" if image else "This is not a picture that can be shown."
    except Exception as error:  # noqa: BLE001 - any decoder's complaint is the file's fault
        return path, None, f"This picture cannot be read: {error}."


def _cache_file(path: str, cache: Path | None) -> Path | None:
    if cache is None:
        return None
    state = Path(path).stat()
    key = f"{path}|{state.st_mtime_ns}|{state.st_size}|{SIDE_PX}"
    name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return cache / name[:2] / f"{name}.webp"


def picture(path: str, side_px: int) -> QImage | None:
    """Decode a picture, turned upright and fitted into a square; None if it is none.

    Qt's readers come first, as they decode at reduced size; Pillow knows the further formats.
    """
    QImageReader.setAllocationLimit(_ALLOCATION_MB)
    reader = QImageReader(path)
    reader.setAutoTransform(True)
    reader.setDecideFormatFromContent(True)
    size = reader.size()
    if size.isValid():
        if size.width() * size.height() > _MAX_PIXELS:
            raise ValueError(f"it has {size.width()}×{size.height()} pixels")
        reader.setScaledSize(
            size.scaled(QSize(side_px, side_px), Qt.AspectRatioMode.KeepAspectRatio)
        )
        image = reader.read()
        if not image.isNull():
            return image
    return _by_pillow(path, side_px)


def _by_pillow(path: str, side_px: int) -> QImage | None:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                raise ValueError(f"it has {opened.width}×{opened.height} pixels")
            opened.draft("RGB", (side_px, side_px))
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((side_px, side_px))
            data = upright.convert("RGBA")
    except UnidentifiedImageError:
        return None
    raw = data.tobytes()
    return QImage(
        raw, data.width, data.height, 4 * data.width, QImage.Format.Format_RGBA8888
    ).copy()


def _keep(image: QImage, file: Path) -> None:
    """Store a thumbnail; a full or read-only disk only costs the cache."""
    from PySide6.QtCore import QBuffer, QIODevice

    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if image.save(buffer, "WEBP", 85):  # pyright: ignore[reportCallIssue, reportArgumentType]
        try:
            write_whole(file, bytes(buffer.data().data()))
        except OSError:
            return
