"""Writing the job for sd-scripts: its command, its dataset config, and what is lacking there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication

from app.dialogs import TextDialog, choose_file
from app.menus import Entry
from app.window import MainWindow
from app.words import counted
from engine.schema.whole_file import write_whole

if TYPE_CHECKING:
    from engine.interop.exported import Exported


class ExportCommands(QObject):
    """The entries that write the job for other trainers."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def entries(self) -> list[Entry | None]:
        """What is put into the File menu."""
        return [
            Entry("export_sd_scripts", self.tr("Export for sd-scripts…"), self.ask_folder),
            Entry("copy_command", self.tr("Copy as sd-scripts command"), self.copy_command),
        ]

    def ask_folder(self) -> None:
        """Ask for a folder, and write the files there."""
        choose_file(
            self._window, self.tr("Export for sd-scripts"), "",
            lambda path: self.write(Path(path)), folder=True,
        )  # fmt: skip

    def write(self, folder: Path) -> None:
        """Write the files; where some of their names are taken, into a new folder inside."""
        exported = self._exported()
        if any((folder / name).exists() for name in exported.files):
            folder = _free(folder / "for sd-scripts")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in exported.files.items():
                write_whole(folder / name, text.encode())
        except OSError as error:
            words = self.tr("%s could not be written: %s.") % (folder, error.strerror or error)
            self._window.say(words, trouble=True)
            return
        self._window.say(self.tr("Exported to %s") % folder)
        if exported.lacks:
            title = self.tr("Exported for sd-scripts")
            TextDialog(self._window, title, exported.text(), mono=False).open()

    def copy_command(self) -> None:
        """Put the command on the clipboard; its dataset config is written by Export alone."""
        QGuiApplication.clipboard().setText(self._exported().files["train.sh"])
        lacks = len(self._exported().lacks)
        words = self.tr("Copied the command; Export writes its dataset.toml too.")
        if lacks:
            words += " " + counted(
                lacks,
                self.tr("field has no counterpart there."),
                self.tr("fields have no counterpart there."),
            )
        self._window.say(words)

    def _exported(self) -> Exported:
        from engine.interop.sd_scripts_export import export_job  # not for the window's start

        return export_job(self._window.document.written())


def _free(folder: Path) -> Path:
    """The folder, or one with a number behind its name if it is there already."""
    number, found = 2, folder
    while found.exists():
        found, number = folder.with_name(f"{folder.name} {number}"), number + 1
    return found
