"""Which text encoders a job gives adapters, and which of them say the same until its end."""

from __future__ import annotations

from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.optimizer import text_encoder_rate


def adapted_encoders(job: Job) -> tuple[int, ...]:
    """The text encoders that get adapters, counted from 0 in the architecture's order."""
    network = job.network
    if network.train == "denoiser":
        return ()
    names = ARCHITECTURES[job.model.architecture].text_encoders
    return tuple(
        i for i, name in enumerate(names) if network.train_t5xxl or not name.startswith("T5")
    )


def live_encoders(job: Job) -> tuple[int, ...]:
    """Those whose words change while the job trains; what the others say can be kept.

    At rate 0 an adapter stays without effect, unless it began with one or a pattern gives its
    layers rates of their own.
    """
    if job.network.start_from or job.network.network_reg_lrs:
        return adapted_encoders(job)
    return tuple(i for i in adapted_encoders(job) if encoder_rate(job, i) > 0)


def encoder_rate(job: Job, number: int) -> float:
    """The learning rate of a text encoder's adapters, counted from 0."""
    own = text_encoder_rate(job.optimizer, number)
    return job.optimizer.learning_rate if own is None else own
