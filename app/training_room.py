"""Joins the window with runs, engine set-up and the pages; made after the first paint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from app.dataset_page import DatasetPage
from app.device import DeviceLook
from app.engine_setup import EngineSetup
from app.export_settings import ExportCommands
from app.field_text import FieldText
from app.file_commands import FileCommands
from app.first_run_page import FirstRunPage
from app.greeting import is_empty, shorten
from app.help_pages import HelpPages
from app.import_settings import ImportCommands
from app.leaving import Leaving
from app.menus import Menus
from app.optimizer_needs import optimizer_problems, unusable_optimizers
from app.plan_page import PlanPage
from app.preferences import TELLS_END, USUAL_SIDE, PreferencesDialog
from app.process import EngineCommand
from app.run_defaults import with_run_defaults
from app.runs import RunController
from app.setup_page import SetupPage
from app.tools_menu import ToolsMenu
from app.training_views import TrainingViews
from app.tray import RunTray
from app.widgets.notice import Notice
from app.window import MainWindow
from engine.schema.job_file import read_toml
from engine.schema.problem import JobError

if TYPE_CHECKING:
    from app.run_folder import RunFacts
    from app.run_model import RunModel

DEMO_JOB = Path(__file__).resolve().parent.parent / "resources" / "demo" / "job.toml"


class TrainingRoom(QObject):
    """Owns the controller and the pages, and carries their wishes to and fro."""

    def __init__(
        self,
        window: MainWindow,
        runs: RunController,
        command: EngineCommand | None = None,
    ) -> None:
        super().__init__(window)
        self.window, self.runs = window, runs
        self.setup = EngineSetup(command, self)
        self._starts_when_ready: Callable[[], object] | None = None
        self._unusable: dict[str, str] = {}  # optimizers, and why
        self._add_pages(runs)
        self.files = FileCommands(window)
        self.help = HelpPages(window, command)
        self.texts = FieldText(window)
        self.tray = RunTray(window)
        self.tools = ToolsMenu(window, self.files, self.setup, self._when_ready, command)
        self.leaving = Leaving(window, runs, self.files, self.tray, self._close_down)
        self.devices = DeviceLook(self)
        self.menus = Menus(window, self.files, self.texts, self.help, self._send, self.run_demo)
        self.menus.preferences_asked.connect(self.show_preferences)
        self.menus.add_menus("tools", self.tools.entries())
        self.imports, self.exports = ImportCommands(window), ExportCommands(window)
        self.menus.add_menus("file", [*self.imports.entries(), *self.exports.entries(), None])
        self.files.import_asked.connect(self.imports.import_path)
        self.menus.add_pages()
        self._connect()
        window.plan_model.start()
        self.setup.check()
        self._on_runs()
        self._on_preference()
        self.devices.look()
        runs.find_interrupted()
        window.work.show_page(str(window.settings.get("tab", "plan")) or "plan")
        self._greet()

    def _add_pages(self, runs: RunController) -> None:
        window = self.window
        self.dataset = DatasetPage(window.document)
        self.plan_page = PlanPage(window.document, window.plan_model)
        self.views = TrainingViews(runs, self)
        window.add_page("dataset", self.tr("Dataset"), self.dataset, scrolls=False)
        window.add_page("plan", self.tr("Plan"), self.plan_page)
        for key, title, page in self.views.pages:
            window.add_page(key, title, page, scrolls=False)
        window.work.set_top(self.views.panel)
        self.first_run = FirstRunPage(self.setup)
        self.setup_page = SetupPage(self.setup)

    def _connect(self) -> None:
        window, views, runs = self.window, self.views, self.runs
        say_trouble = window.say_trouble
        window.train_asked.connect(self._train)
        window.queue_asked.connect(self._enqueue)
        self.devices.found.connect(self._on_device)
        window.document.changed.connect(self._warn_of_optimizer)
        window.document.replaced.connect(self._warn_of_optimizer)
        runs.interrupted_found.connect(self._offer_interrupted)
        window.plan_model.pictures_changed.connect(self._show_pictures)
        self.dataset.rescan_asked.connect(window.plan_model.look_again)
        self.dataset.folder_asked.connect(self.files.add_folder)
        self.dataset.trouble.connect(say_trouble)
        self.plan_page.field_asked.connect(window.form.focus_field)
        views.page_asked.connect(self._show_page)
        views.panel.field_asked.connect(window.form.focus_field)
        views.panel.change_asked.connect(window.document.set)
        for asker in (views.panel, views.list):
            asker.job_asked.connect(self.files.take_job)
        views.trouble.connect(say_trouble)
        for signal in (
            runs.queue_changed, runs.run_started, runs.run_ended, runs.pause_changed,
        ):  # fmt: skip
            signal.connect(self._on_runs)
        self.files.run_asked.connect(self.open_run)
        self.first_run.demo_asked.connect(self.run_demo)
        self.first_run.folder_asked.connect(self.files.add_folder)
        self.first_run.job_asked.connect(self.files.open)
        self.first_run.setup_asked.connect(self._show_setup)
        self.setup_page.left.connect(self._leave_setup)
        self.setup.changed.connect(self._on_setup)
        window.form.attended.connect(self._on_attended)

    # -- what is seen ----------------------------------------------------------------------

    def _show_page(self, key: str) -> None:
        self.window.work.hide_overlay()
        self.window.work.show_page(key)
        self.window.refresh()

    def _show_pictures(self) -> None:
        pictures = self.window.plan_model.pictures or []
        problems = [p for p in self.window.document.problems if p.path.startswith("dataset.fo")]
        words = problems[0].message if problems and not pictures else ""
        self.dataset.show_pictures(pictures, words)
        self.window.work.tabs.set_count("dataset", str(len(pictures)) if pictures else "")

    def _on_attended(self, path: str) -> None:
        """While nothing trains, the page that belongs to the field in focus comes forward."""
        form = self.window.form
        if self.runs.shown is not None or path != form.focused_path:
            return
        here = self.window.work.current
        if path.startswith("network.") and here == "dataset":
            self.window.work.show_page("plan")

    def _greet(self) -> None:
        """Show the three ways to begin while there is nothing to begin with."""
        document = self.window.document
        if is_empty(document) and self.runs.shown is None:
            shorten(self.window.form)
            self.window.work.show_overlay(self.first_run)
            document.changed.connect(self._leave_greeting)
            document.replaced.connect(self._leave_greeting)
        self.window.refresh()

    def _leave_greeting(self, _paths: object = None) -> None:
        document = self.window.document
        if self.window.work.overlay is self.first_run and (
            document.get("model.path") and document.get("dataset.folders")
        ):
            self.window.work.hide_overlay()
            self.window.form.set_folded(())
            self.window.refresh()

    def open_run(self, directory: Path) -> None:
        """Show a run folder: finished, crashed or running."""
        self.runs.open_run(directory)
        self._show_page("progress")

    # -- runs ------------------------------------------------------------------------------

    def _on_runs(self, _run: RunModel | None = None) -> None:
        runs = self.runs
        self.window.set_runs(busy=runs.is_busy, waiting=len(runs.queue), paused=runs.is_paused)
        self.menus.set_running(self.runs.is_busy)

    def _train(self, data: dict[str, Any]) -> None:
        job = with_run_defaults(data, self.window.settings)
        self._when_ready(lambda: self.runs.start(job))

    def _enqueue(self, data: dict[str, Any]) -> None:
        self.runs.enqueue(with_run_defaults(data, self.window.settings))

    def _send(self, word: str) -> None:
        """Send a word to the engine; the pause key goes on with a paused run."""
        if word == "pause" and self.runs.is_paused:
            word = "resume"
        self.runs.send(word)  # pyright: ignore[reportArgumentType]

    def run_demo(self) -> None:
        """Train the demo adapter; the job being edited stays as it is."""
        try:
            data = read_toml(DEMO_JOB)
        except JobError as error:
            self.window.say(str(error), trouble=True)
            return
        root = DEMO_JOB.parent
        data["model"]["path"] = str(root / data["model"]["path"])
        for folder in data["dataset"]["folders"]:
            folder["path"] = str(root / folder["path"])
        self._train(data)

    def _offer_interrupted(self, found: list[RunFacts]) -> None:
        for run in found:
            directory = Path(run.directory)
            acts: list[tuple[str, Callable[[], object]]] = [
                (self.tr("Show"), lambda d=directory: self.open_run(d))
            ]
            if run.resume_step is not None:
                words = self.tr("Resume from step %s") % f"{run.resume_step:,}"
                acts.insert(0, (words, lambda d=directory: self._resume(d)))
            said = self.tr("%s was interrupted at step %s of %s.") % (
                run.name, f"{run.step:,}", f"{run.total_steps:,}",
            )  # fmt: skip
            notice = Notice(said, "warning", acts, self.window.work)
            notice.closed.connect(self.runs.forget_interrupted)
            self.window.work.add_notice(notice)

    def _resume(self, directory: Path) -> None:
        self._when_ready(lambda: self.runs.resume(directory))

    # -- the engine's packages -------------------------------------------------------------

    def _when_ready(self, act: Callable[[], object]) -> None:
        """Act now, or after the engine has been installed."""
        if self.setup.is_ready or self.setup.status.state == "unknown":
            self.window.work.hide_overlay()
            act()
            return
        self._starts_when_ready = act
        if not self.setup.is_working:
            self.setup.install()
        self._show_setup()

    def _show_setup(self) -> None:
        self.window.work.show_overlay(self.setup_page)
        self.window.refresh()

    def _leave_setup(self) -> None:
        self.window.work.hide_overlay()
        self._greet()

    def _on_setup(self) -> None:
        status = self.setup.status
        ready = self.setup.is_ready or status.state in ("unknown", "absent")
        words = self.tr("Installing the engine") if self.setup.is_working else status.message
        self.window.set_engine(ready=ready, words=words or self.tr("Engine not installed"))
        if self.setup.is_ready and self._starts_when_ready is not None:
            act, self._starts_when_ready = self._starts_when_ready, None
            self.window.work.hide_overlay()
            act()

    # -- the machine and the person's preferences ------------------------------------------

    def _on_device(self) -> None:
        machine = self.devices.machine
        if machine is None:
            return
        self.window.set_machine(machine)
        self.plan_page.set_machine(machine)
        self._unusable = unusable_optimizers(machine.has_nvidia)
        self.window.form.set_unusable("optimizer.name", self._unusable)
        self._warn_of_optimizer()

    def _warn_of_optimizer(self, _paths: object = None) -> None:
        document = self.window.document
        problems = optimizer_problems(document.get("optimizer.name"), self._unusable)
        document.set_outside_problems("optimizer", problems)

    def show_preferences(self) -> PreferencesDialog:
        """Open the preferences; every change counts at once."""
        dialog = PreferencesDialog(self.window.settings, self.window)
        dialog.changed.connect(self._on_preference)
        dialog.open()
        return dialog

    def _on_preference(self, _key: str = "") -> None:
        settings = self.window.settings
        self.dataset.grid.set_side(settings.get("thumbnail_side", USUAL_SIDE))
        self.tray.tells = settings.get(TELLS_END, True)

    def _close_down(self) -> None:
        self.dataset.close_down()
        self.tools.stop()
        self.setup.stop()
