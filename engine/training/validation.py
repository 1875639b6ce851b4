"""Measuring held-out pictures at fixed noise and timesteps (spec: data-loop 4.6).

The same numbers every time for the same adapter, so that two measurements differ by the adapter
alone. An equally large probe of training pictures is measured the same way: the gap between the two
says how far the adapter has memorized.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from engine.plan.buckets import parse_resolution
from engine.protocol import Validation
from engine.schema.architectures import ARCHITECTURES
from engine.training.levels import quantile_levels
from engine.training.noise import quantile_timesteps
from engine.training.update import losses

if TYPE_CHECKING:
    from engine.data.loader import Batch
    from engine.schema.training import Training
    from engine.training.session import Session


@dataclass
class Measurements:
    """The held-out batches and the probe of a run; captions and crops in them are fixed."""

    held_out: Sequence[Batch]
    probe: Sequence[Batch]
    timesteps: tuple[int, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.held_out)


def validation_due(training: Training, step: int, total: int, epoch: int, epoch_ends: bool) -> bool:
    """Say whether to measure after `step`; 0 is before the first. The last step always counts."""
    if not training.validate_every_steps and not training.validate_every_epochs:
        return False
    if step in (0, total):
        return True
    if training.validate_every_steps and step % training.validate_every_steps == 0:
        return True
    every = training.validate_every_epochs
    return bool(every and epoch_ends and epoch % every == 0)


@torch.no_grad()
def validate(session: Session, measurements: Measurements) -> Validation:
    """Measure now; the first measurement of a run is kept as its baseline.

    Call it with the adapter in the state to be measured, dropouts off.

    Raises:
        StopRun: if the person wants to stop.
    """
    timesteps = measurements.timesteps or _timesteps(session)
    total = (len(measurements.held_out) + len(measurements.probe)) * len(timesteps)
    found = _measure(session, measurements.held_out, timesteps, 0, total)
    done = len(measurements.held_out) * len(timesteps)
    probe = _measure(session, measurements.probe, timesteps, done, total)
    progress = session.progress
    if not progress.baseline and progress.step == 0:
        progress.baseline = {f"{path}|{t}": loss for (path, t), loss in found.items()}
    change, error = _change(found, progress.baseline)
    loss = _mean(found.values())
    progress.last_loss, progress.last_loss_step = loss, progress.step
    return Validation(
        step=progress.step,
        epoch=progress.epoch,
        loss=loss,
        by_timestep={
            str(t): _mean(value for (_, at), value in found.items() if at == t) for t in timesteps
        },
        change=change,
        change_error=error,
        train_loss=_mean(probe.values()) if probe else None,
        pictures=len({path for path, _ in found}),
    )


def _timesteps(session: Session) -> tuple[int, ...]:
    """Fixed timesteps, or σ·1000 of a flow model, for pictures of the job's resolution."""
    options, count = session.job.objective, session.job.training.validation_timesteps
    if session.model.prediction != "flow":
        return quantile_timesteps(options, count)
    width, height = parse_resolution(session.job.dataset.resolution[0])
    scale = ARCHITECTURES[session.job.model.architecture].latent_scale
    return quantile_levels(options, (height // scale, width // scale), count)


def _measure(
    session: Session, batches: Sequence[Batch], timesteps: Sequence[int], done: int, total: int
) -> dict[tuple[str, int], float]:
    """The loss of every picture at every timestep."""
    found: dict[tuple[str, int], float] = {}
    for batch in batches:
        for timestep in timesteps:
            session.control.check()
            session.events.phase("validating", "Measuring held-out pictures", done, total)
            with session.accelerator.autocast():
                each = losses(session, batch, timestep)
            paths = [path for path, _ in batch.noise_keys]
            found |= {(p, timestep): v for p, v in zip(paths, each.tolist(), strict=True)}
            done += 1
    return found


def _change(
    found: dict[tuple[str, int], float], baseline: dict[str, float]
) -> tuple[float | None, float | None]:
    """The mean difference to the baseline, picture by picture, and its standard error."""
    differences: dict[str, list[float]] = {}
    for (path, timestep), loss in found.items():
        before = baseline.get(f"{path}|{timestep}")
        if before is not None:
            differences.setdefault(path, []).append(loss - before)
    if not differences:
        return None, None
    means = [_mean(values) for values in differences.values()]
    mean = _mean(means)
    if len(means) < 2:
        return mean, None
    variance = sum((m - mean) ** 2 for m in means) / (len(means) - 1)
    return mean, math.sqrt(variance / len(means))


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan
