"""Events as a person in a terminal reads them: a bar with loss, rate and time left, and lines."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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

PLAIN_SECONDS = 2.0  # into a file or a pipe, progress is written this often


class TerminalSink:
    """Shows events in a terminal; where the output is no terminal it writes plain lines."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
            console=self.console,
            transient=True,
        )
        self._live = self.console.is_terminal
        self._task = self._progress.add_task("", total=None, facts="", visible=False)
        self._phase = ""
        self._total = 0
        self._told = 0.0
        if self._live:
            self._progress.start()

    def write(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Hello):
            self._total = event.total_steps
            self._line(f"{event.name}: {event.architecture} on {event.device}, {event.precision}")
            self._line(f"Run folder: {event.run_directory}")
        elif isinstance(event, Phase):
            self._show_phase(event)
        elif isinstance(event, Step):
            self._show_step(event)
        elif isinstance(event, Validation):
            change = "" if event.change is None else f", {event.change:+.4f} since the start"
            self._line(f"Step {event.step}: validation loss {event.loss:.4f}{change}")
        elif isinstance(event, (Checkpoint, Sample)):
            self._line(f"Step {event.step}: wrote {event.path}")
        elif isinstance(event, Warn):
            self._line(f"Warning: {f'{event.path}: ' if event.path else ''}{event.message}")
        elif isinstance(event, Failure):
            field = f"{event.field}: " if event.field else ""
            self._line(
                f"Failed: {field}{event.message}" + (f"\n{event.mend}" if event.mend else "")
            )
        elif isinstance(event, Finished):
            words = {"done": "Done", "stopped": "Stopped", "aborted": "Aborted", "failed": "Failed"}
            where = f": {event.path}" if event.path else ""
            self._line(f"{words[event.reason]} at step {event.step}{where}")

    def close(self) -> None:
        """Take the bar away."""
        if self._live:
            self._progress.stop()

    def _show_phase(self, event: Phase) -> None:
        if self._live:
            self._progress.update(
                self._task,
                description=event.words or event.name,
                completed=event.done,
                total=event.total or None,
                facts="",
                visible=True,
            )
        elif event.words != self._phase and event.name != "training":
            self._line(event.words or event.name)
        self._phase = event.words

    def _show_step(self, event: Step) -> None:
        rate = max(event.learning_rates.values(), default=0.0)
        loss = event.loss_smooth if event.loss_smooth is not None else event.loss
        facts = f"loss {'–' if loss is None else f'{loss:.4f}'}  lr {rate:.2e}"
        if self._live:
            self._progress.update(
                self._task,
                description=f"Epoch {event.epoch}",
                completed=event.step,
                total=self._total or None,
                facts=facts,
                visible=True,
            )
        elif time.monotonic() - self._told >= PLAIN_SECONDS or event.step == self._total:
            self._told = time.monotonic()
            self._line(f"Step {event.step} of {self._total}, epoch {event.epoch}: {facts}")

    def _line(self, text: str) -> None:
        self.console.print(escape(text), highlight=False, soft_wrap=True)
