"""Small questions, asked without blocking the window (spec: gui 3.5: open(), never exec())."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from app.theme import CHOICE, font
from app.widgets.button import Button, Role
from app.widgets.frame import Frame, Line
from app.widgets.label import Label

Act = tuple[str, Role, Callable[[], object]]


class Question(QDialog):
    """A title, words, and buttons; Esc takes none of them."""

    def __init__(self, parent: QWidget, title: str, words: str, acts: Sequence[Act]) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(True)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(24, 20, 24, 20)
        self.column.setSpacing(12)
        self.column.addWidget(Label(title, scale=CHOICE, bold=True, parent=self))
        if words:
            label = Label(words, "text2", parent=self)
            label.setWordWrap(True)
            label.setMinimumWidth(360)
            self.column.addWidget(label)
        self.buttons: list[Button] = []
        self._row = QHBoxLayout()
        self._row.addStretch(1)
        for text, role, act in acts:
            self.add_button(text, role, act)
        cancel = Button(self.tr("Cancel"), "ghost", parent=self)
        cancel.clicked.connect(self.reject)
        self._row.addWidget(cancel)
        if acts and all(role == "danger" for _, role, _ in acts):
            cancel.setFocus()  # a key pressed too early loses nothing
        self.column.addLayout(self._row)

    def add_button(self, text: str, role: Role, act: Callable[[], object]) -> Button:
        """Add a button that closes the dialog and acts; it stands before Cancel."""
        button = Button(text, role, parent=self)
        button.clicked.connect(lambda: self._finish(act))
        self._row.insertWidget(1 + len(self.buttons), button)
        self.buttons.append(button)
        return button

    def _finish(self, act: Callable[[], object]) -> None:
        self.accept()
        act()


def ask(parent: QWidget, title: str, words: str, acts: Sequence[Act]) -> Question:
    """Ask a question; the acts run when their button is pressed."""
    question = Question(parent, title, words, acts)
    question.open()
    return question


class NameQuestion(Question):
    """Asks for one line of text."""

    def __init__(
        self, parent: QWidget, title: str, label: str, text: str, button: str,
        then: Callable[[str], object],
    ) -> None:  # fmt: skip
        super().__init__(parent, title, "", ())
        frame = Frame(self)
        self.line = Line(frame)
        self.line.setText(text)
        self.line.setAccessibleName(label)
        frame.watch(self.line)
        frame.row.addWidget(self.line)
        frame.setMinimumWidth(340)
        self.column.insertWidget(1, Label(label, "text2", parent=self))
        self.column.insertWidget(2, frame)
        done = self.add_button(button, "primary", lambda: then(self.line.text().strip()))
        done.setEnabled(bool(text.strip()))
        self.line.textChanged.connect(lambda now: done.setEnabled(bool(now.strip())))
        self.line.returnPressed.connect(done.click)
        self.line.setFocus()
        self.line.selectAll()


def ask_name(
    parent: QWidget, title: str, label: str, text: str, button: str, then: Callable[[str], object]
) -> NameQuestion:
    """Ask for a name."""
    question = NameQuestion(parent, title, label, text, button, then)
    question.open()
    return question


class TextDialog(QDialog):
    """Text to read or to edit, in a window that resizes."""

    def __init__(self, parent: QWidget, title: str, text: str = "", *, mono: bool = True) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(760, 520)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(Label(title, scale=CHOICE, bold=True, parent=self))
        self.text = QPlainTextEdit(text, self)
        self.text.setReadOnly(True)
        self.text.setAccessibleName(title)
        self.text.setTabChangesFocus(True)
        if mono:
            self.text.setFont(font(mono=True))
        column.addWidget(self.text, 1)
        self.row = QHBoxLayout()
        self.row.addStretch(1)
        close = Button(self.tr("Close"), parent=self)
        close.clicked.connect(self.close)
        self.row.addWidget(close)
        column.addLayout(self.row)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Close), self, self.close)


def choose_file(
    parent: QWidget, title: str, filters: str, then: Callable[[str], object],
    *, save_as: str = "", folder: bool = False,
) -> QFileDialog:  # fmt: skip
    """Open the system's dialog: a file to read, a folder, or a file to write (`save_as`)."""
    dialog = QFileDialog(parent, title)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    if folder:
        dialog.setFileMode(QFileDialog.FileMode.Directory)
    elif save_as:
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("toml")
        dialog.selectFile(save_as)
    else:
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    if filters:
        dialog.setNameFilter(filters)
    dialog.fileSelected.connect(then)
    dialog.open()
    return dialog
