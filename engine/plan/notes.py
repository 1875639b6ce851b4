"""What a person should know of a plan: pictures that are lost, cut, enlarged, doubled or bare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from engine.plan.before_loading import problems_before_loading
from engine.plan.buckets import parse_resolution, rules_of
from engine.plan.detect import ModelFacts
from engine.plan.folders import Picture, problems_in
from engine.plan.order import Order
from engine.schema.job import Job

SCHNELL = (
    "FLUX.1-schnell was made to draw in four steps, and training undoes that bit by bit. Train on "
    "FLUX.1-dev instead: its adapters work with schnell too."
)
MUCH_CUT = 0.2  # of a picture's area
MUCH_ENLARGED = 2.0  # times
NAMED = 3  # pictures that a note names


def notes_on(job: Job, facts: ModelFacts | None, order: Order | None) -> Iterator[str]:
    """Yield the notes, the gravest first."""
    for problem in problems_before_loading(job, facts):
        yield problem.message
    if facts is not None and (facts.architecture, facts.variant) == ("flux", "schnell"):
        yield SCHNELL
    if order is not None:
        yield from _on_pictures(job, order)
    yield from _on_sizes(job)


def _on_sizes(job: Job) -> Iterator[str]:
    for text, rules in zip(job.dataset.resolution, rules_of(job.dataset), strict=True):
        if rules.enabled and job.dataset.bucket_min > min(parse_resolution(text)):
            yield (
                f"The shortest side ({job.dataset.bucket_min}) is above the resolution {text}; "
                f"{rules.minimum} is used there."
            )


def _on_pictures(job: Job, order: Order) -> Iterator[str]:
    for line in problems_in(order.pictures):
        yield f"Left out: {line}."
    used = {entry.picture_index for entry in order.entries}
    bare = [p for i, p in enumerate(order.pictures) if i in used and not p.caption]
    if bare:
        yield f"{_pictures(len(bare), 'has', 'have')} no caption: {_names(bare)}."
    yield from dict.fromkeys(
        warning
        for i, picture in enumerate(order.pictures)
        if i in used
        for warning in picture.warnings
        if picture.caption or ("caption" not in warning and "is empty" not in warning)
    )
    yield from _on_fits(job, order)
    twins = Counter(p.twin for i, p in enumerate(order.pictures) if i in used and p.twin)
    if twins:
        doubled = [p for i, p in enumerate(order.pictures) if i in used and p.twin]
        count = sum(twins.values()) - len(twins)
        yield f"{_pictures(count, 'is', 'are')} in the set more than once: {_names(doubled)}."
    if order.entries and not order.is_constant:
        yield "Pictures are drawn anew every epoch, so epochs can differ by a few steps."


def _on_fits(job: Job, order: Order) -> Iterator[str]:
    cut: dict[int, Picture] = {}
    small: dict[int, Picture] = {}
    enlarged: dict[int, Picture] = {}
    for entry in order.entries:
        picture = order.pictures[entry.picture_index]
        if entry.fit.loss > MUCH_CUT:
            cut[entry.picture_index] = picture
        if min(picture.size) < min(job.dataset.bucket_min, *entry.fit.bucket):
            small[entry.picture_index] = picture
        elif entry.fit.scale(picture.size) > MUCH_ENLARGED:
            enlarged[entry.picture_index] = picture
    if cut:
        yield (
            f"{_pictures(len(cut), 'loses', 'lose')} more than {MUCH_CUT:.0%} to cropping: "
            f"{_names(cut.values())}."
        )
    if small:
        yield (
            f"{_pictures(len(small), 'is', 'are')} smaller than {job.dataset.bucket_min} px on a "
            f"side: {_names(small.values())}."
        )
    if enlarged:
        yield (
            f"{_pictures(len(enlarged), 'is', 'are')} enlarged more than twofold: "
            f"{_names(enlarged.values())}."
        )


def _pictures(count: int, one: str, many: str) -> str:
    return f"1 picture {one}" if count == 1 else f"{count} pictures {many}"


def _names(pictures: Iterable[Picture]) -> str:
    names = [picture.relative_path for picture in pictures]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
