"""What is known of a run: events folded into its curves, previews, files and state. No Qt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from app.series import MAX_POINTS, Column
from engine.protocol import (
    Checkpoint,
    Event,
    Failure,
    Finished,
    Hello,
    Phase,
    Sample,
    Step,
    Validation,
    Warn,
)

Status = Literal[
    "starting", "running", "paused", "done", "stopped", "aborted", "failed", "interrupted"
]
STEP_COLUMNS = (
    "step", "epoch", "time", "loss", "loss_smooth", "grad_norm", "seconds", "trained_seconds",
    "memory",
)  # fmt: skip
_WORK_WHILE_PAUSED = ("sampling", "saving", "validating")  # asked for, and the pause goes on
_SPEED_STEPS = 50  # steps whose median makes the speed


class RunState:
    """A run as its events tell it; the same for a live engine and for an old events.jsonl.

    Whether an unfinished run is running or interrupted is not in its events: `alive` says whether
    its process was seen (spec: gui 0.4, state is read from process and folder).
    """

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {name: Column() for name in STEP_COLUMNS}
        self.learning_rates: dict[str, Column] = {}
        self.validations: list[Validation] = []
        self.samples: list[Sample] = []
        self.checkpoints: list[Checkpoint] = []
        self.warnings: list[Warn] = []
        self.hello: Hello | None = None
        self.phase: Phase | None = None
        self.last_step: Step | None = None
        self.failure: Failure | None = None
        self.finished: Finished | None = None
        self.alive = False
        self.died = ""  # how the process ended without an orderly end, in words
        self.stopping = False
        self.is_paused = False
        self.cuts = 0  # how often a resume threw away steps: views rebuild their lines then

    def __len__(self) -> int:
        return len(self.columns["step"])

    @property
    def status(self) -> Status:
        """The state in a word."""
        if self.finished is not None:
            return "failed" if self.failure is not None else self.finished.reason
        if self.failure is not None:
            return "failed"
        if self.died and self.hello is None:
            return "failed"
        if not self.alive:
            return "interrupted" if self.hello is not None else "starting"
        if self.is_paused:
            return "paused"
        return "running" if self.hello is not None else "starting"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come without a resume."""
        return self.status in ("done", "stopped", "aborted", "failed", "interrupted")

    @property
    def step(self) -> int:
        """The last step done."""
        if self.last_step is not None:
            return self.last_step.step
        return self.hello.resumed_from if self.hello is not None else 0

    @property
    def total_steps(self) -> int:
        """The steps of the whole run, 0 if not known yet."""
        return self.hello.total_steps if self.hello is not None else 0

    @property
    def epoch(self) -> int:
        """The epoch of the last step, 1 is the first."""
        return self.last_step.epoch if self.last_step is not None else 0

    @property
    def seconds_per_step(self) -> float:
        """Median of the newest steps, 0 before the first."""
        import numpy

        recent = self.columns["seconds"].values[-_SPEED_STEPS:]
        return float(numpy.median(recent)) if len(recent) else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Expected time of the steps still to do, None if unknown."""
        speed = self.seconds_per_step
        if not speed or not self.total_steps:
            return None
        return max(0, self.total_steps - self.step) * speed

    @property
    def resume_step(self) -> int | None:
        """The step a resume would continue after; None if there is no state to resume from."""
        with_state = [c.step for c in self.checkpoints if c.state]
        if self.finished is not None and self.finished.resumable:
            with_state.append(self.finished.step)
        return max(with_state) if with_state else None

    @property
    def best(self) -> Validation | None:
        """The lowest validation after step 0."""
        later = [v for v in self.validations if v.step > 0]
        return min(later, key=lambda v: v.loss) if later else None

    def files(self) -> list[Checkpoint]:
        """The adapter files that still exist, in order of steps."""
        removed = {path for c in self.checkpoints for path in c.removed}
        newest = {c.path: c for c in self.checkpoints if c.path not in removed}
        return sorted(newest.values(), key=lambda c: (c.step, c.final))

    def apply_all(self, events: Iterable[Event]) -> None:
        """Fold in several events."""
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Fold in one event."""
        match event:
            case Step():
                self._append(event)
            case Phase():
                self.phase = event
                at_work = self.is_paused and event.name in _WORK_WHILE_PAUSED
                self.is_paused = event.name == "paused" or at_work
            case Validation():
                self.validations.append(event)
            case Sample():
                self._replace_sample(event)
            case Checkpoint():
                self.checkpoints.append(event)
            case Warn():
                self.warnings.append(event)
            case Failure():
                self.failure = event
            case Finished():
                self.finished = event
                self.stopping = False
            case Hello():
                self._begin(event)

    def _begin(self, hello: Hello) -> None:
        """Start, or start again: what came after the step resumed from is done anew."""
        again = self.hello is not None
        self.hello = hello
        self.failure = self.finished = self.phase = None
        self.died = ""
        self.stopping = self.is_paused = False
        if not again:
            return
        kept = int(self.columns["step"].values.searchsorted(hello.resumed_from, side="right"))
        if kept < len(self):
            self.cuts += 1
            for column in (*self.columns.values(), *self.learning_rates.values()):
                column.cut(kept)
            self.last_step = None
        self.validations = [v for v in self.validations if v.step <= hello.resumed_from]
        self.samples = [s for s in self.samples if s.step <= hello.resumed_from]
        self.checkpoints = [c for c in self.checkpoints if c.step <= hello.resumed_from]

    def _append(self, event: Step) -> None:
        self.last_step = event
        columns = self.columns
        size = len(columns["step"])
        if size >= MAX_POINTS:
            return
        trained = columns["trained_seconds"]
        before = trained.values[-1] if size else 0.0
        columns["step"].append(event.step)
        columns["epoch"].append(event.epoch)
        columns["time"].append(event.time)
        columns["loss"].append(event.loss)
        columns["loss_smooth"].append(event.loss_smooth)
        columns["grad_norm"].append(event.grad_norm)
        columns["seconds"].append(event.seconds)
        trained.append(before + event.seconds)
        columns["memory"].append(event.memory_bytes)
        for name, rate in event.learning_rates.items():
            column = self.learning_rates.get(name)
            if column is None:
                column = self.learning_rates[name] = Column()
            if len(column) < size:
                column.fill_to(size)
            column.append(rate)

    def _replace_sample(self, sample: Sample) -> None:
        same = (sample.step, sample.prompt_index)
        self.samples = [s for s in self.samples if (s.step, s.prompt_index) != same]
        self.samples.append(sample)
