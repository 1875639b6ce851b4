"""What the File menu does: jobs, presets, run folders, drops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from app.dialogs import ask, ask_name, choose_file
from app.document import Document
from app.drop import Dropped, look_at_drop
from app.folder_names import folder_item
from app.job_name import job_name
from app.preset_store import PresetStore
from app.settings import Settings
from app.widgets.notice import Notice
from app.window import MainWindow
from app.worker import in_worker
from engine.schema.job_file import read_toml
from engine.schema.presets import Preset, from_job, read_preset, save_preset
from engine.schema.problem import JobError

TOML = "TOML (*.toml)"


class FileCommands(QObject):
    """Opens and saves; all questions are asked without blocking.

    Signals:
        run_asked: Path of a run folder to show.
        inspect_asked: Path of a file to inspect.
        import_asked: Path of another trainer's settings.
        recents_changed: the recent jobs are others.
    """

    run_asked = Signal(object)
    inspect_asked = Signal(object)
    import_asked = Signal(object)
    recents_changed = Signal()

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window: MainWindow = window
        self._document: Document = window.document
        self._settings: Settings = window.settings
        self._store: PresetStore = window.store
        window.files_dropped.connect(self.take_drop)
        window.tool_bar.save_preset_asked.connect(self.save_preset)

    @property
    def _parent(self) -> QWidget:
        return self._window

    # -- jobs ------------------------------------------------------------------------------

    def new(self, preset: Preset | None = None) -> None:
        """A new job from a preset; the former one can be had back by Undo."""
        preset = preset or self._store.default(self._document.architecture)
        if preset is None:
            return

        def start() -> None:
            self._document.start_new(preset)
            self._window.say(self.tr("A new job. Undo brings the former one back."))

        self.keep_or(start)

    def keep_or(self, then: Callable[[], object]) -> None:
        """Ask about a named file that differs, then go on."""
        if not self._document.is_dirty or self._document.path is None:
            then()
            return
        name = self._document.path.name

        def save_first() -> None:
            if self.save():
                then()

        ask(
            self._parent, self.tr("Save %s?") % name,
            self.tr("The job differs from its file."),
            [(self.tr("Save"), "primary", save_first), (self.tr("Do not save"), "danger", then)],
        )  # fmt: skip

    def open(self) -> None:
        """Ask for a job file, a preset, or another trainer's settings."""
        filters = f"{self.tr('Jobs and settings')} (*.toml *.json *.yaml *.yml)"
        choose_file(
            self._parent, self.tr("Open job"), filters, lambda path: self.open_file(Path(path))
        )

    def open_file(self, path: Path) -> None:
        """Open a job or a preset, or offer to import what is another trainer's."""

        def use(found: Dropped) -> None:
            if found.kind == "foreign":
                self.import_asked.emit(path)
            else:
                self.open_job(path)

        in_worker(self, lambda: look_at_drop([path]), use)

    def open_job(self, path: Path) -> None:
        """Open a job file, or a preset's."""

        def load() -> None:
            try:
                data = read_toml(path)
                if "preset" in data:
                    self._window.load_preset(read_preset(path))
                    return
                self._document.replace(data, self.tr("open %s") % path.name)
            except JobError as error:
                self._window.work.add_notice(Notice(str(error), "error", parent=self._window.work))
                return
            self._document.mark_saved(path)
            self._remember(path)
            self._window.work.hide_overlay()
            self._window.say(self.tr("Opened %s") % path.name)

        self.keep_or(load)

    def take_job(self, path: Path) -> None:
        """Take a run's settings into the form, as a job without a file of its own."""
        try:
            self._document.replace(read_toml(path), self.tr("settings of a run"))
        except JobError as error:
            self._window.say(str(error), trouble=True)
            return
        self._document.mark_saved(None)
        self._window.pane.set_folded(False)
        self._window.say(self.tr("The form has the run's settings. Undo brings yours back."))

    def save(self) -> bool:
        """Save to the job's file; without one, ask. Says whether it was written at once."""
        if self._document.path is None:
            self.save_as()
            return False
        return self._write(self._document.path)

    def save_as(self) -> None:
        """Ask where to save."""
        name = job_name(self._document) + ".toml"
        choose_file(
            self._parent, self.tr("Save job"), TOML, lambda path: self._write(Path(path)),
            save_as=name,
        )  # fmt: skip

    def _write(self, path: Path) -> bool:
        try:
            self._document.save(path)
        except OSError as error:
            words = self.tr("%s could not be written: %s.") % (path, error.strerror or error)
            self._window.say(words, trouble=True)
            return False
        self._remember(path)
        self._window.say(self.tr("Saved %s") % path.name)
        return True

    def _remember(self, path: Path) -> None:
        self._settings.add_recent("job", str(path))
        self.recents_changed.emit()

    def open_run(self) -> None:
        """Ask for a run folder."""
        choose_file(
            self._parent, self.tr("Open run folder"), "",
            lambda path: self.run_asked.emit(Path(path)), folder=True,
        )  # fmt: skip

    # -- presets ---------------------------------------------------------------------------

    def save_preset(self) -> None:
        """Ask for a name and save the settings as a preset; built-in ones stay as they are."""
        name = self._document.preset.name
        if self._document.preset.built_in:
            name = self.tr("%s, mine") % name
        ask_name(
            self._parent, self.tr("Save as preset"),
            self.tr("Name. Files, folders and prompts are left out."), name, self.tr("Save"),
            self._save_preset_as,
        )  # fmt: skip

    def _save_preset_as(self, name: str) -> None:
        document = self._document

        def write() -> None:
            preset = from_job(name, document.written(), document.preset.description)
            try:
                saved = self._store.save(preset)
            except OSError as error:
                words = self.tr("The preset could not be saved: %s.") % (error.strerror or error)
                self._window.say(words, trouble=True)
                return
            document.use_preset_as_base(saved)
            self._window.refresh_presets()
            self._window.say(self.tr("Preset saved: %s") % name)

        if self._store.exists(document.architecture, name):
            ask(
                self._parent, self.tr("Replace %s?") % name,
                self.tr("You have a preset of this name."),
                [(self.tr("Replace"), "danger", write)],
            )  # fmt: skip
        else:
            write()

    def rename_preset(self) -> None:
        """Ask for the present preset's new name."""
        preset = self._document.preset

        def rename(name: str) -> None:
            try:
                renamed = self._store.rename(preset, name)
            except OSError as error:
                self._window.say(str(error), trouble=True)
                return
            self._document.use_preset_as_base(renamed)
            self._window.refresh_presets()

        ask_name(
            self._parent, self.tr("Rename preset"), self.tr("Name"), preset.name,
            self.tr("Rename"), rename,
        )  # fmt: skip

    def delete_preset(self) -> None:
        """Ask, then move the present preset to the trash; the values stay as they are."""
        preset = self._document.preset

        def delete() -> None:
            try:
                self._store.delete(preset)
            except OSError as error:
                self._window.say(str(error), trouble=True)
                return
            default = self._store.default(preset.architecture)
            if default is not None:
                self._document.use_preset_as_base(default)
            self._window.refresh_presets()
            self._window.work.toast.say(
                self.tr("Preset deleted: %s") % preset.name, self.tr("Undo"),
                lambda: self._restore_preset(preset),
            )  # fmt: skip

        ask(
            self._parent, self.tr("Delete %s?") % preset.name,
            self.tr("The file goes to the trash. The values in the form stay."),
            [(self.tr("Delete"), "danger", delete)],
        )  # fmt: skip

    def _restore_preset(self, preset: Preset) -> None:
        self._document.use_preset_as_base(self._store.save(preset))
        self._window.refresh_presets()

    def import_preset(self) -> None:
        """Ask for a preset file and copy it to the user's presets."""
        choose_file(
            self._parent, self.tr("Import preset"), TOML,
            lambda path: self.import_preset_file(Path(path)),
        )  # fmt: skip

    def import_preset_file(self, path: Path) -> None:
        """Copy a preset file to the user's presets and apply it."""
        try:
            preset = self._store.import_file(path)
        except (JobError, OSError) as error:
            self._window.say(str(error), trouble=True)
            return
        self._window.load_preset(preset)

    def export_preset(self) -> None:
        """Ask where to, and write the settings as a preset file."""
        document = self._document
        preset = from_job(document.preset.name, document.written(), document.preset.description)

        def write(path: str) -> None:
            try:
                save_preset(preset, Path(path))
            except OSError as error:
                self._window.say(str(error), trouble=True)
                return
            self._window.say(self.tr("Exported %s") % Path(path).name)

        name = f"{preset.name}.toml".replace("/", "-")
        choose_file(self._parent, self.tr("Export preset"), TOML, write, save_as=name)

    # -- folders and drops -----------------------------------------------------------------

    def add_folder(self) -> None:
        """Ask for a folder of pictures."""
        choose_file(
            self._parent, self.tr("Folder of pictures"), "",
            lambda path: self.take_drop([Path(path)]), folder=True,
        )  # fmt: skip

    def take_drop(self, paths: list[Path]) -> None:
        """Look at dropped files in a worker, then use them."""
        in_worker(self, lambda: look_at_drop(paths), self._use_drop)

    def _use_drop(self, dropped: Dropped) -> None:
        first = dropped.paths[0] if dropped.paths else Path()
        if dropped.kind == "folders":
            self.add_items(dropped)
        elif dropped.kind == "pictures":
            words = self.tr("Add the folder of these pictures: %s?") % first
            self._offer(words, [(self.tr("Add folder"), lambda: self.add_items(dropped))])
        elif dropped.kind in ("job", "preset"):
            if dropped.kind == "preset":
                self.import_preset_file(first)
            else:
                self.open_job(first)
        elif dropped.kind == "foreign":
            self.import_asked.emit(first)
        elif dropped.kind == "run":
            self.run_asked.emit(first)
        elif dropped.kind == "adapter":
            self.inspect_asked.emit(first)
        elif dropped.kind == "model":
            use = self.tr("Use as base model")
            self._offer(first.name, [(use, lambda: self._document.set("model.path", str(first)))])
        else:
            self._window.say(dropped.words, trouble=True)

    def _offer(self, words: str, acts: list[tuple[str, Callable[[], object]]]) -> None:
        self._window.work.add_notice(Notice(words, "info", acts, self._window.work))

    def add_items(self, dropped: Dropped) -> None:
        """Add folders to the dataset as one step; ones that are there already are passed over."""
        folders = list(self._document.get("dataset.folders"))
        known = {str(f.get("path")) for f in folders}
        new = [i for i in dropped.items if str(i["path"]) not in known]
        if folders and not folders[-1].get("path"):
            folders.pop()
        self._document.end_merging()
        words = self.tr("add folder") if len(new) == 1 else self.tr("add folders")
        self._document.set_many([("dataset.folders", folders + [_item(i) for i in new])], words)
        self._document.end_merging()
        count = len(new)
        said = self.tr("%d folders added") % count if count != 1 else self.tr("Folder added")
        if not count:
            said = self.tr("This folder is in the dataset already")
        self._window.work.hide_overlay()
        self._window.work.show_page("dataset")
        self._window.work.toast.say(said, self.tr("Undo"), self._document.undo_stack.undo)


def _item(item: dict[str, object]) -> dict[str, object]:
    """Only what was told by the folder's name."""
    named = folder_item(str(item["path"]))
    return {**{k: v for k, v in item.items() if v not in ("", 1.0)}, **named}
