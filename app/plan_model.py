"""What the job will do, foretold at every change; files are looked at in a worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from app.document import Document
from app.worker import in_worker
from engine.schema.dataset import Dataset
from engine.schema.options import get_at
from engine.schema.problem import Problem

if TYPE_CHECKING:
    from engine.plan.detect import ModelFacts
    from engine.plan.folders import Picture
    from engine.plan.ranks import FileRanks
    from engine.plan.site import Placement, Site
    from engine.plan.summary import Plan


LOOK_DELAY_MS = 250  # after the last key in a path
_DRAWN = ("repeats", "samples_per_epoch", "loss_weight", "preserve_prior", "flip", "tag_dropout")


class PlanModel(QObject):
    """Keeps a `Plan` of the document.

    Signals:
        changed: the Plan, computed anew.
        pictures_changed: `pictures` is another list, or None while it is being read.
        facts_changed: `facts` of the base model are others, or None.
    """

    changed = Signal(object)
    pictures_changed = Signal()
    facts_changed = Signal()

    def __init__(self, document: Document, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self.plan: Plan | None = None
        self.facts: ModelFacts | None = None
        self.pictures: list[Picture] | None = None
        self._model_key = ""
        self._folders_key = ""
        self._ranks_of = ""  # the adapter file that `_ranks` are of
        self._ranks: FileRanks | None = None
        self._generation = 0
        self._folders: list[str] = []  # of which `pictures` tells
        self._summary_timer = QTimer(self, interval=0, singleShot=True)
        self._summary_timer.timeout.connect(self.compute)
        self._look_timer = QTimer(self, interval=LOOK_DELAY_MS, singleShot=True)
        self._look_timer.timeout.connect(self.look)
        document.changed.connect(self._on_changed)
        document.replaced.connect(self._on_changed)

    def start(self) -> None:
        """Look at the files and compute the first plan."""
        self.look()
        self._summary_timer.start()

    def _on_changed(self, _paths: object = None) -> None:
        self._summary_timer.start()
        self._look_timer.start()

    def compute(self) -> None:
        """Compute the plan of the job as it is now."""
        from engine.plan.summary import summarize

        self._summary_timer.stop()
        job = self._document.job
        known = self._folders == [folder.path for folder in job.dataset.folders]
        self.plan = summarize(
            job, self.facts, self.pictures if known else None, file_ranks=self._file_ranks()
        )
        self.changed.emit(self.plan)

    def placements(self) -> tuple[tuple[Site, ...], tuple[Placement, ...]]:
        """All sites of the present job's model, and what the job makes of them."""
        from engine.plan.sites import sites_of
        from engine.plan.summary import placements_of

        job = self._document.job
        architecture = job.model.architecture
        fits = self.facts is not None and self.facts.architecture == architecture
        sites = sites_of(architecture, self.facts.shape if self.facts and fits else None)
        return sites, placements_of(job, sites, architecture, self._file_ranks())

    def _file_ranks(self) -> FileRanks | None:
        """Ranks of the file to start from, if they are to count; None until it is read."""
        network = self._document.job.network
        if not network.start_from or not network.rank_from_file:
            return None
        if self._ranks_of != network.start_from:
            path = self._ranks_of = network.start_from
            self._ranks = None
            in_worker(self, lambda: read_ranks(path), lambda ranks: self._take_ranks(path, ranks))
        return self._ranks

    def _take_ranks(self, path: str, ranks: FileRanks | None) -> None:
        if path == self._ranks_of:
            self._ranks = ranks
            self.compute()

    def look_again(self) -> None:
        """Look at model and folders anew, as when files changed outside."""
        self._model_key = self._folders_key = ""
        self.look()

    def look(self) -> None:
        """Look at the files the job names, where they are other ones than before."""
        self._look_timer.stop()
        self._look_at_model()
        self._look_at_folders()

    # -- the base model --------------------------------------------------------------------

    def _look_at_model(self) -> None:
        job = self._document.job
        model = job.model
        named = [job.model.model_dump(), job.network.model_dump()]
        key = json.dumps([*named, job.training.blocks_to_swap, job.launch.offline], default=str)
        if key == self._model_key:
            return
        self._model_key = key
        path = job.model.path.strip()
        if not path:
            self._take_facts(None, [], key)
            return
        from engine.plan.before_loading import problems_before_loading
        from engine.plan.detect import look_at
        from engine.plan.weights import numbers_in

        def look() -> tuple[ModelFacts, list[Problem]]:
            facts = look_at(path)
            numbers_in(model, facts.path)  # headers of gigabytes, remembered for the plan
            return facts, list(problems_before_loading(job, facts))

        in_worker(self, look, lambda seen: self._take_facts(*seen, key))

    def _take_facts(self, facts: ModelFacts | None, problems: list[Problem], key: str) -> None:
        if key != self._model_key:
            return  # an older look
        self.facts = facts
        self._document.set_outside_problems("model", problems)
        self.facts_changed.emit()
        self._summary_timer.start()  # once, where facts and pictures come together

    # -- the pictures ----------------------------------------------------------------------

    def _look_at_folders(self) -> None:
        folders = get_at(self._document.written(), "dataset.folders")
        kept = [{k: v for k, v in f.items() if k not in _DRAWN} for f in folders]
        key = json.dumps(kept, default=str)
        if key == self._folders_key:
            return
        self._folders_key = key
        self._generation += 1
        dataset = self._document.job.dataset
        if not any(f.enabled and f.path.strip() for f in dataset.folders):
            self._take_pictures([], [], self._generation, [f.path for f in dataset.folders])
            return
        generation, read = self._generation, [folder.path for folder in dataset.folders]
        in_worker(
            self, lambda: _read_pictures(dataset),
            lambda found: self._take_pictures(*found, generation, read),
        )  # fmt: skip

    def _take_pictures(
        self,
        pictures: list[Picture],
        problems: list[Problem],
        generation: int,
        read: list[str],  # the folders they are of; the job may have others by now
    ) -> None:
        if generation != self._generation:
            return  # an older look
        self.pictures = pictures
        self._folders = read
        self._document.set_outside_problems("pictures", problems)
        self.pictures_changed.emit()
        self._summary_timer.start()


def _read_pictures(dataset: Dataset) -> tuple[list[Picture], list[Problem]]:
    """All pictures of the folders that can be read, and what is wrong with the others."""
    from engine.plan.folders import FolderProblem, pictures_of

    problems = []
    for _ in range(len(dataset.folders) + 1):
        try:
            return pictures_of(dataset), problems
        except FolderProblem as problem:
            problems.append(Problem(problem.field, str(problem)))
            index = int(problem.field.partition("[")[2].partition("]")[0])
            folders = [
                folder.model_copy(update={"enabled": folder.enabled and i != index})
                for i, folder in enumerate(dataset.folders)
            ]
            dataset = dataset.model_copy(update={"folders": folders})
    return [], problems


def read_ranks(path: str) -> FileRanks | None:
    """Ranks of an adapter file; None if it cannot be read, which the check tells."""
    from engine.plan.adapter_ranks import ranks_in
    from engine.plan.header import FileProblem, read_header

    try:
        return ranks_in(read_header(path))
    except FileProblem:
        return None
