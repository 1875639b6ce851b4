"""Warnings: settings that work but are probably not meant. They never block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.optimizers import kind_of
from engine.schema.problem import Problem

MOST_SHIFTED = 1536
"""Pixels of a side up to which the shift by size is reasonable: it is 7.5 there, 25 at 2048."""

NOT_FOR_ANIMA = ("CAME", "Automagic")
"""Optimizers under which Anima was seen to break (spec: training-dit 6)."""


def advise(job: Job) -> Iterator[Problem]:
    """Yield warnings about a job."""
    network, optimizer, objective, training = (
        job.network, job.optimizer, job.objective, job.training,
    )  # fmt: skip
    if network.alpha > 2 * network.rank:
        yield _warn(
            "network.alpha",
            f"Alpha is far above the rank: strength × {network.alpha / network.rank:g}. Learning "
            "is that much faster, and burns easily.",
            (("network.alpha", float(network.rank)),), f"Set {network.rank}",
        )  # fmt: skip
    kind = kind_of(optimizer.name)
    if kind and kind.single_lr and optimizer.learning_rate < 0.1:
        yield _warn(
            "optimizer.learning_rate",
            f"{kind.name} finds its rate by itself and multiplies it with this: 1 is usual.",
            (("optimizer.learning_rate", 1.0),), "Set 1",
        )  # fmt: skip
    elif kind and not kind.single_lr and optimizer.learning_rate > 5e-3 and kind.name != "SGD":
        yield _warn(
            "optimizer.learning_rate",
            f"{optimizer.learning_rate:g} is very high for {kind.name}; pictures may turn to "
            "noise. 1e-4 is usual.",
        )
    if job.model.architecture == "anima" and kind and kind.name in NOT_FOR_ANIMA:
        yield _warn(
            "optimizer.name",
            f"With {kind.name} Anima's numbers stop being finite, people report; AdamW and its "
            "8-bit form are fine.",
            (("optimizer.name", "AdamW"),), "Use AdamW",
        )  # fmt: skip
    weightings = [
        label
        for label, on in (
            ("min-SNR", objective.min_snr_gamma), ("debiased", objective.debiased),
            ("weight v like noise", objective.v_loss_like_noise),
        )
        if on
    ]  # fmt: skip
    if len(weightings) > 1:
        yield _warn(
            "objective.min_snr_gamma",
            f"{' and '.join(weightings)} multiply each other; one of them is usual.",
        )
    if ARCHITECTURES[job.model.architecture].flow:
        yield from _on_levels(job)
    if training.epochs and training.steps:
        yield _warn("training.steps", "Epochs are given too, and decide; steps are not used.",
                    (("training.steps", None),), "Clear steps")  # fmt: skip
    shuffled = any(f.shuffle_tags or f.tag_dropout or f.wildcards for f in job.dataset.folders)
    if job.dataset.cache_text != "off" and shuffled and job.dataset.text_variations == 1:
        yield _warn(
            "dataset.text_variations",
            "With one variation the order of tags is drawn once and stays. 8 is a good number.",
            (("dataset.text_variations", 8),), "Set 8",
        )  # fmt: skip
    if training.adapter_precision == "bf16":
        yield _warn(
            "training.adapter_precision",
            "Small changes vanish in bf16 adapters unless the optimizer rounds stochastically.",
        )
    if job.model.vae_precision == "fp16":
        yield _warn("model.vae_precision", "Some VAEs overflow in fp16 and give black pictures.")
    if job.samples.enabled and not job.samples.prompts:
        yield _warn("samples.prompts", "No prompts yet, so there will be no previews.")


def _on_levels(job: Job) -> Iterator[Problem]:
    """Noise levels of a flow model (spec: training-dit 1.1)."""
    objective, scale = job.objective, ARCHITECTURES[job.model.architecture].latent_scale
    sides = [[int(side) for side in re.findall(r"\d+", size)] for size in job.dataset.resolution]
    pixels = max((side[0] * side[-1] for side in sides if side), default=0)
    by_size = objective.timestep_sampling in ("flux_shift", "nextdit_shift")
    if by_size and pixels > MOST_SHIFTED**2 and scale == 8:
        yield _warn(
            "objective.timestep_sampling",
            f"Above {MOST_SHIFTED} pixels a side the shift by size leaves little but pure noise to "
            "learn from. A shift of 3 to 6 by number is safer there.",
            (("objective.timestep_sampling", "shift"),), "Shift by number",
        )  # fmt: skip
    if objective.weighting in ("logit_normal", "mode") and objective.timestep_sampling != "sigma":
        yield _warn(
            "objective.weighting",
            f"The weighting {objective.weighting} says which noise levels are drawn, and acts only "
            "with the sampling 'by the weighting, shifted'.",
            (("objective.timestep_sampling", "sigma"),), "Choose that sampling",
        )  # fmt: skip


def _warn(
    path: str, message: str, fix: tuple[tuple[str, Any], ...] = (), label: str = ""
) -> Problem:
    return Problem(path, message, "warning", fix, label)
