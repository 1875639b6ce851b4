"""A run's folder, read without the engine: its facts, its events, its log, who works in it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.lines import log_text
from app.run_state import RunState, Status
from engine.protocol import Event, parse_event
from engine.schema.architectures import ARCHITECTURES
from engine.schema.job_file import read_toml
from engine.schema.options import get_at
from engine.schema.problem import JobError

EVENTS, JOB, LOG, CHECKPOINTS = "events.jsonl", "job.toml", "log.txt", "checkpoints"
LOG_TAIL_BYTES = 1_000_000


@dataclass(frozen=True)
class RunFacts:
    """What a list of runs shows of one; small, so that a thousand are read from one index."""

    directory: str
    name: str
    architecture: str = ""
    status: Status = "interrupted"
    step: int = 0
    total_steps: int = 0
    resume_step: int | None = None
    changed: float = 0.0  # unix seconds of the last event
    events_bytes: int = 0  # size of events.jsonl when this was read
    message: str = ""  # why it failed
    loss: float | None = None  # last validation, else last smoothed loss
    device: str = ""
    memory_peak_bytes: int = 0

    @property
    def architecture_label(self) -> str:
        """The architecture as people call it; its id where a newer program trained it."""
        known = ARCHITECTURES.get(self.architecture)
        return known.label if known is not None else self.architecture

    def to_json(self) -> dict[str, Any]:
        """As plain mappings, for the index."""
        return asdict(self)


def is_run_folder(path: Path) -> bool:
    """Whether a folder is a run's: it has events, or a job and a folder of files."""
    return (path / EVENTS).is_file() or ((path / JOB).is_file() and (path / CHECKPOINTS).is_dir())


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """The events from a byte offset on, and the offset after the last whole line.

    A half line at the end, of a crash or of a write under way, is left for the next reading.
    """
    try:
        with (path / EVENTS).open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return [], offset
    end = data.rfind(b"\n") + 1
    events = [e for e in map(parse_event, data[:end].split(b"\n")) if e is not None]
    return events, offset + end


def read_log(path: Path, offset: int | None = None) -> tuple[list[str], int]:
    """Lines of log.txt from an offset on (None: the last megabyte), and the offset after them."""
    try:
        with (path / LOG).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - LOG_TAIL_BYTES) if offset is None else offset
            file.seek(start)
            data = file.read()
    except OSError:
        return [], offset or 0
    end = data.rfind(b"\n") + 1
    return [log_text(line) for line in data[:end].split(b"\n") if line], start + end


def read_settings(path: Path) -> dict[str, Any]:
    """The run's job as nested mappings; empty if there is none or it cannot be read."""
    try:
        return read_toml(path / JOB)
    except JobError:
        return {}


def every_steps(settings: dict[str, Any], table: str, steps_per_epoch: int) -> int:
    """How many steps lie between two previews (`samples`) or files (`output`); 0: never."""
    steps = get_at(settings, f"{table}.every_steps")
    epochs = get_at(settings, f"{table}.every_epochs")
    in_steps = [steps] if isinstance(steps, int) else []
    if isinstance(epochs, int) and steps_per_epoch:
        in_steps.append(epochs * steps_per_epoch)
    return min(in_steps, default=0)


def is_alive(pid: int, said_at: float) -> bool:
    """Whether the process that said hello then still runs, and not another of its number."""
    if pid <= 0:
        return False
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= said_at + 5
    except psutil.Error:
        return False


def state_of(path: Path) -> tuple[RunState, int]:
    """Read a run folder whole; the offset is where a follower reads on."""
    state = RunState()
    events, offset = read_events(path)
    state.apply_all(events)
    if state.hello is not None and state.finished is None:
        state.alive = is_alive(state.hello.pid, state.hello.time)
    return state, offset


def read_facts(path: Path) -> RunFacts:
    """Facts of a run folder, from its events."""
    state, _ = state_of(path)
    return facts_of(path, state)


def facts_of(path: Path, state: RunState) -> RunFacts:
    """Facts of a run whose events were read."""
    try:
        stat = (path / EVENTS).stat()
        size, changed = stat.st_size, stat.st_mtime
    except OSError:
        size, changed = 0, 0.0
    hello, last = state.hello, state.last_step
    loss = last.loss_smooth if last is not None else None
    if state.validations:
        loss = state.validations[-1].loss
    return RunFacts(
        directory=str(path),
        name=hello.name if hello is not None else path.name,
        architecture=hello.architecture if hello is not None else "",
        status=state.status,
        step=state.step,
        total_steps=state.total_steps,
        resume_step=state.resume_step,
        changed=changed,
        events_bytes=size,
        message=state.failure.message if state.failure is not None else state.died,
        loss=loss,
        device=hello.device if hello is not None else "",
        memory_peak_bytes=last.memory_peak_bytes if last is not None else 0,
    )


def star_mark(file: Path) -> Path:
    """The marker beside an adapter file that keeps it from `output.keep_last`."""
    return file.with_name(f"{file.name}.keep")


def stars(path: Path) -> set[str]:
    """Names of the run's starred adapter files."""
    try:
        marks = [entry.name for entry in (path / CHECKPOINTS).iterdir()]
    except OSError:
        return set()
    return {name.removesuffix(".keep") for name in marks if name.endswith(".keep")}


def set_star(file: Path, on: bool) -> None:
    """Star an adapter file, or take its star away.

    Raises:
        OSError: the folder cannot be written.
    """
    if on:
        star_mark(file).touch()
    else:
        star_mark(file).unlink(missing_ok=True)
