"""Everything wrong with the files that a job names, told from their headers, each at its field."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from engine.plan.adapter_names import (
    empty_factor,
    for_another,
    holds_adapters,
    is_other,
    no_adapter,
    rank_zero,
    told_by_pictures,
)
from engine.plan.detect import ModelFacts, is_hub_id, mismatch, refusal_of
from engine.plan.header import FileProblem, read_header, stamp_of
from engine.plan.model_names import LABELS
from engine.plan.part_files import part_problems
from engine.plan.parts import MENDS, unnamed, words_on
from engine.schema.job import Job
from engine.schema.problem import Problem


def problems_in_files(job: Job, facts: ModelFacts | None) -> Iterator[Problem]:
    """Yield what is wrong with the base model, the files beside it and the adapters.

    Args:
        job: valid by itself.
        facts: of its base model, as `engine.plan.detect.look_at` has them; None if it names none.
    """
    if facts is not None:
        yield from _base(job, facts)
    yield from part_problems(job.model, facts)
    named = [(f"model.merge[{i}].file", item.file) for i, item in enumerate(job.model.merge)]
    named.append(("network.start_from", job.network.start_from or ""))
    for field, path in named:
        file = Path(path.strip()).expanduser()
        known = (file, job.model.architecture, stamp_of(file))
        words = _adapter(*known) if path.strip() else ""
        if words:
            yield Problem(field, words)


def _base(job: Job, facts: ModelFacts) -> Iterator[Problem]:
    model = job.model
    waits = is_hub_id(model.path) and facts.path is None and not job.launch.offline
    if waits:  # the loader downloads it
        return
    other = mismatch(facts, model.architecture)
    if other:
        fix = (("model.architecture", facts.architecture),)
        yield Problem("model.path", other, fix=fix, fix_label=f"Switch to {_label(facts)}")
    elif words := refusal_of(facts, model):
        yield Problem("model.path", words)
    elif facts.path is not None:
        lacking = unnamed(facts.absent, model)
        if lacking:
            words = f"{words_on(facts.path.name, lacking)} {MENDS[model.architecture]}"
            yield Problem(f"model.{lacking[0].field}", words)


def _label(facts: ModelFacts) -> str:
    return LABELS[facts.architecture or ""]


@lru_cache(maxsize=64)
def _adapter(path: Path, architecture: str, stamp: tuple[int, int]) -> str:
    """Words for what is wrong with an adapter file; the stamp is a part of the key."""
    try:
        header = read_header(path)
    except FileProblem as problem:
        return str(problem)
    if not holds_adapters(header.entries):
        return no_adapter(path.name)
    empty = empty_factor({name: info.shape for name, info in header.entries.items()})
    if empty is not None:
        return rank_zero(path.name, empty)
    told = told_by_pictures(header.entries)
    if told is not None and is_other(told, architecture):
        return for_another(path.name, LABELS[told.architecture], LABELS[architecture])
    return ""
