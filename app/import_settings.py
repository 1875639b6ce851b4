"""Taking over another trainer's settings: a file or text, the report, then the form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from app.dialogs import Question, choose_file
from app.import_report import report_tree
from app.menus import Entry
from app.widgets.label import Label
from app.widgets.notice import Notice
from app.window import MainWindow
from app.worker import in_worker
from engine.schema.problem import JobError

if TYPE_CHECKING:
    from engine.interop.report import Imported

FILES = "*.toml *.json *.yaml *.yml *.sh *.bat *.ps1 *.txt"


class ImportCommands(QObject):
    """Imports from the menu and from drops; the form changes only after the report was seen."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def entries(self) -> list[Entry | None]:
        """What is put into the File menu."""
        return [Entry("import", self.tr("Import from another trainer…"), self.ask_file)]

    def ask_file(self) -> None:
        """Ask for a settings file."""
        choose_file(
            self._window, self.tr("Import from another trainer"),
            f"{self.tr('Settings')} ({FILES});;{self.tr('All files')} (*)",
            lambda path: self.import_path(Path(path)),
        )  # fmt: skip

    def import_path(self, path: Path) -> None:
        """Read a file in a worker, then show what became of it."""

        def read() -> Imported | str:
            from engine.interop.importing import import_file
            from engine.interop.reading import ImportProblem

            try:
                return import_file(path)
            except ImportProblem as problem:
                return str(problem)

        in_worker(self, read, lambda found: self._show(found, path.name))

    def _show(self, found: Imported | str, name: str) -> None:
        if isinstance(found, str):
            words = f"{name}: {found}"
            self._window.work.add_notice(Notice(words, "error", parent=self._window.work))
            return
        ImportQuestion(self._window, found, name, lambda: self.take(found, name)).open()

    def take(self, imported: Imported, name: str) -> None:
        """Make the import the job in the form, as one step of undo."""
        document = self._window.document
        try:
            document.replace(imported.data, self.tr("import %s") % name)
        except JobError as error:
            self._window.say(str(error), trouble=True)
            return
        document.mark_saved(None)
        self._window.work.hide_overlay()
        self._window.pane.set_folded(False)
        missing = len(imported.errors)
        words = self.tr("Imported %s. Undo brings the former job back.") % name
        if missing:
            words = self.tr("Imported %s; fill in the marked fields.") % name
        self._window.say(words)


class ImportQuestion(Question):
    """The report of an import, part by part; the form changes when it is taken over."""

    def __init__(
        self, parent: QWidget, imported: Imported, name: str, then: Callable[[], object]
    ) -> None:
        super().__init__(
            parent, parent.tr("Import %s") % name, imported.summary(),
            [(parent.tr("Take over"), "primary", then)],
        )  # fmt: skip
        self.tree = report_tree(imported, self)
        self.column.insertWidget(2, self.tree, 1)
        notes = [*imported.notes]
        if imported.errors:
            notes.append(
                self.tr("To be filled in afterwards: %s")
                % " ".join(problem.message for problem in imported.errors)
            )
        for i, words in enumerate(notes):
            label = Label(words, "text2", parent=self)
            label.setWordWrap(True)
            self.column.insertWidget(3 + i, label)
        self.resize(940, 560)
