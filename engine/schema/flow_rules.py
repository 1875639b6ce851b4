"""Rules of models that see pictures in patches, and of several text encoders."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.schema.architectures import Architecture
from engine.schema.job import Job
from engine.schema.problem import Problem


def broken_sizes(job: Job, architecture: Architecture) -> Iterator[Problem]:
    """Yield sizes that a model of this architecture would cut: its patches cover `picture_step`."""
    step, dataset = architecture.picture_step, job.dataset
    yield from _preview_sizes(job, architecture)
    if dataset.buckets:
        if dataset.bucket_step % step:
            fit = -(-dataset.bucket_step // step) * step
            yield Problem(
                "dataset.bucket_step",
                f"{architecture.label} sees pictures in steps of {step} pixels; "
                f"{dataset.bucket_step} is no multiple of it.",
                fix=(("dataset.bucket_step", fit),),
                fix_label=f"Set {fit}",
            )
        return
    for size in dataset.resolution:
        sides = [int(side) for side in re.findall(r"\d+", size)]
        if any(side % step for side in sides):
            yield Problem(
                "dataset.resolution",
                f"{architecture.label} sees pictures in steps of {step} pixels; a side of '{size}' "
                "is no multiple of it.",
            )


def _preview_sizes(job: Job, architecture: Architecture) -> Iterator[Problem]:
    """The sides of previews, of the table and of each prompt; only of those that are drawn."""
    step, samples = architecture.picture_step, job.samples
    if not samples.enabled:
        return
    sides = [(f"samples.{key}", getattr(samples, key)) for key in ("width", "height")]
    for i, prompt in enumerate(samples.prompts):
        if prompt.enabled:
            sides += [
                (f"samples.prompts[{i}].{key}", getattr(prompt, key)) for key in ("width", "height")
            ]
    for path, side in sides:
        if side and side % step:
            fit = max(round(side / step), 1) * step
            yield Problem(
                path,
                f"{architecture.label} draws in steps of {step} pixels; {side} is no multiple of "
                "it.",
                fix=((path, fit),),
                fix_label=f"Set {fit}",
            )


def broken_text_dropout(job: Job, architecture: Architecture) -> Iterator[Problem]:
    """Yield chances that are no chances, or not one for each text encoder."""
    rates, path = job.objective.text_encoder_dropout, "objective.text_encoder_dropout"
    encoders = architecture.text_encoders
    if rates is None:
        return
    if len(rates) != len(encoders):
        yield Problem(
            path,
            f"Text encoder dropout needs {len(encoders)} numbers, for {', '.join(encoders)}; this "
            f"list has {len(rates)}.",
        )
    elif not all(0 <= rate <= 1 for rate in rates):
        yield Problem(path, "Text encoder dropout has a number that is not between 0 and 1.")
