"""What follows from a number, said beside it: "strength × 0.50", "counts as batch 8"."""

from __future__ import annotations

from collections.abc import Callable

from engine.schema.job import Job


def _strength(alpha: float, rank: int) -> str:
    return f"strength × {(alpha or rank) / rank:.2f}" if rank else ""


def _alpha(job: Job) -> str:
    return _strength(job.network.alpha, job.network.rank)


def _conv_alpha(job: Job) -> str:
    if not job.network.conv_dim:
        return ""
    alpha = job.network.conv_alpha if job.network.conv_alpha is not None else 1.0
    return _strength(alpha, job.network.conv_dim)


def _accumulation(job: Job) -> str:
    times = job.training.gradient_accumulation
    return f"counts as batch {times * job.training.batch_size}" if times > 1 else ""


def _share(job: Job) -> str:
    share = job.dataset.validation_share
    return f"{share:.0%} of the pictures" if share else "none"


_BY_PATH: dict[str, Callable[[Job], str]] = {
    "network.alpha": _alpha,
    "network.conv_alpha": _conv_alpha,
    "training.gradient_accumulation": _accumulation,
    "dataset.validation_share": _share,
}


def consequence(path: str, job: Job) -> str:
    """Words for the field at `path`; empty where its range is the better hint."""
    found = _BY_PATH.get(path)
    return found(job) if found else ""
