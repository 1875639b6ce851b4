"""accelerate, set up for a run: device, precision, trackers."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from accelerate import Accelerator

from engine.schema.job import Job
from engine.schema.problem import JobError, Problem
from engine.training.memory import Device
from engine.training.run import Run

TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}
"""What `output.trackers` may name → packages, of which one must be there."""


def _check_trackers(job: Job) -> None:
    """accelerate would leave out what is not installed without a word.

    Raises:
        JobError: a tracker's package is missing.
    """
    wrong = []
    for name in job.output.trackers:
        if not any(find_spec(package) for package in TRACKERS[name]):
            words = f"Logging to {name} needs its package: {sys.executable} -m pip install {name}"
            wrong.append(Problem("output.trackers", words))
    if wrong:
        raise JobError(wrong)


def make_accelerator(job: Job, run: Run, device: Device, precision: str) -> Accelerator:
    """Make accelerate's object of a run.

    Raises:
        JobError: a tracker's package is missing.
    """
    _check_trackers(job)
    os.environ["ACCELERATE_TORCH_DEVICE"] = device.id
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        gradient_accumulation_steps=1,  # grouping micro-batches is ours: spec data-loop 4.2
        log_with=list(job.output.trackers) or None,  # pyright: ignore[reportArgumentType]
        project_dir=str(run.path),
    )
    if job.output.trackers:
        accelerator.init_trackers("graft", init_kwargs={"wandb": {"name": run.name}})
    return accelerator
