"""The Tools menu: opens a dialog for each tool, once the engine that does the work is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtGui import QCloseEvent

from app.dialogs import ask, choose_file
from app.engine_setup import EngineSetup
from app.file_commands import FileCommands
from app.menus import Entry
from app.process import EngineCommand
from app.tools_convert import ConvertPanel
from app.tools_dialog import ToolDialog
from app.tools_extract import ExtractPanel
from app.tools_inspect import InspectDialog
from app.tools_merge import MergePanel
from app.tools_panel import Panel
from app.tools_resize import ResizePanel
from app.tools_settings import ask_to_use
from app.window import MainWindow
from engine.schema.file_settings import FileSettings

PANELS: dict[str, Callable[[], Panel]] = {
    "convert": ConvertPanel,
    "resize": ResizePanel,
    "extract": ExtractPanel,
    "merge": MergePanel,
}


class ToolsMenu(QObject):
    """Owns the tools' dialogs. `when_ready` acts now, or after the engine has been installed."""

    def __init__(
        self, window: MainWindow, files: FileCommands, setup: EngineSetup,
        when_ready: Callable[[Callable[[], object]], object],
        command: EngineCommand | None = None,
    ) -> None:  # fmt: skip
        super().__init__(window)
        self._window, self._files, self._setup = window, files, setup
        self._when_ready = when_ready
        self._command = command or EngineCommand.of_this_install()
        self._open: dict[str, ToolDialog] = {}
        self._leaves = False  # the window closes once no tool is at work
        window.closing.connect(self._on_closing)
        files.inspect_asked.connect(self.inspect)

    def entries(self) -> list[Entry | None]:
        """What stands in the menu."""
        return [
            Entry("inspect", self.tr("Inspect a LoRA…"), self.ask_inspect),
            None,
            Entry("convert", self.tr("Convert…"), lambda: self.open("convert")),
            Entry("resize", self.tr("Resize…"), lambda: self.open("resize")),
            Entry("extract", self.tr("Extract from DyLoRA…"), lambda: self.open("extract")),
            Entry("merge", self.tr("Merge…"), lambda: self.open("merge")),
            None,
        ]

    def ask_inspect(self) -> None:
        """Ask for a LoRA file and show what it holds."""
        choose_file(
            self._window, self.tr("Inspect a LoRA"), self.tr("LoRA files") + " (*.safetensors)",
            lambda path: self.inspect(Path(path)),
        )  # fmt: skip

    def inspect(self, path: Path) -> None:
        """Show what a LoRA file holds."""
        self._with_engine(lambda: self._inspect(path))

    def open(self, name: str, paths: Sequence[Path] = ()) -> None:
        """Open a tool's dialog, or bring it to the front; `paths` are the files to work on."""
        self._with_engine(lambda: self._open_tool(name, paths))

    def stop(self) -> None:
        """Cancel what is at work, as the window closes."""
        for dialog in self._open.values():
            dialog.stop()

    def _on_closing(self, event: QCloseEvent) -> None:
        working = next((dialog for dialog in self._open.values() if dialog.is_working), None)
        if working is None:
            return
        event.ignore()
        if not self._leaves:
            self._leaves = True
            working.activateWindow()
            working.ask_to_cancel().rejected.connect(self._stay)

    def _stay(self) -> None:
        self._leaves = False

    def _on_tool_closed(self, name: str) -> None:
        self._open.pop(name, None)
        if self._leaves:
            self._leaves = False
            self._window.close()

    def _with_engine(self, act: Callable[[], object]) -> None:
        if self._setup.is_ready or self._setup.status.state == "unknown":
            act()
            return
        ask(
            self._window, self.tr("Install the engine?"),
            self.tr(
                "The tools need it, and it is not installed yet: PyTorch and the diffusers "
                "library, 1 to 3 GB in Graft's own folder. The tool opens when it is there."
            ),
            [(self.tr("Install"), "primary", lambda: self._when_ready(act))],
        )  # fmt: skip

    def _inspect(self, path: Path) -> InspectDialog:
        dialog = InspectDialog(path, self._command, self._window)
        dialog.settings_asked.connect(self._use_settings)
        dialog.continue_asked.connect(self._continue_from)
        dialog.tool_asked.connect(lambda name, file: self.open(name, [file]))
        dialog.show()
        return dialog

    def _open_tool(self, name: str, paths: Sequence[Path]) -> ToolDialog:
        dialog = self._open.get(name)
        if dialog is None:
            dialog = ToolDialog(PANELS[name](), self._command, self._window)
            dialog.inspect_asked.connect(self.inspect)
            dialog.trouble.connect(self._window.say_trouble)
            dialog.finished.connect(lambda _=0, n=name: self._on_tool_closed(n))
            self._open[name] = dialog
        if paths and not dialog.is_working:
            dialog.panel.take(paths)
        dialog.show()
        dialog.activateWindow()
        return dialog

    def _use_settings(self, path: Path, settings: FileSettings) -> None:
        ask_to_use(self._window, self._files, path, settings)

    def _continue_from(self, path: Path) -> None:
        self._window.document.set("network.start_from", str(path))
        self._window.pane.set_folded(False)
        self._window.form.focus_field("network.start_from")
