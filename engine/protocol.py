"""What engine and window say to each other: one JSON object a line, typed.

Events go from the engine's stdout to the window, commands from the window to its stdin. A line that
is no event is a log line (`parse_event` returns None), never an error. Every event of a run is also
kept in its folder's events.jsonl, so a finished run can be shown whole.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

PROTOCOL_VERSION = 1
MAX_LINE_BYTES = 1_000_000


class _Message(BaseModel):
    """Frozen; a field of a newer engine is ignored, so that an older window still reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Hello(_Message):
    """The first event: who speaks, where the run lives, on what it computes."""

    event: Literal["hello"] = "hello"
    time: float = 0.0  # unix seconds, as in every event
    protocol: int = PROTOCOL_VERSION
    version: str = ""
    run_directory: str
    name: str
    architecture: str
    device: str  # "NVIDIA GeForce RTX 4090" or "CPU"
    device_memory_bytes: int = 0
    precision: str = ""
    pid: int = 0
    total_steps: int = 0
    total_epochs: int = 0
    steps_per_epoch: int = 0
    resumed_from: int = 0  # the step a resumed run continues after; 0: a new run


class Phase(_Message):
    """What the engine does now; `done` of `total` in the phase's own units, total 0: unknown."""

    event: Literal["phase"] = "phase"
    time: float = 0.0
    name: Literal[
        "starting", "loading", "caching_latents", "caching_text", "training", "validating",
        "sampling", "saving", "paused", "finishing",
    ]  # fmt: skip
    words: str = ""  # "Caching latents"
    done: int = 0
    total: int = 0


class Step(_Message):
    """One optimizer update is done."""

    event: Literal["step"] = "step"
    time: float = 0.0
    step: int  # 1 is the first
    epoch: int  # 1 is the first
    loss: float | None  # None: it was not finite
    loss_smooth: float | None = None  # exponential mean with start correction
    learning_rates: dict[str, float] = Field(default_factory=dict)  # group name → rate
    grad_norm: float | None = None  # before clipping
    seconds: float = 0.0  # wall time of this step
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    max_norm_scaled: int = 0  # adapters shrunk by the max-norm rule in this step
    norms: dict[str, float] = Field(default_factory=dict)  # means over adapters that GGPO measures


class Validation(_Message):
    """A measurement at fixed noise and timesteps."""

    event: Literal["validation"] = "validation"
    time: float = 0.0
    step: int
    epoch: int = 0
    loss: float
    by_timestep: dict[str, float] = Field(default_factory=dict)
    change: float | None = None  # mean paired difference to step 0
    change_error: float | None = None  # its standard error
    train_loss: float | None = None  # the same measure on as many training pictures
    pictures: int = 0


class Sample(_Message):
    """A preview was written; the same prompt has the same `prompt_index` all through a run."""

    event: Literal["sample"] = "sample"
    time: float = 0.0
    step: int
    epoch: int = 0
    path: str  # relative to the run directory
    prompt_index: int
    prompt: str
    negative: str = ""
    seed: int
    width: int = 0
    height: int = 0


class Checkpoint(_Message):
    """An adapter file was written whole."""

    event: Literal["checkpoint"] = "checkpoint"
    time: float = 0.0
    step: int
    epoch: int = 0
    path: str  # relative to the run directory
    size_bytes: int = 0
    final: bool = False
    state: bool = False  # a state to resume from was written too
    removed: list[str] = Field(default_factory=list)  # older files deleted by keep_last


class Warn(_Message):
    """Something a person should know that stops nothing."""

    event: Literal["warning"] = "warning"
    time: float = 0.0
    message: str
    path: str = ""  # the field or file it concerns


class Failure(_Message):
    """The run cannot go on. The traceback is in the log only."""

    event: Literal["error"] = "error"
    time: float = 0.0
    kind: Literal[
        "job", "file", "model", "data", "memory", "disk", "nan", "device", "busy", "internal"
    ]
    message: str  # plain words: what is wrong
    mend: str = ""  # what to do
    field: str = ""  # the schema path it concerns
    step: int = 0
    fix: list[tuple[str, bool | int | float | str | None]] = Field(default_factory=list)
    resumable: bool = False


class Finished(_Message):
    """The last event of an orderly end."""

    event: Literal["finished"] = "finished"
    time: float = 0.0
    reason: Literal["done", "stopped", "aborted", "failed"]
    step: int
    epoch: int = 0
    path: str = ""  # the final or newest adapter file, relative to the run directory
    best_path: str = ""  # the best checkpoint by validation
    seconds: float = 0.0
    resumable: bool = False


Event = Hello | Phase | Step | Validation | Sample | Checkpoint | Warn | Failure | Finished


class Command(_Message):
    """What the window asks of the engine; obeyed between steps, and between parts of a phase."""

    command: Literal["stop", "abort", "pause", "resume", "save", "sample"]


_EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
_COMMANDS: TypeAdapter[Command] = TypeAdapter(Command)


def parse_event(line: bytes | str) -> Event | None:
    """Read one line; None if it is no event."""
    data = line if isinstance(line, bytes) else line.encode("utf-8", "replace")
    if len(data) > MAX_LINE_BYTES or not data.lstrip().startswith(b"{"):
        return None
    try:
        return _EVENTS.validate_json(data)
    except ValidationError:
        return None


def parse_command(line: bytes | str) -> Command | None:
    """Read one line; None if it is no command."""
    try:
        return _COMMANDS.validate_json(line)
    except ValidationError:
        return None


def encode(message: Event | Command) -> bytes:
    r"""One line of UTF-8 with its `\n`; NaN and infinity never occur in it."""
    return message.model_dump_json().encode() + b"\n"
