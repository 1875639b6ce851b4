"""What can end a run, and the words for it: every exception becomes one `Failure` event."""

from __future__ import annotations

import errno

from engine.protocol import Failure
from engine.schema.job import Job
from engine.schema.problem import JobError

Fix = list[tuple[str, bool | int | float | str | None]]


class StopRun(Exception):
    """The person asked to stop or abort; raised between parts of a phase."""


class RunError(Exception):
    """Something a person can mend keeps the run from going on; carries the event to send."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: BaseException, job: Job | None, step: int = 0) -> Failure:
    """Put an exception in words for the person: what is wrong, and what to do.

    Errors of the other packages that carry `message`, `mend` and `field` keep their words.
    """
    if isinstance(error, RunError):
        return error.failure
    if isinstance(error, JobError):
        first = error.problems[0]
        return Failure(
            kind="job",
            message=first.message,
            field=first.path,
            fix=list(first.fix),
            mend=" ".join(f"Set {path} to {value}." for path, value in first.fix),
            step=step,
        )
    if is_out_of_memory(error):
        return out_of_memory(error, job, step)
    if is_disk_full(error):
        return Failure(
            kind="disk",
            message=str(error) or "There is no space left on the disk.",
            mend="Free some space, then resume the run.",
            step=step,
            resumable=True,
        )
    told = _told_by_a_package(error, step)
    if told is not None:
        return told
    if isinstance(error, OSError):
        path = f" {error.filename}:" if error.filename else ""
        return Failure(
            kind="file",
            message=f"A file could not be used:{path} {error.strerror or error}.",
            mend="Check that the file is there and that you may read and write it.",
            step=step,
        )
    return Failure(
        kind="internal",
        message=f"Something unforeseen happened: {type(error).__name__}: {error}",
        mend="The log has the details. The last saved state can be resumed.",
        step=step,
    )


def _told_by_a_package(error: BaseException, step: int) -> Failure | None:
    """Errors of the other packages are already in words for the person."""
    from engine.architectures.architecture import ModelProblem
    from engine.data.cache import CacheProblem
    from engine.data.loader import DataProblem
    from engine.networks.problem import AdapterProblem
    from engine.plan.folders import FolderProblem
    from engine.plan.header import FileProblem

    if isinstance(error, ModelProblem):
        return Failure(
            kind="model", message=error.message, mend=error.mend, field=error.field, step=step
        )
    if isinstance(error, FileProblem):
        return Failure(kind="file", message=str(error), step=step)
    if isinstance(error, FolderProblem):
        return Failure(kind="data", message=str(error), field=error.field, step=step)
    if isinstance(error, DataProblem):
        return Failure(kind="data", message=str(error), field="dataset.folders", step=step)
    if isinstance(error, CacheProblem):
        return Failure(kind="disk", message=str(error), field="dataset.cache_directory", step=step)
    if isinstance(error, AdapterProblem):
        return Failure(kind="model", message=str(error), field="network", step=step)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether the device or the machine has run out of memory."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in words or "can't allocate memory" in words
    )


def is_disk_full(error: BaseException) -> bool:
    """Say whether a write failed for want of space, whatever error a library made of it."""
    full = (errno.ENOSPC, errno.EDQUOT)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in full:
            return True
        cause = cause.__cause__
    return "No space left on device" in str(error)


def out_of_memory(error: BaseException, job: Job | None, step: int) -> Failure:
    """Say what to change, most useful first; the first change can be applied by the window."""
    mends, fix = ([], []) if job is None else memory_mends(job)
    return Failure(
        kind="memory",
        message="The memory was not enough" + (f" at step {step}." if step else "."),
        mend="In this order: " + "; ".join(mends) + "." if mends else "Close other programs.",
        field=fix[0][0] if fix else "",
        step=step,
        fix=fix,
    )


def memory_mends(job: Job) -> tuple[list[str], Fix]:
    """Settings that would lower memory, in the order to try them, and the first as a change."""
    changes: list[tuple[str, Fix]] = []
    training, dataset = job.training, job.dataset
    if not training.gradient_checkpointing:
        changes.append(
            ("turn gradient checkpointing on", [("training.gradient_checkpointing", True)])
        )
    if training.batch_size > 1:
        smaller = training.batch_size // 2
        more = training.gradient_accumulation * (training.batch_size // smaller)
        changes.append(
            (
                f"batch size {smaller} with gradient accumulation {more}",
                [("training.batch_size", smaller), ("training.gradient_accumulation", more)],
            )
        )
    jitter = any(f.color_jitter > 0 for f in dataset.folders)
    if dataset.cache_latents == "off" and not jitter:
        changes.append(("keep encoded pictures", [("dataset.cache_latents", "memory")]))
    if training.precision == "fp32" and job.launch.device != "cpu":
        changes.append(("precision bf16", [("training.precision", "bf16")]))
    if job.network.train == "both":
        changes.append(("train the picture model alone", [("network.train", "denoiser")]))
    if job.network.rank > 4:
        changes.append((f"rank {job.network.rank // 2}", [("network.rank", job.network.rank // 2)]))
    words = [word for word, _ in changes]
    words.append("a lower resolution")
    return words, changes[0][1] if changes else []


def not_finite(job: Job, step: int) -> Failure:
    """The loss was not a number five times in a row."""
    rate = job.optimizer.learning_rate
    mends = [f"lower the learning rate, for example to {rate / 2:g}"]
    fix: Fix = [("optimizer.learning_rate", rate / 2)]
    if job.training.precision == "fp16":
        mends.append("use precision bf16 or fp32")
    if job.optimizer.max_grad_norm == 0:
        mends.append("turn gradient clipping on (1)")
    if job.network.alpha > job.network.rank:
        mends.append("lower alpha")
    mends.append("look for a damaged base model or VAE, if it happens at the very first step")
    return Failure(
        kind="nan",
        message=f"The loss was not a number in five steps in a row, up to step {step}. "
        "The training has diverged.",
        mend="; ".join(mends)[0].upper() + "; ".join(mends)[1:] + ".",
        field="optimizer.learning_rate",
        step=step,
        fix=fix,
    )
