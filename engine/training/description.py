"""What an adapter file says about its run, gathered for `engine.networks.metadata`."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from pathlib import Path, PurePath
from typing import Any

from engine.networks import metadata
from engine.plan.buckets import parse_resolution
from engine.plan.captions import split_tags
from engine.plan.detect import ModelFacts
from engine.plan.folders import Picture
from engine.schema.dataset_folder import Folder
from engine.schema.job import Job
from engine.training.feed import Found
from engine.training.state import Progress

LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000


class Description:
    """Makes the metadata of each file of a run.

    The base model's hashes are computed beside the training: reading gigabytes must not keep the
    first step waiting.
    """

    def __init__(
        self, job: Job, name: str, found: Found, facts: ModelFacts, *, prediction: str,
        precision: str, version: str, processes: int,
    ) -> None:  # fmt: skip
        self._job, self._name, self._found = job, name, found
        self._prediction, self._version, self._processes = prediction, version, processes
        self._variant = facts.variant
        self._precision = "no" if precision == "fp32" else precision
        self._base = metadata.BaseModel(_model_name(job.model.path))
        self._folders = [
            _folder_facts(folder, [p for p in found.pictures if p.folder_index == i])
            for i, folder in enumerate(job.dataset.folders)
            if folder.enabled
        ]
        self._hashing = threading.Thread(target=self._hash, args=(facts.path,), daemon=True)
        self._hashing.start()

    def of(self, progress: Progress, path: Path) -> dict[str, str]:
        """The metadata of the file `path` as it would be written now."""
        self._hashing.join()
        job, order, length = self._job, self._found.order, self._found.length
        held_out = {sample.picture_index for sample in order.validation}
        trained = {entry.picture_index for entry in order.entries}
        roles = {i: job.dataset.folders[self._found.pictures[i].folder_index].role for i in trained}
        buckets = Counter(entry.fit.bucket for entry in order.entries)
        facts = metadata.TrainingFacts(
            version=self._version,
            name=path.stem,
            session_id=int(progress.started * 1000) % 2**32,
            started_at=progress.started,
            saved_at=time.time(),
            step=progress.step,
            epoch=progress.epoch,
            total_steps=length.total_steps,
            total_epochs=length.total_epochs,
            batches_per_epoch=order.batches_in(1),
            train_pictures=sum(role == "train" for role in roles.values()),
            prior_pictures=sum(role == "regularization" for role in roles.values()),
            validation_pictures=len(held_out),
            resolution=parse_resolution(job.dataset.resolution[0]),
            prediction=self._prediction,
            precision=self._precision,
            optimizer=_optimizer_words(job),
            base=self._base,
            vae=metadata.BaseModel(_model_name(job.model.vae)) if job.model.vae else None,
            folders=self._folders,
            buckets=sorted(buckets.items()),
            processes=self._processes,
            variant=self._variant,
        )
        made = metadata.build(job, facts)
        if job.output.metadata.write:
            made["graft_job"] = json.dumps(without_places(job.model_dump()), ensure_ascii=False)
        return made

    def _hash(self, path: Path | None) -> None:
        """Hash the base model where it is one file: 64 KiB at 1 MiB, and the whole."""
        if path is None or not path.is_file():
            return
        digest = hashlib.sha256()
        with path.open("rb") as file:
            file.seek(LEGACY_START)
            legacy = hashlib.sha256(file.read(LEGACY_LENGTH)).hexdigest()[:8]
            file.seek(0)
            while part := file.read(1 << 20):
                digest.update(part)
        self._base = metadata.BaseModel(self._base.name, legacy, digest.hexdigest())


def without_places(value: Any) -> Any:
    """The job without folders of this machine: absolute paths are cut to their last part."""
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if isinstance(value, str) and (value.startswith("~") or PurePath(value).is_absolute()):
        return PurePath(value).name
    return value


def _folder_facts(folder: Folder, pictures: list[Picture]) -> metadata.FolderFacts:
    tags: Counter[str] = Counter()
    for picture in pictures:
        lines = picture.caption.splitlines()
        if lines:
            tags.update(split_tags(lines[0], folder).all)
    return metadata.FolderFacts(folder, sum(p.usable for p in pictures), tags)


def _model_name(path: str) -> str:
    """A file's or folder's own name, a hub id whole."""
    return Path(path).name if Path(path).expanduser().exists() else path


def _optimizer_words(job: Job) -> str:
    given = {k: v for k, v in job.optimizer.args.model_dump().items() if v is not None}
    arguments = ",".join(f"{k}={v}" for k, v in (given | job.optimizer.extra_args).items())
    return f"{job.optimizer.name}({arguments})" if arguments else job.optimizer.name
