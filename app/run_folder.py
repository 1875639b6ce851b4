"""A run's folder, read without the engine: its facts, its events, its log, who works in it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.run_state import RunState, Status
from engine.protocol import Event, parse_event

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
    from app.lines import log_text

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


def is_alive(pid: int, said_at: float) -> bool:
    """Whether the process that wrote a hello at that time still runs (not another of its number)."""
    if pid <= 0:
        return False
    import psutil

    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= said_at + 5
        )
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


def star_mark(path: Path) -> Path:
    """The marker beside an adapter file that keeps it from being deleted."""
    return path.with_name(f"{path.name}.keep")


def read_index(file: Path) -> dict[str, RunFacts]:
    """The index of known runs by folder; an unreadable one counts as empty and is rebuilt."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return {row["directory"]: RunFacts(**row) for row in rows}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
