"""Preferences: how the window looks, what every run begins with, what is asked and told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.run_defaults import RUN_DEFAULTS
from app.settings import Settings
from app.theme import CHOICE, SMALL, switch
from app.widgets.button import Button
from app.widgets.check import CheckBox
from app.widgets.choice import ChoiceBox
from app.widgets.label import Label
from app.widgets.number import NumberEdit
from app.widgets.path import PathEdit
from app.widgets.segmented import Segmented
from app.widgets.text import TextEdit
from engine.schema.options import options

THUMBNAIL_SIDES = (96, 128, 176, 240)
USUAL_SIDE = 128
ASKS_BEFORE_PRESET, TELLS_END = "asks_before_preset", "tells_end"
_TEXT_PERCENTS = (80, 90, 100, 110, 125, 150, 175, 200)


class PreferencesDialog(QDialog):
    """Every change counts at once; there is nothing to apply.

    Signals:
        changed: key of the preference that is another one.
    """

    changed = Signal(str)

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.setWindowTitle(self.tr("Preferences"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(560, 540)
        inside = QWidget()
        self._grid = QGridLayout(inside)
        self._grid.setContentsMargins(24, 8, 24, 16)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(8)
        self._grid.setColumnMinimumWidth(0, 130)
        self._grid.setColumnStretch(1, 1)
        self.editors: dict[str, QWidget] = {}
        self._resets: list[Callable[[], None]] = []
        self._look()
        self._runs()
        self._asks()
        self._grid.setRowStretch(self._grid.rowCount(), 1)
        area = QScrollArea(self)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(inside)
        usual = Button(self.tr("All as at first"), "ghost", "reset", self)
        usual.clicked.connect(self.reset)
        close = Button(self.tr("Close"), "primary", parent=self)
        close.setDefault(True)
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.setContentsMargins(16, 8, 24, 16)
        foot.addWidget(usual)
        foot.addStretch(1)
        foot.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 16, 0, 0)
        column.addWidget(area, 1)
        column.addLayout(foot)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Close), self, self.accept)

    # --- the three parts -----------------------------------------------------------------------

    def _look(self) -> None:
        self._title(self.tr("Look"))
        theme = Segmented(
            [("system", self.tr("System")), ("light", self.tr("Light")),
             ("dark", self.tr("Dark"))], self,
        )  # fmt: skip
        self._add("theme", self.tr("Theme"), theme, "system", switch().choice, self._set_theme)
        size = ChoiceBox([(p, f"{p} %") for p in _TEXT_PERCENTS], self)
        now = min(_TEXT_PERCENTS, key=lambda p: abs(p - switch().text_percent))
        self._add("text_percent", self.tr("Text size"), size, 100, now, self._set_text)
        names = (self.tr("small"), self.tr("medium"), self.tr("large"), self.tr("very large"))
        sides = ChoiceBox(list(zip(THUMBNAIL_SIDES, names, strict=True)), self)
        self._add("thumbnail_side", self.tr("Dataset thumbnails"), sides, USUAL_SIDE)

    def _runs(self) -> None:
        self._title(self.tr("Every run"), self.tr("Counts where a job says nothing of its own."))
        output, device = options()["output.directory"], options()["launch.device"]
        folder = PathEdit("new_folder", self, empty=output.hints.empty, optional=True)
        self._add(RUN_DEFAULTS["output.directory"], self.tr("Runs folder"), folder, None)
        where = TextEdit(self, read=_text, empty="auto", suggestions=device.hints.suggestions)
        self._add(RUN_DEFAULTS["launch.device"], self.tr("Device"), where, None)
        option = options()["launch.cpu_threads"]
        threads = NumberEdit(
            "int", self, bounds=option.bounds, optional=True, empty=option.hints.empty
        )
        self._add(RUN_DEFAULTS["launch.cpu_threads"], self.tr("Processor threads"), threads, None)

    def _asks(self) -> None:
        self._title(self.tr("Questions and notes"))
        preset = CheckBox(self.tr("Show a preset's changes before it replaces mine"), self)
        self._add(ASKS_BEFORE_PRESET, "", preset, True)
        ends = CheckBox(self.tr("Tell on the desktop when a run ends"), self)
        self._add(TELLS_END, "", ends, True)

    # --- rows ----------------------------------------------------------------------------------

    def _title(self, text: str, words: str = "") -> None:
        row = self._grid.rowCount()
        if row > 1:
            self._grid.setRowMinimumHeight(row, 10)
            row += 1
        self._grid.addWidget(Label(text, scale=CHOICE, bold=True, parent=self), row, 0, 1, 2)
        if words:
            self._grid.addWidget(Label(words, "text3", SMALL, self), row + 1, 0, 1, 2)

    def _add(
        self, key: str, label: str, editor: Any, usual: Any, now: Any = None,
        then: Callable[[Any], None] | None = None,
    ) -> None:  # fmt: skip
        """Put an editor into the grid; `then` takes a new value, else it goes into the settings."""
        row = self._grid.rowCount()
        name = Label(label, parent=self)
        if label:
            self._grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignVCenter)
            name.setBuddy(editor)
            for part in (editor, *editor.findChildren(QWidget)):
                if part.focusPolicy() != Qt.FocusPolicy.NoFocus:
                    own = part.accessibleName()
                    part.setAccessibleName(f"{own}: {label}" if own else label)
        if isinstance(editor, CheckBox):
            self._grid.addWidget(editor, row, 0, 1, 2)
        grows = isinstance(editor, PathEdit)
        side = Qt.AlignmentFlag.AlignVCenter if grows else (
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        )  # fmt: skip
        if not isinstance(editor, CheckBox):
            self._grid.addWidget(editor, row, 1, side)
        editor.set_value(self._settings.get(key, usual) if now is None else now)

        def take(value: Any) -> None:
            if then is not None:
                then(value)
            self._settings.set(key, value)
            self.changed.emit(key)

        def reset() -> None:
            editor.set_value(usual)
            take(usual)

        editor.edited.connect(take)
        self._resets.append(reset)
        self.editors[key] = editor

    def reset(self) -> None:
        """All preferences as at the first start."""
        for reset in self._resets:
            reset()

    def _set_theme(self, choice: Any) -> None:
        switch().apply(choice)

    def _set_text(self, percent: Any) -> None:
        switch().apply(text_percent=percent)


def _text(text: str) -> str | None:
    return text.strip() or None
