"""Everything a job will do, in numbers: what `plan` prints and the window always shows.

Without pictures it takes a few milliseconds, so that it can run at every keystroke.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.plan.adapter_size import Numbers, numbers_of, total_of
from engine.plan.buckets import BucketRules, Size, parse_resolution, rules_of
from engine.plan.detect import ModelFacts
from engine.plan.folders import Picture
from engine.plan.memory import Memory, estimate
from engine.plan.notes import notes_on
from engine.plan.order import Order
from engine.plan.place_notes import place_notes
from engine.plan.ranks import FileRanks, place
from engine.plan.site import Placement, Site
from engine.plan.sites import sites_of
from engine.plan.steps import NothingToTrain, run_length
from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.options import option_at
from engine.schema.problem import OptionError

_FILE_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_ENTRY_BYTES = 90  # of a tensor in the file's header, without the adapter's name
_METADATA_BYTES = 4096


@dataclass(frozen=True)
class Part:
    """A model with adapters: how many of its layers are trained, of all that could be."""

    component: str
    modules: int
    modules_of: int
    parameters: int


@dataclass(frozen=True)
class Block:
    """A block of the denoiser; ranks are 0 where nothing is trained."""

    index: int
    name: str
    modules: int
    parameters: int
    rank: int
    conv_rank: int
    lr_factor: float


@dataclass(frozen=True)
class Bucket:
    """A bucket with pictures in it; the loss is the mean share that cropping cuts off."""

    size: Size
    pictures: int
    samples: int  # in the first epoch
    crop_loss: float


@dataclass(frozen=True)
class Pictures:
    """The pictures of the job, and the run that they make.

    `problem` says why there can be no step; then all counts of steps are 0.
    """

    found: int
    unusable: int
    trained: int
    regularization: int
    held_out: int
    samples_per_epoch: int
    batches_per_epoch: int
    steps_per_epoch: int
    epochs: int
    total_steps: int
    buckets: tuple[Bucket, ...]
    problem: str = ""


@dataclass(frozen=True)
class Plan:
    """What the job will do.

    Attributes:
        modules, modules_of: adapters, of all places for one.
        parameters: trained numbers.
        file_bytes: size of a saved adapter file.
        parts, blocks: the same by model and by block of the denoiser.
        memory: the estimate.
        pictures: None while they are not known.
        notes: what a person should know, in sentences.
    """

    architecture: str
    modules: int
    modules_of: int
    parameters: int
    file_bytes: int
    parts: tuple[Part, ...]
    blocks: tuple[Block, ...]
    memory: Memory
    pictures: Pictures | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values, with the memory's bounds."""
        content = asdict(self)
        content["memory"] |= {"low": self.memory.low, "high": self.memory.high}
        return content


def summarize(
    job: Job,
    facts: ModelFacts | None = None,
    pictures: Sequence[Picture] | None = None,
    *,
    file_ranks: FileRanks | None = None,
    world: int | None = None,
) -> Plan:
    """Foretell a job.

    Args:
        job: the job; values that are wrong stand at their defaults (see `check`).
        facts: what was seen of the base model; None takes the published sizes.
        pictures: what `pictures_of` found; None while it is not known.
        file_ranks: ranks of `network.start_from`, for the option "ranks of that file".
        world: how many processes train together; None: as the job says.
    """
    architecture = job.model.architecture
    fits = facts is not None and facts.architecture == architecture
    sites = sites_of(architecture, facts.shape if facts is not None and fits else None)
    placements = placements_of(job, sites, architecture, file_ranks)
    counts = [numbers_of(p, job.network) for p in placements]
    total = total_of(counts)
    numbers = [count.trained for count in counts]
    world = world or job.launch.processes * job.launch.machines
    order = Order(job, pictures, world) if pictures is not None else None
    largest = _largest(rules_of(job.dataset), order, job)
    return Plan(
        architecture=architecture,
        modules=len(placements),
        modules_of=len(_trainable(sites, placements)),
        parameters=total.trained,
        file_bytes=_file_bytes(job, placements, counts),
        parts=_parts(sites, placements, numbers),
        blocks=_blocks(architecture, placements, numbers),
        memory=estimate(job, facts if fits else None, sites, placements, total, largest),
        pictures=_pictures(job, order) if order is not None else None,
        notes=(
            *notes_on(job, facts, order),
            *place_notes(job.network, sites, architecture),
        ),
    )


def placements_of(
    job: Job, sites: tuple[Site, ...], architecture: str, file_ranks: FileRanks | None = None
) -> tuple[Placement, ...]:
    """Where the job's adapters sit; an option that cannot be used stands at its default."""
    network = job.network
    while True:
        try:
            return place(network, sites, architecture, file_ranks)
        except OptionError as error:  # told at its field by the check; the rest can still be shown
            default = option_at(f"network.{error.key}").default
            network = network.model_copy(update={error.key: default})


def _trainable(sites: Sequence[Site], placements: Sequence[Placement]) -> list[Site]:
    """What the trained layers are counted of: norms only where some are trained."""
    norms = any(placement.site.kind == "norm" for placement in placements)
    return [site for site in sites if site.ranked or (norms and site.kind == "norm")]


def _parts(
    sites: Sequence[Site], placements: Sequence[Placement], numbers: Sequence[int]
) -> tuple[Part, ...]:
    counts = Counter(placement.site.component for placement in placements)
    parameters = Counter[str]()
    for placement, number in zip(placements, numbers, strict=True):
        parameters[placement.site.component] += number
    every = Counter(site.component for site in _trainable(sites, placements))
    return tuple(Part(c, counts[c], n, parameters[c]) for c, n in every.items())


def _blocks(
    architecture: str, placements: Sequence[Placement], numbers: Sequence[int]
) -> tuple[Block, ...]:
    by_block: dict[int, list[Placement]] = defaultdict(list)
    parameters = Counter[int]()
    for placement, number in zip(placements, numbers, strict=True):
        if placement.site.block is not None:
            by_block[placement.site.block].append(placement)
            parameters[placement.site.block] += number
    blocks = []
    for index, about in enumerate(ARCHITECTURES[architecture].blocks):
        here = by_block[index]
        plain = [p.rank for p in here if p.site.kernel == (1, 1)]
        conv = [p.rank for p in here if p.site.kernel != (1, 1)]
        blocks.append(
            Block(
                index=index,
                name=about.name,
                modules=len(here),
                parameters=parameters[index],
                rank=max(plain, default=0),
                conv_rank=max(conv, default=0),
                lr_factor=here[0].lr_factor if here else 0.0,
            )
        )
    return tuple(blocks)


def _file_bytes(job: Job, placements: Sequence[Placement], counts: Sequence[Numbers]) -> int:
    width = _FILE_BYTES[job.output.precision]
    tensors = sum(
        count.keys * (len(p.site.name) + _ENTRY_BYTES)
        for p, count in zip(placements, counts, strict=True)
    )
    stored = total_of(counts).stored
    return stored * width + 4 * len(placements) + tensors + _METADATA_BYTES


def _largest(rules: Sequence[BucketRules], order: Order | None, job: Job) -> Size:
    """The bucket with most pixels that will be trained."""
    if order is not None and order.entries:
        return max((e.fit.bucket for e in order.entries), key=lambda b: b[0] * b[1])
    sizes = [parse_resolution(text) for text in job.dataset.resolution]
    return max(sizes, key=lambda s: s[0] * s[1])


def _pictures(job: Job, order: Order) -> Pictures:
    folders = job.dataset.folders
    used = {entry.picture_index: entry.folder_index for entry in order.entries}
    regular = sum(folders[f].role == "regularization" for f in used.values())
    unusable = sum(not picture.usable for picture in order.pictures)
    problem, per_epoch, epochs, total = "", 0, 0, 0
    try:
        length = run_length(job.training, order)
        per_epoch, epochs, total = length.steps_per_epoch, length.total_epochs, length.total_steps
    except NothingToTrain as error:
        problem = str(error)
    return Pictures(
        found=len(order.pictures),
        unusable=unusable,
        trained=len(used) - regular,
        regularization=regular,
        held_out=len(order.validation),
        samples_per_epoch=order.samples_in(1),
        batches_per_epoch=order.batches_in(1),
        steps_per_epoch=per_epoch,
        epochs=epochs,
        total_steps=total,
        buckets=_buckets(order),
        problem=problem,
    )


def _buckets(order: Order) -> tuple[Bucket, ...]:
    samples = order.bucket_samples(1)
    members: dict[Size, list[float]] = defaultdict(list)
    for entry in order.entries:
        members[entry.fit.bucket].append(entry.fit.loss)
    return tuple(
        Bucket(size, len(losses), samples[size], sum(losses) / len(losses))
        for size, losses in sorted(members.items())
    )
