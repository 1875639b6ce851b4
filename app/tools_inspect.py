"""Tools → Inspect: what a LoRA file holds, for which model, and how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QHBoxLayout, QMenu, QStackedWidget, QVBoxLayout, QWidget

from app.process import EngineCommand
from app.theme import GROUP, SMALL
from app.tools_contents import ContentsPage
from app.tools_process import InspectProcess
from app.tools_settings import settings_of
from app.widgets.button import Button
from app.widgets.label import ElidedLabel, Label
from app.widgets.message import Message
from app.widgets.metadata_table import MetadataTable
from app.widgets.plain_table import PlainTable
from app.widgets.progress_line import ProgressLine
from app.widgets.tabs import TabRow
from app.words import size_words
from engine.schema.architectures import ARCHITECTURES
from engine.schema.file_settings import FileSettings, stated


class InspectDialog(QDialog):
    """Looks at one file.

    Signals:
        settings_asked(path, settings): the file's settings are to become the job.
        continue_asked: Path of the file to go on training from.
        tool_asked(command, path): another tool is to work on the file.
    """

    settings_asked = Signal(object, object)
    continue_asked = Signal(object)
    tool_asked = Signal(str, object)

    def __init__(self, path: Path, command: EngineCommand, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path = path
        self.found: Mapping[str, Any] | None = None
        self._settings: FileSettings | None = None
        self.setWindowTitle(path.name)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(860, 720)
        self._build()
        self.process: InspectProcess | None = InspectProcess(command, self)
        self.process.found.connect(self.show_found)
        self.process.failed.connect(self._on_failed)
        self.process.start(path)

    def _build(self) -> None:
        self._title = ElidedLabel(self.path.name, scale=GROUP, bold=True, parent=self)
        self._lead = ElidedLabel(str(self.path.parent), "text2", parent=self)
        self.bar = ProgressLine(self)
        self.bar.show_progress(self.tr("Reading every layer of the file"))
        self.message = Message("", "error", self)
        self.message.hide()
        self.tabs = TabRow(self)
        self.pages = QStackedWidget(self)
        self._blank = QWidget(self)  # keeps the words at the top while there is nothing else
        self.contents = ContentsPage(self)
        self.training = PlainTable(
            [self.tr("Setting"), self.tr("Value")], self.tr("Training settings"), self
        )
        self._notes = Label("", "text2", SMALL, self)
        self._notes.setWordWrap(True)
        self.metadata = MetadataTable(self)
        for key, title, page in (
            ("contents", self.tr("Contents"), self.contents),
            ("training", self.tr("Training"), self._training_page()),
            ("metadata", self.tr("Metadata"), self.metadata),
        ):
            self.tabs.add_tab(key, title)
            self.pages.addWidget(page)
        self.tabs.chosen.connect(self.show_page)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 18)
        column.setSpacing(8)
        column.addWidget(self._title)
        column.addWidget(self._lead)
        column.addWidget(self.bar)
        column.addWidget(self.message)
        column.addWidget(self.tabs)
        column.addWidget(self.pages, 1)
        column.addWidget(self._blank, 1)
        column.addLayout(self._foot())
        self._show_contents(False)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Close), self, self.close)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self, self._find)

    def _training_page(self) -> QWidget:
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.training, 1)
        column.addWidget(self._notes)
        return page

    def _foot(self) -> QHBoxLayout:
        self.use = Button(self.tr("Use these settings…"), "secondary", "import", self)
        self.use.clicked.connect(lambda: self.settings_asked.emit(self.path, self._settings))
        self.more = Button(self.tr("More"), "ghost", "chevron-down", self)
        menu = QMenu(self.more)
        menu.addAction(self.tr("Continue training from it"),
                       lambda: self.continue_asked.emit(self.path))  # fmt: skip
        menu.addSeparator()
        for key, words in (
            ("convert", self.tr("Convert…")), ("resize", self.tr("Resize…")),
            ("extract", self.tr("Extract from DyLoRA…")), ("merge", self.tr("Merge…")),
        ):  # fmt: skip
            menu.addAction(words, lambda k=key: self.tool_asked.emit(k, self.path))
        menu.addSeparator()
        menu.addAction(self.tr("Copy hash"), self._copy_hash)
        menu.addAction(self.tr("Copy path"),
                       lambda: QGuiApplication.clipboard().setText(str(self.path)))  # fmt: skip
        self.menu = menu
        self.more.clicked.connect(
            lambda: menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))
        )
        close = Button(self.tr("Close"), "secondary", parent=self)
        close.clicked.connect(self.close)
        foot = QHBoxLayout()
        foot.setSpacing(8)
        foot.addWidget(self.use)
        foot.addWidget(self.more)
        foot.addStretch(1)
        foot.addWidget(close)
        return foot

    # --- what is shown -------------------------------------------------------------------------

    def _show_contents(self, shown: bool) -> None:
        for part in (self.tabs, self.pages, self.use, self.more):
            part.setVisible(shown)
        self._blank.setVisible(not shown)

    def show_found(self, found: Mapping[str, Any]) -> None:
        """Show what the engine told."""
        self.process = None
        self.found = found
        self.bar.hide()
        architecture = found["guess"]["architecture"]
        label = ARCHITECTURES[architecture].label if architecture in ARCHITECTURES else ""
        words = label or self.tr("for an unknown model")
        self._lead.setText(
            " · ".join([words, size_words(found["size_bytes"]), ", ".join(found["dtypes"]),
                        str(self.path.parent)])
        )  # fmt: skip
        self.contents.show_found(found)
        rows = stated(found["metadata"])
        self.training.show_rows(rows)
        self._settings = settings_of(found)
        self.use.setEnabled(self._settings is not None)
        said = self.tr("The file says nothing of its training.") if not rows else ""
        self._notes.setText(said)
        self._notes.setVisible(bool(said))
        self.use.setToolTip(said or self.tr("Make a job of them; you see the changes first"))
        self.metadata.show_metadata(found["metadata"])
        self.tabs.set_count("training", str(len(rows)) if rows else "")
        self.tabs.set_count("metadata", str(len(found["metadata"])))
        self._show_contents(True)
        self.tabs.setFocus()

    def _on_failed(self, words: str) -> None:
        self.process = None
        self.bar.hide()
        self.message.label.setText(words)
        self.message.show()

    def show_page(self, key: str) -> None:
        """Show a page: "contents", "training" or "metadata"."""
        self.tabs.set_current(key)
        self.pages.setCurrentIndex(self.tabs.keys().index(key))

    def _find(self) -> None:
        if self.found is not None:
            self.show_page("metadata")
            self.metadata.search.setFocus()

    def _copy_hash(self) -> None:
        if self.found is not None:
            QGuiApplication.clipboard().setText(self.found["model_hash"])

    def done(self, result: int) -> None:
        """End what still reads."""
        if self.process is not None:
            self.process.stop()
            self.process = None
        super().done(result)
