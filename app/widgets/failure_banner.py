"""A run that failed, above the tabs: what happened, what is safe, what to change, in words."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.icons import draw_icon
from app.run_model import RunModel
from app.widgets.button import Button
from app.widgets.button_row import ButtonRow, RowButton
from engine.schema.options import get_at, option_at


class FailureBanner(QWidget):
    """Never modal. One primary act: apply the change and resume, or what is left of that.

    Signals:
        resume_pressed: go on from the newest state, with the changes (list of path and value).
        again_pressed: there is no state: start the job anew, with the changes.
        apply_pressed: put one change into the form.
        field_pressed: the field it concerns is wanted.
        log_pressed, copy_pressed, close_pressed.
    """

    resume_pressed = Signal(list)
    again_pressed = Signal(list)
    apply_pressed = Signal(str, object)
    field_pressed = Signal(str)
    log_pressed = Signal()
    copy_pressed = Signal()
    close_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fix: list[tuple[str, Any]] = []
        self._field = ""
        self._can_resume = False
        self.title, self.run_name = QLabel(), QLabel()
        self.safe, self.mend, self.words = QLabel(), QLabel(), QLabel()
        for label in (self.title, self.safe, self.mend, self.words):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.title.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._changes = QGridLayout()
        self._changes.setHorizontalSpacing(16)
        self._changes.setVerticalSpacing(4)
        self._changes.setColumnStretch(3, 1)
        self.main = RowButton(self.tr("Resume"), "primary", "play")
        self.main.clicked.connect(self._on_main)
        self.show_field = RowButton(self.tr("Show the field"), "secondary", "search")
        self.show_field.clicked.connect(lambda: self.field_pressed.emit(self._field))
        self.log = RowButton(self.tr("Show log"), "secondary", "log")
        self.log.clicked.connect(self.log_pressed)
        self.copy = RowButton(self.tr("Copy report"), "secondary", "copy")
        self.copy.clicked.connect(self.copy_pressed)
        self.close_run = RowButton(self.tr("Close run"), "ghost", "close")
        self.close_run.clicked.connect(self.close_pressed)
        self._lay_out()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(30, 0, 0, 0)
        top.addWidget(self.title, 1)
        top.addWidget(self.run_name, 0, Qt.AlignmentFlag.AlignTop)
        row = ButtonRow([self.main, self.show_field, self.log, self.copy], [self.close_run])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 10, 20, 12)
        layout.setSpacing(6)
        layout.addLayout(top)
        layout.addWidget(self.safe)
        layout.addWidget(self.mend)
        layout.addWidget(self.words)
        layout.addLayout(self._changes)
        layout.addWidget(row)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)

    def show_run(self, run: RunModel) -> None:
        """Show a run that failed or broke off."""
        state, failure = run.state, run.state.failure
        died = state.died or self.tr("{0} was interrupted.").format(run.name)
        self.title.setText(failure.message if failure is not None else died)
        self.title.setFont(theme.font(theme.CHOICE, bold=True))
        self.run_name.setText(run.name)
        self.safe.setText(_safe_words(run))
        self.mend.setText(failure.mend if failure is not None else "")
        self.mend.setVisible(bool(self.mend.text()))
        last_words = run.last_words() if failure is None or failure.kind == "internal" else ""
        self.words.setText(last_words)
        self.words.setFont(theme.font(mono=True))
        self.words.setVisible(bool(last_words))
        self._fix = list(failure.fix) if failure is not None else []
        self._field = failure.field if failure is not None else ""
        self.show_field.setVisible(bool(self._field))
        self._can_resume = state.resume_step is not None
        self.main.setVisible(run.directory is not None or bool(self._fix))
        self.main.setText(self._main_words(state.resume_step))
        self._fill_changes(run)
        for label in (self.safe, self.run_name):
            label.setFont(theme.font(theme.SMALL if label is self.run_name else 1.0))
        self.setAccessibleName(f"{self.title.text()} {self.safe.text()}")
        self.updateGeometry()
        self.update()

    def _main_words(self, step: int | None) -> str:
        if step is None:
            return self.tr("Apply and start again") if self._fix else self.tr("Start again")
        where = f"{step:,}"
        if self._fix:
            return self.tr("Apply and resume from step {0}").format(where)
        return self.tr("Resume from step {0}").format(where)

    def _fill_changes(self, run: RunModel) -> None:
        while (item := self._changes.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for row, (path, value) in enumerate(self._fix):
            number = QLabel(f"{row + 1}")
            number.setFont(theme.font(theme.SMALL, bold=True))
            self._changes.addWidget(number, row, 0)
            self._changes.addWidget(QLabel(_label_of(path)), row, 1)
            before = get_at(run.settings, path)
            words = f"{_value_words(before)} → {_value_words(value)}"
            self._changes.addWidget(QLabel(words), row, 2)
            apply = Button(self.tr("Apply"), "secondary", small=True)
            apply.setAccessibleName(self.tr("Apply: {0}").format(f"{_label_of(path)} {words}"))
            apply.clicked.connect(
                lambda _=False, path=path, value=value: self.apply_pressed.emit(path, value)
            )
            self._changes.addWidget(apply, row, 3, Qt.AlignmentFlag.AlignLeft)

    def _on_main(self) -> None:
        (self.resume_pressed if self._can_resume else self.again_pressed).emit(self._fix)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Soft red ground, a red edge at the left, the circle before the title."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("error_soft"))
        painter.fillRect(QRectF(0, 0, 4, self.height()), theme.color("error"))
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), theme.color("line"))
        top = self.title.geometry().y()
        line = self.title.fontMetrics().height()
        draw_icon(painter, "error", QRectF(20, top + line / 2 - 9, 18, 18), "error")


def _safe_words(run: RunModel) -> str:
    """What is not lost."""
    state = run.state
    tr = run.tr
    kept: list[str] = []
    if len(state):
        kept.append(tr("the curve"))
    previews = len(state.samples)
    if previews:
        kept.append(tr("1 preview") if previews == 1 else tr("{0} previews").format(previews))
    files = state.files()
    if files:
        kept.append(tr("the file of step {0}").format(f"{files[-1].step:,}"))
    if not kept:
        return tr("Nothing had been trained yet.")
    joined = kept[0] if len(kept) == 1 else f"{', '.join(kept[:-1])} {tr('and')} {kept[-1]}"
    single = len(kept) == 1 and previews < 2
    are = tr("is safe") if single else tr("are safe")
    return f"{joined[:1].upper()}{joined[1:]} {are}."


def _label_of(path: str) -> str:
    try:
        return option_at(path).hints.label
    except KeyError:
        return path


def _value_words(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
