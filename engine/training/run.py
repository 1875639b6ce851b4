"""A run's folder: where everything of one training lies, and the lock that keeps it to one engine.

job.toml        the job as resolved: every value given
events.jsonl    every event, one a line; a resumed run goes on in the same file
log.txt         the log, with tracebacks
samples/        previews
checkpoints/    adapter files; `NAME.safetensors.keep` beside one protects it (a star)
state/          what is needed to continue, one folder a state
run.lock        held by the engine that trains in here, free again when it ends or dies
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from engine.protocol import Failure
from engine.schema.job import Job
from engine.schema.job_file import job_data, save_job
from engine.training.failures import RunError

LEFTOVER = re.compile(r"\.tmp-\d+$")


@dataclass
class Run:
    """An open run folder, locked by this process or, for other ranks than 0, by the first."""

    path: Path
    name: str  # stem of the adapter files
    lock: FileLock | None
    resumed: bool = False

    @property
    def samples(self) -> Path:
        """Folder of the previews."""
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        """Folder of the adapter files."""
        return self.path / "checkpoints"

    @property
    def states(self) -> Path:
        """Folder of the states to resume from."""
        return self.path / "state"

    @property
    def events(self) -> Path:
        """The file with every event."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """The log."""
        return self.path / "log.txt"

    @property
    def job_file(self) -> Path:
        """The job as resolved."""
        return self.path / "job.toml"

    def relative(self, path: Path) -> str:
        """A path inside the folder as events carry it."""
        return path.relative_to(self.path).as_posix()

    def close(self) -> None:
        """Let others have the folder."""
        if self.lock is not None:
            self.lock.release()


def run_name(job: Job) -> str:
    """The name of run and file: the one given, else that of the first folder of pictures."""
    if job.output.name:
        return job.output.name
    for folder in job.dataset.folders:
        if folder.enabled and folder.role == "train":
            # Kohya's folders are called 10_name: the number is the repeats.
            name = re.sub(r"^\d+_", "", Path(folder.path).expanduser().resolve().name)
            cleaned = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(" .")
            if cleaned:
                return cleaned
    return "adapter"


def runs_directory(job: Job) -> Path:
    """Where new runs go: the folder given, else Documents/Graft."""
    if job.output.directory.strip():
        return Path(job.output.directory).expanduser()
    from platformdirs import user_documents_path

    return user_documents_path() / "Graft"


def create_run(job: Job, directory: Path | None = None) -> Run:
    """Make and lock a new run folder; an existing one is never overwritten.

    Without `directory` it is `<output.directory>/<name>`, or `<name>_2` and so on if that exists.

    Raises:
        RunError: the place cannot be written, or `directory` holds another run already.
    """
    name = run_name(job)
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            if (directory / "job.toml").exists():
                raise RunError(
                    Failure(
                        kind="busy",
                        message=f"{directory} already holds a run.",
                        mend="Choose another folder, or resume that run.",
                        field="output.directory",
                    )
                )
            path = directory
        else:
            path = _new_folder(runs_directory(job), name)
        run = Run(path, name, _lock(path))
        for folder in (run.samples, run.checkpoints, run.states):
            folder.mkdir(exist_ok=True)
        save_job(run.job_file, job_data(job))
    except OSError as error:
        place = directory or runs_directory(job)
        raise RunError(
            Failure(
                kind="file",
                message=f"The run's folder cannot be made in {place}: {error.strerror or error}.",
                mend="Choose a folder that you may write to.",
                field="output.directory",
            )
        ) from error
    return run


def open_run(path: Path, name: str) -> Run:
    """Lock an existing run folder to continue in it; leftovers of a crash are removed.

    `name` is the stem of its adapter files.

    Raises:
        RunError: it is no run folder, or an engine is training in it.
    """
    if not (path / "job.toml").is_file():
        raise RunError(
            Failure(
                kind="file",
                message=f"{path} is not a run folder: it has no job.toml.",
                mend="Choose a folder that Graft made for a run.",
            )
        )
    run = Run(path, name, _lock(path), resumed=True)
    for folder in (run.samples, run.checkpoints, run.states):
        folder.mkdir(exist_ok=True)
    remove_leftovers(run)
    return run


def remove_leftovers(run: Run) -> None:
    """Delete what a crash left half-written; nothing finished has such a name."""
    for folder in (run.path, run.samples, run.checkpoints, run.states):
        for entry in folder.iterdir():
            if LEFTOVER.search(entry.name):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _new_folder(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}_{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def _lock(path: Path) -> FileLock:
    lock = FileLock(path / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            Failure(
                kind="busy",
                message=f"Another engine is training in {path}.",
                mend="Wait until it has finished, or stop it.",
            )
        ) from None
    return lock
