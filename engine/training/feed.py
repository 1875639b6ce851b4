"""The pictures of a run: found, put in order, kept encoded; those that cannot be used are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.data.loader import Loader
from engine.plan.folders import Picture, pictures_of
from engine.plan.order import Order
from engine.plan.steps import NothingToTrain, RunLength, run_length
from engine.protocol import Failure
from engine.schema.job import Job
from engine.training.control import Control
from engine.training.events import Events
from engine.training.failures import RunError
from engine.training.together import Together

MOST_BROKEN = 5  # unusable pictures, or one in a hundred: more is an error
MOST_WARNINGS = 20  # about single pictures; the rest is counted


@dataclass(frozen=True)
class Found:
    """The pictures of a run and the order in which they are used."""

    pictures: Sequence[Picture]
    order: Order
    length: RunLength

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides which sample is in which step."""
        return self.order.fingerprint()


def find_pictures(job: Job, events: Events, control: Control, world: int = 1) -> Found:
    """Look at all pictures' headers and captions, and count the steps.

    Raises:
        FolderProblem: a folder is missing, empty or unreadable.
        RunError: too many pictures are unusable, or no step can be made of the rest.
        StopRun: if the person wants to stop.
    """

    def progress(done: int, total: int) -> None:
        control.check()
        events.phase("starting", "Reading the pictures", done, total)

    pictures = pictures_of(job.dataset, progress)
    _tell_oddities(pictures, events)
    return _in_order(job, pictures, world)


def keep_encoded(
    job: Job, found: Found, loader: Loader, events: Events, control: Control, together: Together
) -> Found:
    """Encode what the job keeps; returns `found` without pictures that turn out to be broken.

    When it returns, every rank has encoded its part.

    Raises:
        CacheProblem: the cache folder cannot be used, or the VAE gives no finite numbers.
        RunError: too many pictures are broken.
        StopRun: if the person wants to stop; what is encoded on disk stays.
    """
    words = {"caching_latents": "Encoding the pictures", "caching_text": "Encoding the captions"}

    def progress(what: str, done: int, total: int) -> None:
        control.check()
        events.phase(what, words[what], done, total)

    own: dict[int, str] = {}
    with together.step():
        own = loader.fill_caches(progress)
    broken = {i: words for part in together.gathered(own) for i, words in part.items()}
    if not broken:
        return found
    pictures = [
        replace(picture, problem=broken.get(i, picture.problem))
        for i, picture in enumerate(found.pictures)
    ]
    _tell_oddities([pictures[i] for i in broken], events)
    _refuse_many(pictures)
    return _in_order(job, pictures, found.order.world)


def _in_order(job: Job, pictures: Sequence[Picture], world: int) -> Found:
    order = Order(job, pictures, world)
    try:
        return Found(pictures, order, run_length(job.training, order))
    except NothingToTrain as error:
        failure = Failure(kind="data", message=str(error), field="dataset.folders")
        raise RunError(failure) from error


def _tell_oddities(pictures: Sequence[Picture], events: Events) -> None:
    broken = [p for p in pictures if p.problem]
    odd = [(p.path, p.problem) for p in broken]
    odd += [(p.path, warning) for p in pictures for warning in p.warnings]
    for path, words in odd[:MOST_WARNINGS]:
        events.warn(words, str(path))
    if len(odd) > MOST_WARNINGS:
        events.warn(f"{len(odd) - MOST_WARNINGS} more pictures are odd; plan lists them all.")
    _refuse_many(pictures)


def _refuse_many(pictures: Sequence[Picture]) -> None:
    broken = [p for p in pictures if p.problem]
    if len(broken) > max(MOST_BROKEN, len(pictures) // 100):
        raise RunError(
            Failure(
                kind="data",
                message=f"{len(broken)} of {len(pictures)} pictures cannot be read, the first is "
                f"{broken[0].path}: {broken[0].problem}.",
                mend="Remove or mend them, or point the job at another folder.",
                field=f"dataset.folders[{broken[0].folder_index}].path",
            )
        )
