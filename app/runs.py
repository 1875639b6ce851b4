"""Runs: the queue of frozen jobs, the one engine at work, the runs there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from app import run_index
from app.process import EngineCommand, EngineProcess, Word
from app.run_folder import RunFacts, read_facts, read_settings
from app.run_model import RunModel
from app.run_queue import QueueItem, RunQueue, set_text, with_directory
from app.settings import places
from app.worker import in_worker
from engine.schema.options import set_at


class RunController(QObject):
    """Starts engines one at a time and knows every run.

    What a run's state is comes from its process and its folder, never from a stored flag; Train
    means queue and start now (spec: gui 5.5).

    Signals:
        queue_changed: items, their order, or whether the queue waits.
        shown_changed: another run is looked at; RunModel or None.
        run_started, run_ended: RunModel.
        pause_changed: the engine at work was paused, or goes on.
        runs_changed: the list of known runs was brought up to date.
        interrupted_found: list of RunFacts.
        trouble: a sentence for a notice.
    """

    queue_changed = Signal()
    shown_changed = Signal(object)
    run_started = Signal(object)
    run_ended = Signal(object)
    pause_changed = Signal()
    runs_changed = Signal()
    interrupted_found = Signal(list)
    trouble = Signal(str)

    def __init__(
        self,
        directory: Path | None = None,
        engine: EngineCommand | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._directory = directory or places().state
        self._engine = engine or EngineCommand.of_this_install()
        self._queue = RunQueue(self._directory / "queue")
        self._index_file = self._directory / "runs.json"
        self._known: dict[str, RunFacts] = {}
        self._noted: dict[str, RunFacts] = {}  # while the list was being read
        self._running: RunModel | None = None
        self._item: QueueItem | None = None
        self._shown: RunModel | None = None
        self._refreshing = self._paused = False
        self.waiting = bool(self._queue.items)  # a restored queue starts only when asked
        self.pause_after_failure = False

    # What there is

    @property
    def queue(self) -> Sequence[QueueItem]:
        """The waiting jobs in order."""
        return tuple(self._queue.items)

    @property
    def running(self) -> RunModel | None:
        """The run whose engine this window holds."""
        return self._running

    @property
    def shown(self) -> RunModel | None:
        """The run that the training pages show."""
        return self._shown

    @property
    def is_busy(self) -> bool:
        """Whether an engine is at work, so that Train means Queue it."""
        return self._running is not None

    @property
    def is_paused(self) -> bool:
        """Whether the engine at work waits until the person goes on."""
        return self._paused

    @property
    def runs(self) -> list[RunFacts]:
        """Known runs, newest first, as of the last refresh."""
        return sorted(self._known.values(), key=lambda run: run.changed, reverse=True)

    def find_interrupted(self) -> None:
        """Look, in a worker, at the runs that were at work when the window last went away without
        seeing their end; `interrupted_found` follows if there are any."""
        folders = [Path(item.directory) for item in self._queue.cut_off]

        def read() -> list[RunFacts]:
            return [run for run in map(read_facts, folders) if run.status != "done"]

        if folders:
            in_worker(self, read, self.interrupted_found.emit)

    def forget_interrupted(self) -> None:
        """The person has answered: do not offer those runs again."""
        for item in list(self._queue.cut_off):
            self._queue.forget(item)

    # Starting and queueing

    def start(self, data: Mapping[str, Any]) -> None:
        """Queue a job and start it now; behind a running one it waits its turn."""
        if self.is_busy:
            self.enqueue(data)
            return
        self._add(data, first=True)
        self.waiting = False
        self._start_next()

    def enqueue(self, data: Mapping[str, Any]) -> None:
        """Queue a frozen copy of a job."""
        if self._add(data, first=False) and not self.is_busy and not self.waiting:
            self._start_next()

    def resume(
        self, directory: Path, changes: Sequence[tuple[str, object]] = (), name: str = ""
    ) -> None:
        """Go on with a run from its newest state, with some of its settings changed."""
        sets = tuple(set_text(path, value) for path, value in changes)
        self._queue.add_resume(directory, name or directory.name, sets)
        self.queue_changed.emit()
        if not self.is_busy:
            self.waiting = False
            self._start_next()

    def start_again(self, directory: Path, changes: Sequence[tuple[str, object]] = ()) -> None:
        """Run the job of a run once more from its start, in a new folder."""

        def read() -> dict[str, Any]:
            data = read_settings(directory)
            for path, value in changes:
                set_at(data, path, value)
            return data

        in_worker(self, read, self.start)

    def start_queue(self) -> None:
        """Let the queue run on."""
        self.waiting = False
        self.queue_changed.emit()
        if not self.is_busy:
            self._start_next()

    def hold_queue(self) -> None:
        """Start nothing more after the present run."""
        self.waiting = True
        self.queue_changed.emit()

    def move(self, identity: str, to: int) -> None:
        """Move a waiting job."""
        self._queue.move(identity, to)
        self._keep_running_item()
        self.queue_changed.emit()

    def remove(self, identity: str) -> None:
        """Take a waiting job out."""
        self._queue.remove(identity)
        self._keep_running_item()
        self.queue_changed.emit()

    def send(self, word: Word) -> None:
        """Send a command to the engine at work."""
        if self._running is not None:
            self._running.send(word)

    def kill(self) -> None:
        """End the engine at work at once, with its children."""
        if self._running is not None:
            self._running.kill()

    # Looking at runs

    def show(self, model: RunModel | None) -> None:
        """Look at a run; the one looked at before is let go if no engine of ours works in it."""
        if model is self._shown:
            return
        before, self._shown = self._shown, model
        self.shown_changed.emit(model)
        if before is not None and before is not self._running:
            before.deleteLater()

    def open_run(self, directory: Path) -> RunModel:
        """Look at any run folder: finished, crashed or running."""
        if self._running is not None and self._running.directory == directory:
            self.show(self._running)
            return self._running
        model = RunModel(directory.name, self)
        model.ended.connect(self.refresh_runs)
        model.reloaded.connect(partial(self._note, model))
        model.open(directory)
        self.show(model)
        return model

    def refresh_runs(self, roots: Sequence[Path] = ()) -> None:
        """Bring the list of runs up to date in a worker; `runs_changed` follows."""
        if self._refreshing:
            return
        self._refreshing = True
        self._noted.clear()
        file, known = self._index_file, dict(self._known)

        def read() -> list[RunFacts]:
            facts = run_index.refresh({**run_index.load(file), **known}, roots)
            run_index.save(file, facts)
            return facts

        in_worker(self, read, self._on_refreshed, self._on_refresh_failed)

    def forget_run(self, directory: str) -> None:
        """Take a run off the list; its folder stays."""
        self._known.pop(directory, None)
        self._noted.pop(directory, None)
        run_index.save(self._index_file, self.runs)
        self.runs_changed.emit()

    # Inside

    def _add(self, data: Mapping[str, Any], first: bool) -> bool:
        try:
            self._queue.add(data, first)
        except OSError as error:
            self.trouble.emit(
                self.tr("The job could not be queued: {0}. Free some space in {1}.").format(
                    error.strerror or error, self._directory
                )
            )
            return False
        self._keep_running_item()
        self.queue_changed.emit()
        return True

    def _start_next(self) -> None:
        if self.is_busy or self.waiting or not self._queue.items:
            return
        item = self._queue.items.pop(0)
        self._item = item
        self._keep_running_item()
        model = self._model_for(item)
        process = EngineProcess(self._engine, model)
        model.attach(process)
        model.ended.connect(self._on_ended)
        model.updated.connect(self._on_updated)
        self._running = model
        process.start(item.arguments())
        self.show(model)
        self.queue_changed.emit()
        self.run_started.emit(model)

    def _model_for(self, item: QueueItem) -> RunModel:
        """A new model, or the shown one if its own run goes on: curve and previews stay."""
        shown = self._shown
        if item.resume and shown is not None and shown.directory == Path(item.resume):
            return shown
        model = RunModel(item.name, self)
        if item.resume:
            model.open(Path(item.resume))
        return model

    def _keep_running_item(self) -> None:
        self._queue.save(self._item)

    def _on_updated(self) -> None:
        model, item = self._running, self._item
        if model is None or item is None:
            return
        if self._paused != (model.state.status == "paused"):
            self._paused = not self._paused
            self.pause_changed.emit()
        if item.directory or model.directory is None:
            return
        if model.state.hello is not None:
            self._item = with_directory(item, model.directory)
            self._keep_running_item()
            self._note(model)

    def _on_ended(self) -> None:
        model, item = self._running, self._item
        if model is None or item is None:
            return
        self._running = self._item = None
        self._paused = False
        model.updated.disconnect(self._on_updated)
        model.ended.disconnect(self._on_ended)
        self._queue.forget(item)
        self._note(model)
        if self.pause_after_failure and model.state.status in ("failed", "interrupted"):
            self.waiting = bool(self._queue.items)
        self.run_ended.emit(model)
        self.queue_changed.emit()
        if model is not self._shown:
            model.deleteLater()
        self._start_next()

    def _note(self, model: RunModel) -> None:
        facts = model.facts()
        if facts is not None:
            self._known[facts.directory] = self._noted[facts.directory] = facts
            self.runs_changed.emit()
            self.refresh_runs()

    def _on_refreshed(self, facts: list[RunFacts]) -> None:
        self._refreshing = False
        self._known = {run.directory: run for run in facts} | self._noted
        self.runs_changed.emit()
        if self._noted:
            self.refresh_runs()  # so that the index has them too

    def _on_refresh_failed(self, error: OSError) -> None:
        self._refreshing = False
        self.trouble.emit(
            self.tr("The list of runs could not be written: {0}.").format(error.strerror or error)
        )
