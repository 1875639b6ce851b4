"""A path or hub id: a line with a button to choose, recents, and drops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QObject, QSize, QStringListModel, Qt, QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QCompleter, QWidget

from app.widgets.button import IconButton
from app.widgets.frame import Frame, Line
from engine.schema.field import PathKind


class PathEdit(Frame):
    """An editor for a file, a folder, or (kind "model") also a hub id.

    While it has no focus the middle of a long path is left out. Whether the path exists is not
    looked at here: that may take seconds on a lost network drive.

    Signals:
        edited: the text, None where empty is allowed and means nothing.
        chosen: a path that was picked or dropped, for the recents.
    """

    edited = Signal(object)
    chosen = Signal(str)

    def __init__(
        self,
        kind: PathKind,
        parent: QWidget | None = None,
        *,
        extensions: Sequence[str] = (),
        empty: str = "",
        optional: bool = False,
        recent: Sequence[str] = (),
    ) -> None:
        super().__init__(parent)
        self._kind, self._extensions, self._optional = kind, tuple(extensions), optional
        self._value: Any = None
        self.setAcceptDrops(True)
        self.line = Line(self)
        self.line.setPlaceholderText(empty)
        self.line.textEdited.connect(self._on_line_edited)
        self.line.installEventFilter(self)
        self.watch(self.line)
        self.row.addWidget(self.line, 1)
        self.button = IconButton("folder", self.tr("Choose"), self, side=26)
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.clicked.connect(self.choose)
        self.row.addWidget(self.button)
        self.setFocusProxy(self.line)
        self._recent = QStringListModel(list(recent), self)
        completer = QCompleter(self._recent, self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.activated.connect(self._take)
        self.line.setCompleter(completer)

    def value(self) -> Any:
        """The path as last set or typed."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Show a path."""
        self._value = value
        self._show()

    def set_inherited(self, text: str) -> None:
        """Show what applies while the line is empty."""
        self.line.setPlaceholderText(text)

    def _show(self) -> None:
        text = str(self._value or "")
        if not self.line.hasFocus():
            room = max(60, self.line.width() - 6)
            text = self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, room)
        if self.line.text() != text:
            self.line.setText(text)
        self.line.setToolTip(str(self._value or ""))

    def _on_line_edited(self, text: str) -> None:
        text = text.strip()
        if len(text) > 1 and text[0] == text[-1] == '"':  # as Windows copies paths
            text = text[1:-1]
        self._value = text or (None if self._optional else "")
        self.edited.emit(self._value)

    def _take(self, path: str) -> None:
        self._value = path
        self._show()
        self.edited.emit(path)
        self.chosen.emit(path)

    def choose(self) -> None:
        """Open the system's dialog. A diffusers folder is chosen by its model_index.json."""
        from PySide6.QtWidgets import QFileDialog  # as no row needs it to be painted

        dialog = QFileDialog(self.window(), self.tr("Choose"))
        if self._kind in ("folder", "new_folder"):
            dialog.setFileMode(QFileDialog.FileMode.Directory)
        else:
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
            if self._extensions:
                patterns = " ".join(f"*{e}" for e in self._extensions)
                filters = [f"{self.tr('Files')} ({patterns})", f"{self.tr('All files')} (*)"]
                if self._kind == "model":
                    filters.insert(1, f"{self.tr('diffusers folder')} (model_index.json)")
                dialog.setNameFilters(filters)
        here = Path(str(self._value or ""))
        if self._value and here.is_absolute():
            dialog.setDirectory(str(here if self._kind == "folder" else here.parent))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_file_selected)
        dialog.open()

    def _on_file_selected(self, path: str) -> None:
        if Path(path).name == "model_index.json":
            path = str(Path(path).parent)
        self._take(path)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Show the whole path while the line has focus."""
        handled = super().eventFilter(watched, event)
        if event.type() == QEvent.Type.FocusIn:
            self.line.setText(str(self._value or ""))
        elif event.type() == QEvent.Type.FocusOut:
            self._show_later()
        elif event.type() == QEvent.Type.Resize:
            self._show()
        return handled

    def _show_later(self) -> None:
        QTimer.singleShot(0, self, self._show)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take a single file or folder."""
        urls = event.mimeData().urls()
        if len(urls) == 1 and urls[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Use the dropped path."""
        self._take(event.mimeData().urls()[0].toLocalFile())
        event.acceptProposedAction()

    def sizeHint(self) -> QSize:
        """Fills the row."""
        return QSize(200, super().sizeHint().height())
