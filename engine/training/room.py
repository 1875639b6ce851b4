"""Who lies on the card when: the model's parts come, wait and leave as the job says."""

from __future__ import annotations

import torch

from engine.architectures.architecture import Loading, Part, TrainableModel
from engine.architectures.running.denoiser import fetch_denoiser
from engine.architectures.running.frozen import blocks_of
from engine.plan.block_lists import swap_problem
from engine.schema.job import Job
from engine.schema.problem import JobError
from engine.training.block_swap import BlockSwap
from engine.training.control import Control
from engine.training.events import Events
from engine.training.memory import PRECISIONS, Device


def loading_of(
    job: Job, events: Events, control: Control, device: Device, precision: str
) -> Loading:
    """What the loader of the job's model is asked for; `control` may stop it between parts."""

    def report(words: str, done: int, total: int) -> None:
        control.check()
        events.phase("loading", words, done, total)

    kept_as = job.model.weights if job.model.weights in PRECISIONS else precision
    kept = "off" not in (job.dataset.cache_latents, job.dataset.cache_text)
    return Loading(
        job.model.architecture,
        job.model,
        device=torch.device(device.id),
        dtype=PRECISIONS[kept_as],
        offline=job.launch.offline,
        report=report,
        zero_terminal_snr=job.objective.zero_terminal_snr,
        weighted_captions=job.dataset.weighted_captions,
        guidance=job.objective.guidance,
        blocks_away=job.training.blocks_to_swap or 0,
        # What encodes pictures and captions needs the card's room first, and then leaves it.
        denoiser_waits=device.type != "cpu" and kept and job.model.weights != "nf4",
    )


def bring_denoiser(job: Job, model: TrainableModel, loading: Loading, events: Events) -> None:
    """Pictures and captions are encoded: what did that leaves, and a waiting denoiser comes."""
    if not loading.denoiser_waits:
        return
    events.phase("loading", "Bringing the picture model to the device")
    send_to_rest(job, model, job.network.train != "denoiser")
    fetch_denoiser(model.components["denoiser"], loading)


def send_to_rest(job: Job, model: TrainableModel, adapts_text: bool) -> tuple[Part, ...]:
    """Send parts that the steps do not need to the CPU; previews fetch them."""
    resting: list[Part] = []
    if job.dataset.cache_latents != "off":
        resting.append("vae")
    if job.dataset.cache_text != "off":
        resting.append("t5" if adapts_text else "text_encoder")
    for part in resting:
        model.move(part, "cpu")
    return tuple(resting)


def swapped_blocks(job: Job, model: TrainableModel, device: Device) -> BlockSwap | None:
    """Let blocks wait in the computer's memory, if the job says so.

    Raises:
        JobError: there are not so many blocks.
    """
    count = job.training.blocks_to_swap
    if not count:
        return None
    blocks = blocks_of(model.components["denoiser"])
    if problems := list(swap_problem(count, len(blocks))):
        raise JobError(problems)
    return BlockSwap(blocks, count, torch.device(device.id))
