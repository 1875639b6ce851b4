"""Taking over another trainer's settings: a file or text, the report, then the form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from app.dialogs import Question, choose_file
from app.menus import Entry
from app.theme import color
from app.widgets.label import Label
from app.widgets.notice import Notice
from app.window import MainWindow
from app.worker import in_worker
from engine.interop.importing import import_file
from engine.interop.reading import ImportProblem
from engine.interop.report import Imported, Line, Outcome, shown
from engine.schema.problem import JobError

FILES = "*.toml *.json *.yaml *.yml *.sh *.bat *.ps1 *.txt"
_NOTEWORTHY: tuple[Outcome, ...] = ("refused", "no counterpart", "changed", "default", "taken")


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
        self.tree = _tree(imported, self)
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
        self.resize(820, 560)


def _tree(imported: Imported, parent: QWidget) -> QTreeWidget:
    """Outcomes as branches; what needs reading stands first and is open."""
    tree = QTreeWidget(parent)
    tree.setAccessibleName(parent.tr("What became of the settings"))
    tree.setHeaderLabels([parent.tr("There"), parent.tr("Here"), parent.tr("Why")])
    tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    tree.setUniformRowHeights(True)
    heads = {
        "refused": parent.tr("Refused"),
        "no counterpart": parent.tr("Without a counterpart here"),
        "changed": parent.tr("Changed"),
        "default": parent.tr("Not given there, so the other trainer's default counts"),
        "taken": parent.tr("Taken as they are"),
    }
    for outcome in _NOTEWORTHY:
        lines = imported.of(outcome)
        if not lines:
            continue
        branch = QTreeWidgetItem(tree, [f"{heads[outcome]} ({len(lines)})"])
        branch.setFirstColumnSpanned(True)
        for line in lines:
            branch.addChild(_item(line))
        branch.setExpanded(outcome != "taken")
    unset = imported.of("unset")
    if unset:
        head = parent.tr("Left empty, at off or as it was there (%d)") % len(unset)
        branch = QTreeWidgetItem(tree, [head])
        branch.setFirstColumnSpanned(True)
        for line in unset:
            branch.addChild(QTreeWidgetItem([line.key, "", ""]))
    header = tree.header()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    width = header.fontMetrics().averageCharWidth()
    tree.setColumnWidth(0, width * 42)
    tree.setColumnWidth(1, width * 40)
    return tree


def _item(line: Line) -> QTreeWidgetItem:
    there = line.key if line.outcome == "default" else f"{line.key} = {shown(line.value)}"
    here = f"{line.path} = {shown(line.new)}" if line.path else "–"
    item = QTreeWidgetItem([there, here, line.why])
    for column in range(3):
        item.setToolTip(column, item.text(column))
    item.setForeground(2, color("text2"))
    item.setTextAlignment(0, Qt.AlignmentFlag.AlignLeft)
    return item
