"""Writing adapter files and states so that nothing saved is ever lost (spec: data-loop 5).

A full disk pauses the run instead of ending it: the last good files stay, the person is told how
much is needed, and the write is tried again when asked, or when there is room.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.networks import file as adapter_file
from engine.networks.network import Network
from engine.networks.spellings import in_comfyui_names
from engine.protocol import Checkpoint, Failure, Warn
from engine.schema.job import Job
from engine.training.checkpoints import Due, plain_name, remove_old
from engine.training.control import Control
from engine.training.ema import Ema
from engine.training.events import Events
from engine.training.failures import RunError, is_disk_full
from engine.training.optimizer import averaged
from engine.training.run import Run
from engine.training.state import Progress, find_states, save_state

log = logging.getLogger(__name__)
DISK_POLL_SECONDS = 2.0
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass
class Saver:
    """Writes what a run leaves behind."""

    job: Job
    run: Run
    events: Events
    control: Control
    network: Network
    optimizer: torch.optim.Optimizer
    scaler: Any  # torch's GradScaler, or None
    ema: Ema | None
    fingerprint: str
    total_steps: int
    metadata: Callable[[Progress, Path], dict[str, str]]
    newest: Path | None = None  # the adapter file written last, and the step it is of
    newest_step: int = -1

    def save(self, progress: Progress, due: Due, *, state: bool) -> None:
        """Write the adapter file that is due and, if asked, a state; tells of it in one event.

        Raises:
            RunError: the disk is full and the person wants to stop.
        """
        path = self.run.checkpoints / due.file
        self.events.phase("saving", f"Saving {path.name}")
        self._insist(lambda: self._write_adapter(progress, path), self._adapter_bytes())
        self.newest, self.newest_step = path, progress.step
        measured = progress.last_loss if progress.last_loss_step == progress.step else None
        if measured is not None and (progress.best_loss is None or measured < progress.best_loss):
            progress.best_loss, progress.best_path = measured, self.run.relative(path)
        if state:
            self.save_state(progress)
        spare = {Path(progress.best_path).name, path.name}
        removed = remove_old(self.run.checkpoints, self.run.name, self.job.output.keep_last, spare)
        self.events.emit(
            Checkpoint(
                step=progress.step,
                epoch=progress.epoch,
                path=self.run.relative(path),
                size_bytes=path.stat().st_size,
                final=due.final,
                state=state,
                removed=[self.run.relative(p) for p in removed],
            )
        )

    def save_state(self, progress: Progress) -> None:
        """Write what is needed to continue after this step, if that is not there already."""
        self._insist(lambda: self._write_state(progress), self._state_bytes())

    def has_state(self, step: int) -> bool:
        """Say whether a state of this step is on disk."""
        return any(p.name == f"step-{step:08d}" for p in find_states(self.run.states))

    def drop_states(self) -> None:
        """Remove every state: the run is done, and none is to be kept."""
        for path in find_states(self.run.states):
            shutil.rmtree(path, ignore_errors=True)

    def _write_adapter(self, progress: Progress, path: Path) -> None:
        metadata = self.metadata(progress, path)
        with ExitStack() as shown:
            shown.enter_context(averaged(self.optimizer, self.job.optimizer))
            plain = self.network.weights() if self._both_files else None
            if self.ema is not None:
                shown.enter_context(self.ema.applied())
            tensors = self.network.weights()
        self._write_file(path, tensors, metadata)
        if plain is not None:
            self._write_file(path.with_name(plain_name(path.name)), plain, metadata)

    @property
    def _both_files(self) -> bool:
        return self.ema is not None and self.job.output.ema_files == "both"

    def _write_file(self, path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        if self.job.output.layout == "comfyui":
            tensors = in_comfyui_names(tensors, (m.site for m in self.network.each()))
        adapter_file.save(path, tensors, metadata, self.job.output.precision)

    def _write_state(self, progress: Progress) -> None:
        tensors = {
            # The parameters to train at, not those to use: schedule-free optimizers differ.
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler is not None else None,
            "ema": self.ema.state() if self.ema is not None else None,
        }
        save_state(
            self.run.states,
            progress,
            tensors,
            fingerprint=self.fingerprint,
            total_steps=self.total_steps,
            optimizer=optimizer_identity(self.job),
            keep=self.job.output.keep_states,
        )

    def _insist(self, write: Callable[[], None], needed: int) -> None:
        """Write; while the disk is full, tell the person once and wait for room or a command."""
        told = False
        while True:
            try:
                write()
            except Exception as error:
                if not is_disk_full(error):
                    raise
                log.warning("the disk is full: %s", error)
                failure = self._disk_full(needed)
                if self.control.ending:
                    raise RunError(failure) from error
                if not told:  # the run lives: only a run that ends has failed
                    words = f"{failure.message} {failure.mend}"
                    self.events.emit(Warn(message=words, path=failure.field))
                    told = True
                self._wait_for_room(needed)
            else:
                return

    def _wait_for_room(self, needed: int) -> None:
        """Return when a command came, or when there is more room than needed."""
        words = f"Waiting for room on the disk: {needed / 1e6:.1f} MB are needed"
        self.events.phase("paused", words)
        self.control.paused, self.control.save = True, False
        while self.control.paused and not self.control.ending and not self.control.save:
            self.control.wait(DISK_POLL_SECONDS)
            if shutil.disk_usage(self.run.path).free > needed + needed // 10:
                break
        self.control.paused = self.control.save = False

    def _disk_full(self, needed: int) -> Failure:
        free = shutil.disk_usage(self.run.path).free
        return Failure(
            kind="disk",
            message=f"There is no room to save: {needed / 1e6:.1f} MB are needed in "
            f"{self.run.path}, {free / 1e6:.1f} MB are free. What was saved before is whole.",
            mend="Free some space; the run then goes on by itself. Or resume or save it.",
            field="output.directory",
            resumable=bool(find_states(self.run.states)),
        )

    def _adapter_bytes(self) -> int:
        size = sum(p.numel() for p in self.network.parameters())
        return size * BYTES[self.job.output.precision] * (2 if self._both_files else 1)

    def _state_bytes(self) -> int:
        """The parameters, their average, and the optimizer's tensors, as they lie in the file."""
        size = sum(p.numel() * p.element_size() for p in self.network.parameters())
        kept = sum(
            value.numel() * value.element_size()
            for state in self.optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        )
        return size * (2 if self.ema is not None else 1) + kept


def optimizer_identity(job: Job) -> str:
    """What an optimizer's saved tensors depend on."""
    return job.optimizer.name.lower()
