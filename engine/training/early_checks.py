"""What is tried before gigabytes are read: the job's files, and its options for the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from engine.architectures.running.four_bits import check_four_bits
from engine.networks.attach import refuse_variants, require_fit
from engine.networks.file import read
from engine.networks.matching import match
from engine.networks.problem import AdapterProblem
from engine.plan.adapter_names import is_text
from engine.plan.before_loading import place_problems, problems_before_loading, sites_at_hand
from engine.plan.detect import look_at
from engine.plan.header import FileProblem
from engine.plan.site import Site
from engine.protocol import Failure
from engine.schema.architectures import UNET
from engine.schema.job import Job
from engine.schema.problem import JobError
from engine.training.failures import RunError

ROLES = ("denoiser", "text_encoder", "text_encoder_2", "text_encoder_3", "text_conditioner")


def check_before_loading(job: Job, device: str) -> None:
    """Refuse what cannot become a run, while nothing large has been read.

    Adapter files are small, so they are read whole here: a number that is not finite, a half
    adapter, layers of another model.

    Args:
        job: valid by itself.
        device: such as "cpu" or "cuda:0".

    Raises:
        JobError, RunError, ModelProblem: in words for the person, with the field.
    """
    if job.model.weights == "nf4":
        check_four_bits(torch.device(device))
    facts = look_at(job.model.path)
    if problems := list(problems_before_loading(job, facts)):
        raise JobError(problems)
    sites = sites_at_hand(job, facts)
    if sites is None:
        return
    # Of encoders in files of their own no size is known yet.
    whole = facts.layout == "diffusers" or job.model.architecture in UNET
    roles = ROLES if whole else ("denoiser",)
    if job.network.start_from:
        _check_adapter(job, sites, roles, job.network.start_from, "network.start_from")
    for i, item in enumerate(job.model.merge):
        _check_adapter(job, sites, roles, item.file, f"model.merge[{i}].file")


def check_places(job: Job, sites: Sequence[Site]) -> None:
    """Place the adapters once before pictures are encoded, so that a mistake is told at once.

    Raises:
        JobError: naming the field that does not go with the model at hand, or that nothing is
            left to train.
    """
    if problems := list(place_problems(job, sites)):
        raise JobError(problems)


def _check_adapter(
    job: Job, sites: Sequence[Site], roles: Sequence[str], path: str, field: str
) -> None:
    """Hold a file against the parts whose sizes are known, which `roles` names."""
    present: dict[str, object] = dict.fromkeys(roles, True)
    try:
        file = read(Path(path).expanduser())
        refuse_variants(file)
        matched = match(file, sites, present)
        if len(roles) > 1 or not all(map(is_text, file.names)):
            require_fit(file, matched, job.model.architecture, sites, present)
    except (FileProblem, AdapterProblem) as problem:
        raise RunError(Failure(kind="file", message=str(problem), field=field)) from problem
