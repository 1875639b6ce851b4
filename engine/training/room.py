"""Who lies on the card when: the model's parts come, wait and leave as the job says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import nn

from engine.architectures.architecture import Loading, TrainableModel
from engine.architectures.running.denoiser import fetch_denoiser
from engine.architectures.running.frozen import blocks_of
from engine.plan.block_lists import swap_problem
from engine.plan.site import TEXT_ENCODERS
from engine.schema.job import Job
from engine.schema.problem import JobError
from engine.schema.text_encoders import adapted_encoders
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
    # Encoders with adapters stay until these are made, beside them.
    send_to_rest(job, model, {TEXT_ENCODERS[i] for i in adapted_encoders(job)})
    fetch_denoiser(model.components["denoiser"], loading)


@dataclass(frozen=True)
class Resting:
    """What lies on the CPU while the adapter is trained, for previews to fetch.

    Attributes:
        vae: pictures are kept encoded.
        prompts: all text encoders rest, so that prompts are encoded once and for all.
        encoders: those that rest while others are trained.
    """

    vae: bool = False
    prompts: bool = False
    encoders: tuple[nn.Module, ...] = ()

    def move(self, model: TrainableModel, device: torch.device | str) -> None:
        """Move what a preview needs of it: all but encoders whose prompts are encoded."""
        if self.vae:
            model.move("vae", device)
        for encoder in self.encoders:
            nn.Module.to(encoder, device)


def send_to_rest(job: Job, model: TrainableModel, live: Collection[str]) -> Resting:
    """Send what the steps do not need to the CPU; `live` are the roles of encoders they do."""
    kept = job.dataset.cache_text != "off"
    resting = Resting(
        vae=job.dataset.cache_latents != "off",
        prompts=kept and not live,
        encoders=tuple(
            module for role, module in model.components.items()
            if kept and live and role in TEXT_ENCODERS and role not in live
        ),
    )  # fmt: skip
    resting.move(model, "cpu")
    if resting.prompts:
        model.move("text_encoder", "cpu")
    return resting


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
