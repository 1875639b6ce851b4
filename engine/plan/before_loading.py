"""What keeps a job from running, as far as headers tell: `plan` and `train` ask it first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.plan.block_lists import swap_problem, swappable
from engine.plan.detect import ModelFacts
from engine.plan.named_files import problems_in_files
from engine.plan.ranks import place
from engine.plan.site import Site
from engine.plan.sites import sites_of
from engine.schema.job import Job
from engine.schema.problem import OptionError, Problem


def problems_before_loading(job: Job, facts: ModelFacts | None) -> Iterator[Problem]:
    """Yield what is wrong with the files of a job, and with its options for the model at hand.

    Args:
        job: valid by itself.
        facts: of its base model, as `engine.plan.detect.look_at` has them; None if it names none.
    """
    yield from problems_in_files(job, facts)
    sites = sites_at_hand(job, facts)
    if sites is not None:
        yield from place_problems(job, sites)
        yield from swap_problem(job.training.blocks_to_swap or 0, swappable(sites))


def sites_at_hand(job: Job, facts: ModelFacts | None) -> tuple[Site, ...] | None:
    """The sites of the job's own model; None where its sizes cannot be told yet."""
    if facts is None or facts.shape is None or facts.architecture != job.model.architecture:
        return None
    return sites_of(job.model.architecture, facts.shape)


def place_problems(job: Job, sites: Sequence[Site]) -> Iterator[Problem]:
    """Yield an option that does not go with the model at hand, or that nothing is left to train."""
    try:
        placements = place(job.network, sites, job.model.architecture)
    except OptionError as error:
        yield Problem(f"network.{error.key}", str(error))
        return
    if not placements and not job.network.rank_from_file:
        words = "These options train no layer at all: give some of them a rank above 0."
        yield Problem("network", words)
