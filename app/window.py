"""The main window: its areas, what they tell each other, and when Train is on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QMainWindow, QSplitter, QVBoxLayout, QWidget

from app.architecture_choice import ArchitectureChoice
from app.document import Document
from app.drop import DropHint, guess
from app.form_pane import FORM_USUAL, FormPane
from app.job_name import job_name
from app.marked_fields import marked_paths
from app.plan_model import PlanModel
from app.plan_tiles import tiles_of
from app.preset_changes import ask_about_preset
from app.preset_store import PresetStore
from app.session import Session
from app.settings import Settings
from app.stand_ins import stand_in_words
from app.theme import switch
from app.told_problems import what_keeps_off
from app.tool_bar import ToolBar
from app.widgets.plan_bar import PlanBar, Standing
from app.widgets.title_row import TitleRow
from app.window_layout import remember_layout, take_up_layout
from app.words import counted
from app.work_area import WorkArea
from engine.schema.presets import Preset

if TYPE_CHECKING:
    from app.device import Machine
    from engine.plan.summary import Plan

LEAST = (960, 600)
USUAL = (1280, 800)


class MainWindow(QMainWindow):
    """Everything in one window; pages of the work area are added by `add_page`.

    Signals:
        train_asked: the job to train now, as nested data.
        queue_asked: the job to queue.
        files_dropped: list of Path.
        closing: the event; a listener may ignore it.
        seen: the window was painted for the first time.
    """

    train_asked = Signal(dict)
    queue_asked = Signal(dict)
    files_dropped = Signal(list)
    closing = Signal(object)
    seen = Signal()

    def __init__(
        self,
        document: Document,
        settings: Settings,
        store: PresetStore,
        session: Session,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.document, self.settings, self.store = document, settings, store
        self.session = session
        self.plan_model = PlanModel(document, self)
        self._engine_ready, self._engine_words, self._engine_note = True, "", ""
        self._busy, self._waiting, self._paused = False, 0, False
        self._presets_shown, self._is_seen = "", False
        self.machine: Machine | None = None
        self.setMinimumSize(*LEAST)
        self.resize(*USUAL)
        self.setAcceptDrops(True)
        self._build()
        self._connect()
        take_up_layout(self)
        self._refresh_bar()
        self._refresh_title()

    def _build(self) -> None:
        self.title_row = TitleRow(self)
        self.setMenuWidget(self.title_row)
        central = QWidget(self)
        column = QVBoxLayout(central)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.tool_bar = ToolBar(central)
        column.addWidget(self.tool_bar)
        self.splitter = QSplitter(central)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(4)
        self.pane = FormPane(self.document, self.settings, self.splitter)
        self.form = self.pane.form
        self.work = WorkArea(self.splitter)
        self._choice = ArchitectureChoice(self.document, self.store, self.work)
        self.splitter.addWidget(self.pane)
        self.splitter.addWidget(self.work)
        self.splitter.setStretchFactor(0, 0)
        self.splitter.setStretchFactor(1, 1)
        column.addWidget(self.splitter, 1)
        self.plan_bar = PlanBar(central)
        column.addWidget(self.plan_bar)
        central.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setCentralWidget(central)
        central.setFocus()
        self.drop_hint = DropHint(central)
        self.pane.basic_or_all.set_value(self.settings.get("shows_all", False))
        self.form.set_shows_all(bool(self.pane.basic_or_all.value()))

    def _connect(self) -> None:
        document, bar = self.document, self.tool_bar
        document.changed.connect(self._refresh_bar)
        document.replaced.connect(self._on_replaced)
        document.problems_changed.connect(self._refresh_standing)
        document.file_changed.connect(self._refresh_title)
        self.session.saved.connect(self._refresh_title)
        self.session.failed.connect(self.say_trouble)
        self.plan_model.changed.connect(self._on_plan)
        bar.architecture_chosen.connect(self.choose_architecture)
        bar.preset_chosen.connect(self.choose_preset)
        bar.undo.clicked.connect(document.undo_stack.undo)
        bar.redo.clicked.connect(document.undo_stack.redo)
        document.undo_stack.canUndoChanged.connect(bar.undo.setEnabled)
        document.undo_stack.canRedoChanged.connect(bar.redo.setEnabled)
        document.undo_stack.undoTextChanged.connect(bar.show_undo_text)
        document.undo_stack.redoTextChanged.connect(bar.show_redo_text)
        bar.train_asked.connect(self.train)
        bar.queue_asked.connect(self.queue)
        self.plan_bar.mend_asked.connect(self.show_what_keeps_train_off)
        self.splitter.handle(1).installEventFilter(self)
        switch().changed.connect(self._on_theme)

    # -- pages -----------------------------------------------------------------------------

    def add_page(self, key: str, title: str, widget: QWidget, *, scrolls: bool = True) -> None:
        """Add a page with a tab; `scrolls` puts it into a scroll area."""
        self.work.add_page(key, title, widget, scrolls=scrolls)

    def say(self, words: str, *, trouble: bool = False) -> None:
        """Tell something that needs no act."""
        self.work.toast.say(words, trouble=trouble)

    def say_trouble(self, words: str) -> None:
        """Tell what went wrong."""
        self.say(words, trouble=True)

    # -- what is shown ---------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring bar, title, marks and standing up to date."""
        self._refresh_bar()
        self._refresh_title()
        self._refresh_standing()

    def _on_replaced(self) -> None:
        self._presets_shown = ""
        self.refresh()

    def refresh_presets(self) -> None:
        """Read the presets anew."""
        self._presets_shown = ""
        self._refresh_bar()

    def _refresh_bar(self, _paths: object = None) -> None:
        document = self.document
        key = f"{document.architecture}/{document.preset.name}"
        if key != self._presets_shown:
            self._presets_shown = key
            self.tool_bar.architecture.set_value(document.architecture)
            presets = self.store.all(document.architecture) if self._is_seen else ()
            self.tool_bar.show_presets(presets, document.preset)
        self.tool_bar.show_changed(len(document.changed_paths()))
        self.tool_bar.undo.setEnabled(document.undo_stack.canUndo())
        self.tool_bar.redo.setEnabled(document.undo_stack.canRedo())

    def _refresh_title(self, _saved_at: float = 0.0) -> None:
        name, document = job_name(self.document), self.document
        if document.path is not None and document.is_dirty:
            self.title_row.show_job(name, self.tr("changed, not saved to its file"))
        elif self.session.saved_at:
            self.title_row.show_job(name, saved_at=self.session.saved_at)
        else:
            self.title_row.show_job(name, self.tr("not saved yet"))
        self.setWindowTitle(f"{name}[*] – Graft")
        self.setWindowModified(document.is_dirty)

    def _on_plan(self, plan: Plan) -> None:
        job = self.document.job
        memory = self.machine.device(job.launch.device).memory_bytes if self.machine else 0
        self.plan_bar.tiles.set_tiles(tiles_of(plan, job.output.precision, memory))

    def set_machine(self, machine: Machine) -> None:
        """Take note of what this machine computes on."""
        self.machine = machine
        if self.plan_model.plan is not None:
            self._on_plan(self.plan_model.plan)

    # -- Train -----------------------------------------------------------------------------

    def set_engine(self, *, ready: bool, words: str = "", note: str = "") -> None:
        """Say whether the engine can train, in words if not, and on which device."""
        self._engine_ready, self._engine_words, self._engine_note = ready, words, note
        self._refresh_standing()

    def set_runs(self, *, busy: bool, waiting: int, paused: bool = False) -> None:
        """Say whether an engine is at work or waits paused, and how many jobs wait."""
        self._busy, self._waiting, self._paused = busy, waiting, paused
        self._refresh_standing()

    @property
    def can_train(self) -> bool:
        """Whether Train is on."""
        return not self.document.errors and self._engine_ready

    def _refresh_standing(self) -> None:
        self.plan_bar.set_standing(self._standing())
        overlay = self.work.overlay is not None
        self.tool_bar.show_train(
            enabled=self.can_train, queues=self._busy, waiting=self._waiting,
            primary=self.can_train and not overlay,
        )  # fmt: skip
        words = "" if self.can_train else self._standing().words
        self.tool_bar.train.setToolTip(words or self.tr("Train this job now"))

    def _standing(self) -> Standing:
        keeps_off = what_keeps_off(self.document)
        if keeps_off:
            return Standing("off", keeps_off, stand_in_words(self.document))
        if self._busy:
            words = self.tr("Paused") if self._paused else self.tr("Training")
            return Standing("training", words, self._engine_note)
        if not self._engine_ready:
            return Standing("waiting", self._engine_words, self._engine_note)
        return Standing("ready", self.tr("Ready"), self._engine_note)

    def show_what_keeps_train_off(self) -> None:
        """Show the wrong fields alone and move to the first."""
        errors = self.document.errors
        if not errors:
            return
        self.pane.set_folded(False)
        self.form.finish_building()
        self.form.set_shows_missing()
        self.form.show_problems()
        if any(self.document.get(p.path) not in (None, "", []) for p in errors):
            self.form.set_filter("mend")
        order = marked_paths(self.form)
        wrong = {p.path for p in errors}
        first = next((p for p in order if p in wrong), errors[0].path)
        self.form.focus_field(first)

    def train(self) -> None:
        """Train the job as it is now; where that is not possible, show why."""
        if self.document.errors:
            self.show_what_keeps_train_off()
        elif self._engine_ready:
            self.session.save_if_waiting()
            (self.queue_asked if self._busy else self.train_asked).emit(self.document.written())

    def queue(self) -> None:
        """Put a frozen copy of the job into the queue."""
        if self.document.errors:
            self.show_what_keeps_train_off()
        else:
            self.queue_asked.emit(self.document.written())

    # -- presets and architecture ----------------------------------------------------------

    def choose_preset(self, preset: Preset) -> None:
        """Load a preset; where that would take back own changes, show first what it would set."""
        changes = self.document.changes_by_preset(preset)
        asks = self.settings.get("asks_before_preset", True)
        if not (asks and changes and self.document.changed_paths()):
            self.load_preset(preset)
            return
        ask_about_preset(self, preset, changes, self.document, lambda: self.load_preset(preset))
        self.refresh_presets()  # the box shows the present one until the answer

    def load_preset(self, preset: Preset) -> None:
        """Apply a preset as one step, and say what changed."""
        count = len(self.document.changes_by_preset(preset))
        self.document.load_preset(preset)
        fields = counted(count, self.tr("field changed"), self.tr("fields changed"))
        words = f"{preset.name}: {fields}"
        self.work.toast.say(words, self.tr("Undo"), self.document.undo_stack.undo)

    def choose_architecture(self, architecture: str) -> None:
        """Change the architecture; a preset of the same name is taken where there is one."""
        self._choice.choose(architecture)

    # -- layout ----------------------------------------------------------------------------

    def fold_form(self) -> None:
        """Fold the form to its rail, or open it."""
        self.pane.set_folded(not self.pane.is_folded)
        if not self.pane.is_folded:
            self.reset_splitter()

    def reset_splitter(self) -> None:
        """The usual widths."""
        left = self.pane.rail.sizeHint().width() + (
            FORM_USUAL if self.width() >= 1200 else FORM_USUAL - 48
        )
        self.splitter.setSizes([left, max(520, self.width() - left)])

    def save_layout(self) -> None:
        """Remember geometry, splitter, tab, depth."""
        remember_layout(self)

    def reset_layout(self) -> None:
        """Everything where it was at the first start."""
        self.pane.set_folded(False)
        self.resize(*USUAL)
        self.reset_splitter()

    def _on_theme(self) -> None:
        self.pane.fit_to_window(self.width())
        self.pane.refit()
        QTimer.singleShot(0, self, self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        """After the first one, do what nobody sees at once or what takes a check of the job."""
        super().paintEvent(event)
        if not self._is_seen:
            self._is_seen = True
            QTimer.singleShot(0, self, self._on_seen)

    def _on_seen(self) -> None:
        self.form.build()
        self.refresh_presets()
        self._refresh_standing()
        QTimer.singleShot(0, self, self.seen.emit)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the rail its words or take them."""
        super().resizeEvent(event)
        was = self.pane.rail.is_narrow
        self.pane.fit_to_window(event.size().width())
        if was != self.pane.rail.is_narrow and not self.pane.is_folded:
            self.reset_splitter()

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        """A double click on the splitter's handle resets it."""
        if event.type() == QEvent.Type.MouseButtonDblClick:
            self.reset_splitter()
            return True
        return super().eventFilter(watched, event)  # pyright: ignore[reportArgumentType]

    # -- drops and the end -----------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Name what a drop would do."""
        paths = [Path(u.toLocalFile()) for u in event.mimeData().urls() if u.isLocalFile()]
        if paths:
            self.drop_hint.show_words(guess(paths))
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Take the words away."""
        self.drop_hint.hide()
        super().dragLeaveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand the dropped files on."""
        self.drop_hint.hide()
        paths = [Path(u.toLocalFile()) for u in event.mimeData().urls() if u.isLocalFile()]
        event.acceptProposedAction()
        self.files_dropped.emit(paths)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask the listeners, then remember everything."""
        self.closing.emit(event)
        if event.isAccepted():
            self.session.save()
            self.save_layout()
