"""What the Help menu and Doctor show; the doctor from the same command line as in a terminal."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from PySide6 import __version__
from PySide6.QtCore import QObject, QProcess
from PySide6.QtWidgets import QWidget

from app.dialogs import TextDialog
from app.process import EngineCommand


class HelpPages(QObject):
    """Opens text windows; a command's output comes into them as it is printed."""

    def __init__(self, window: QWidget, command: EngineCommand | None = None) -> None:
        super().__init__(window)
        self._window = window
        self._command = command or EngineCommand.of_this_install()

    def show_text(self, title: str, text: str) -> TextDialog:
        """Show text."""
        dialog = TextDialog(self._window, title, text)
        dialog.show()
        return dialog

    def run(self, title: str, arguments: list[str]) -> TextDialog:
        """Run one of the program's commands and show what it prints; closing the window ends it."""
        dialog = self.show_text(title, "")
        process = QProcess(dialog)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.setWorkingDirectory(self._command.directory)

        def take() -> None:
            text = bytes(process.readAllStandardOutput().data()).decode("utf-8", "replace")
            dialog.text.insertPlainText(text)

        def failed(_error: object) -> None:
            dialog.text.appendPlainText(
                self.tr("It could not be started: %s") % process.errorString()
            )

        process.readyReadStandardOutput.connect(take)
        process.errorOccurred.connect(failed)
        dialog.finished.connect(process.kill)
        process.start(self._command.program, [*self._command.arguments, *arguments])
        return dialog

    def doctor(self) -> None:
        """Show versions, devices, and what is missing."""
        self.run(self.tr("Doctor"), ["doctor"])

    def about(self) -> None:
        """Show the program's and Qt's version."""
        try:
            own = version("graft")
        except PackageNotFoundError:
            own = _own_version()
        words = self.tr(
            "Graft %s\n\nTrains low-rank adapters of image diffusion models on your own machine.\n"
            "MIT license. Qt for Python %s."
        )
        self.show_text(self.tr("About Graft"), words % (own, __version__))


def _own_version() -> str:
    import tomllib

    path = Path(__file__).resolve().parent.parent / "pyproject.toml"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])
