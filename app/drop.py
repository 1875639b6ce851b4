"""What a drop on the window means: guessed while dragging, looked at after the drop."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PySide6.QtCore import QCoreApplication, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.icons import draw_icon
from app.theme import CHOICE, color, font
from engine.schema.job_file import read_toml
from engine.schema.problem import JobError

Kind = Literal[
    "folders", "pictures", "job", "preset", "foreign", "adapter", "model", "run", "unknown"
]
_FOREIGN = {".json", ".yaml", ".yml", ".sh", ".bat", ".ps1"}  # settings of other trainers


@dataclass(frozen=True)
class Dropped:
    """What was dropped: `items` are for dataset.folders, `words` say why it is unknown."""

    kind: Kind
    paths: tuple[Path, ...] = ()
    items: tuple[dict[str, Any], ...] = ()
    words: str = ""


def guess(paths: Sequence[Path]) -> str:
    """Say what a drop would do, from the names alone, so that no disk is waited for."""
    endings = {p.suffix.lower() for p in paths}
    if endings == {".toml"}:
        return _tr("Open the job or preset")
    if endings <= _FOREIGN:
        return _tr("Import another trainer's settings")
    if endings & {".safetensors", ".ckpt"}:
        return _tr("Inspect the LoRA file, or use the model")
    if endings & {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}:
        return _tr("Add the pictures' folder")
    return _tr("Add as a folder of pictures, or open the run")


def look_at_drop(paths: Sequence[Path]) -> Dropped:
    """Look at what was dropped; to be called in a worker."""
    from engine.plan.folders import EXTENSIONS, propose_folders

    folders = [p for p in paths if p.is_dir()]
    if folders:
        if any((p / "events.jsonl").is_file() for p in folders):
            return Dropped("run", tuple(p for p in folders if (p / "events.jsonl").is_file()))
        if any((p / "model_index.json").is_file() for p in folders):
            return Dropped("model", (folders[0],))
        items = []
        for folder in folders:
            with contextlib.suppress(OSError):
                items += [
                    {"path": str(p.path), "repeats": p.repeats,
                     "fallback_caption": p.fallback_caption}
                    for p in propose_folders(folder)
                ]  # fmt: skip
        if items:
            return Dropped("folders", tuple(folders), tuple(items))
        words = _tr("There are no pictures in %s.") % folders[0].name
        return Dropped("unknown", tuple(folders), words=words)
    first = paths[0]
    ending = first.suffix.lower()
    if ending == ".toml":
        return _toml(first)
    if ending in _FOREIGN:
        return Dropped("foreign", (first,))
    if ending in (".safetensors", ".ckpt", ".pt"):
        return Dropped("adapter" if _is_adapter(first) else "model", (first,))
    pictures = [p for p in paths if p.suffix.lower() in EXTENSIONS]
    if pictures:
        parents = tuple(dict.fromkeys(p.parent for p in pictures))
        return Dropped("pictures", parents, tuple({"path": str(p)} for p in parents))
    words = _tr(
        "%s is nothing Graft can use: drop a folder of pictures, a job, a preset, a LoRA file or "
        "a run folder."
    )
    return Dropped("unknown", tuple(paths), words=words % first.name)


def _toml(path: Path) -> Dropped:
    try:
        data = read_toml(path)
    except JobError as error:
        return Dropped("unknown", (path,), words=str(error))
    if "schema" not in data and "preset" not in data and _is_foreign(path):
        return Dropped("foreign", (path,))
    return Dropped("preset" if "preset" in data else "job", (path,))


def _is_foreign(path: Path) -> bool:
    """Whether a TOML file is another trainer's."""
    from engine.interop.importing import import_file
    from engine.interop.reading import ImportProblem

    try:
        import_file(path)
    except ImportProblem:
        return False
    return True


def _is_adapter(path: Path) -> bool:
    from engine.plan.header import FileProblem, read_header

    if path.suffix.lower() != ".safetensors":
        return False
    try:
        names = read_header(path).tensors
    except (FileProblem, OSError):
        return False
    return any("lora" in name.lower() for name in names)


def _tr(text: str) -> str:
    return QCoreApplication.translate("drop", text)


class DropHint(QWidget):
    """Covers the window while something is dragged over it, and says what will happen."""

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._words = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def show_words(self, words: str) -> None:
        """Cover the host."""
        self._words = words
        host = self.parentWidget()
        if host is not None:
            self.setGeometry(host.rect())
        self.show()
        self.raise_()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint a veil, a dashed edge and the words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), color("panel", 0.85))
        painter.setPen(QPen(color("accent"), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(16, 16, -16, -16), 8, 8)
        painter.setFont(font(CHOICE, bold=True))
        width = painter.fontMetrics().horizontalAdvance(self._words)
        left = (self.width() - width - 26) / 2
        middle = self.height() / 2
        draw_icon(painter, "import", QRectF(left, middle - 9, 18, 18), "accent")
        painter.setPen(color("text"))
        painter.drawText(
            QRectF(left + 28, middle - 20, width + 8, 40), Qt.AlignmentFlag.AlignVCenter,
            self._words,
        )  # fmt: skip
