"""Warnings: settings that work but are probably not meant. They never block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.schema.job import Job
from engine.schema.optimizers import kind_of
from engine.schema.problem import Problem


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


def _warn(
    path: str, message: str, fix: tuple[tuple[str, Any], ...] = (), label: str = ""
) -> Problem:
    return Problem(path, message, "warning", fix, label)
