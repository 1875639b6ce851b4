"""Where a new file goes: a suggestion that follows the settings until a person names it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from app.widgets.path import PathEdit


class TargetEdit(PathEdit):
    """A path to write to.

    Signals:
        renamed: the path was changed by the person.
    """

    renamed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("file", parent)
        self._is_own = False
        self._is_folder = False
        self.setAcceptDrops(False)
        self.edited.connect(self._on_edited)

    def suggest(self, path: str, *, is_folder: bool = False) -> None:
        """Show a path, unless the person has named one."""
        self._is_folder = is_folder
        if not self._is_own:
            self.set_value(path)

    def path(self) -> Path | None:
        """The path, a file's with its ending; None while there is none."""
        text = str(self.value() or "").strip()
        if not text:
            return None
        path = Path(text).expanduser()
        if not self._is_folder and path.suffix.lower() != ".safetensors":
            path = path.with_name(f"{path.name}.safetensors")
        return path

    def _on_edited(self, text: object) -> None:
        self._is_own = bool(text)
        self.renamed.emit()

    def choose(self) -> None:
        """Open the system's dialog for a new name; whether to write over one is asked later."""
        dialog = QFileDialog(self.window(), self.tr("Write to"))
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)
        if not self._is_folder:
            dialog.setNameFilters([f"{self.tr('LoRA files')} (*.safetensors)"])
            dialog.setDefaultSuffix("safetensors")
        path = self.path()
        if path is not None and path.is_absolute():
            dialog.setDirectory(str(path.parent))
            dialog.selectFile(path.name)
        dialog.fileSelected.connect(self._on_file_selected)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
