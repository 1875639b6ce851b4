"""What a job will do, foretold: modules, parameters, file, buckets, steps, memory.

`summarize` loads no weights and, without pictures, takes a few milliseconds: the window calls it at
every change, and `plan --json` prints the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.plan.buckets import Size
from engine.plan.detect import ModelFacts
from engine.plan.folders import Picture
from engine.plan.memory import BYTES, MemoryEstimate, estimate
from engine.plan.order import Order
from engine.plan.ranks import place
from engine.plan.site import Placement, Site
from engine.plan.sites import ModelShape, sites_of
from engine.plan.steps import NothingToTrain, run_length
from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.lr_weights import LrWeightError

_HEADER_BYTES_A_TENSOR = 130
_METADATA_BYTES = 6000
MUCH_CROPPED = 0.2  # share of a picture that is worth a note


@dataclass(frozen=True)
class Share:
    """What one part or block of the model gets; `possible` counts its modules, trained or not."""

    name: str
    modules: int
    possible: int
    parameters: int


@dataclass(frozen=True)
class PictureCounts:
    """Pictures of all enabled folders."""

    found: int
    unusable: int
    trained: int
    regularization: int
    held_out: int
    without_caption: int


@dataclass(frozen=True)
class StepCounts:
    """Lengths; a step is one optimizer update."""

    samples_per_epoch: int
    batches_per_epoch: int
    steps_per_epoch: int
    epochs: int
    total_steps: int


@dataclass(frozen=True)
class BucketCount:
    """One bucket: its size in pixels, its samples in an epoch, the mean share cut off."""

    width: int
    height: int
    samples: int
    crop_loss: float


@dataclass(frozen=True)
class Plan:
    """Everything foretold of a job. What needs pictures is None until they are known."""

    architecture: str
    modules: int
    modules_possible: int
    parameters: int
    file_bytes: int
    parts: tuple[Share, ...]  # IN, MID, OUT and the text encoders
    blocks: tuple[Share, ...]  # in the order of block_dims
    ranks: dict[int, int]  # rank → modules that have it
    memory: MemoryEstimate
    pictures: PictureCounts | None = None
    steps: StepCounts | None = None
    buckets: tuple[BucketCount, ...] = ()
    notes: tuple[str, ...] = ()
    nothing: str = ""  # why there is no step, empty if there are some or it is not known

    def to_json(self) -> dict[str, Any]:
        """The plan as plain objects for `json.dumps`."""
        data = asdict(self)
        data["ranks"] = {str(rank): count for rank, count in self.ranks.items()}
        data["memory"] |= {"low": self.memory.low, "high": self.memory.high}
        return data


def summarize(
    job: Job, facts: ModelFacts | None = None, pictures: Sequence[Picture] | None = None
) -> Plan:
    """Foretell what a job will do; `facts` give the model's own sizes where they differ."""
    architecture = job.model.architecture
    shape = facts.shape if facts is not None and facts.architecture == architecture else None
    sites = sites_of(architecture, shape)
    placements = _placements(job, sites)
    plan = Plan(
        architecture=architecture,
        modules=len(placements),
        modules_possible=sum(site.kind != "norm" for site in sites),
        parameters=sum(p.site.parameters(p.rank) for p in placements),
        file_bytes=_file_bytes(job, placements),
        parts=_parts(architecture, sites, placements),
        blocks=_blocks(architecture, sites, placements),
        ranks=dict(sorted(Counter(p.rank for p in placements).items())),
        memory=estimate(job, placements, shape),
    )
    return plan if pictures is None else _with_pictures(plan, job, pictures, shape)


def _placements(job: Job, sites: Sequence[Site]) -> tuple[Placement, ...]:
    try:
        return place(job.network, sites, job.model.architecture)
    except LrWeightError:  # told as a problem of its field
        bare = job.network.model_copy(
            update={"down_lr_weight": None, "mid_lr_weight": None, "up_lr_weight": None}
        )
        return place(bare, sites, job.model.architecture)


def _file_bytes(job: Job, placements: Sequence[Placement]) -> int:
    """Tensors at the file's precision, three to an adapter, with their names and the metadata."""
    each = BYTES[job.output.precision]
    numbers = sum(p.site.parameters(p.rank) for p in placements) * each
    tensors = 3 * len(placements)
    metadata = _METADATA_BYTES if job.output.metadata.write else 1000
    return numbers + len(placements) * 4 + tensors * _HEADER_BYTES_A_TENSOR + metadata


def _parts(
    architecture: str, sites: Sequence[Site], placements: Sequence[Placement]
) -> tuple[Share, ...]:
    about = ARCHITECTURES[architecture]
    encoders = dict(
        zip(("text_encoder", "text_encoder_2", "text_encoder_3"), about.text_encoders, strict=False)
    )

    def part(site: Site) -> str:
        if site.component != "denoiser":
            return encoders.get(site.component, site.component)
        return "other" if site.block is None else about.blocks[site.block].part

    names = ["IN", "MID", "OUT", "other", *encoders.values()]
    possible = Counter(part(site) for site in sites if site.kind != "norm")
    modules = Counter(part(p.site) for p in placements)
    parameters: Counter[str] = Counter()
    for p in placements:
        parameters[part(p.site)] += p.site.parameters(p.rank)
    return tuple(
        Share(name, modules[name], possible[name], parameters[name])
        for name in names
        if possible[name]
    )


def _blocks(
    architecture: str, sites: Sequence[Site], placements: Sequence[Placement]
) -> tuple[Share, ...]:
    possible = Counter(s.block for s in sites if s.block is not None and s.kind != "norm")
    modules = Counter(p.site.block for p in placements)
    parameters: Counter[int | None] = Counter()
    for p in placements:
        parameters[p.site.block] += p.site.parameters(p.rank)
    return tuple(
        Share(block.name, modules[i], possible[i], parameters[i])
        for i, block in enumerate(ARCHITECTURES[architecture].blocks)
    )


def _with_pictures(
    plan: Plan, job: Job, pictures: Sequence[Picture], shape: ModelShape | None
) -> Plan:
    order = Order(job, pictures)
    steps, nothing = None, ""
    try:
        length = run_length(job.training, order)
        steps = StepCounts(
            order.samples_in(1), order.batches_in(1), length.steps_per_epoch,
            length.total_epochs, length.total_steps,
        )  # fmt: skip
    except NothingToTrain as problem:
        nothing = str(problem)
    roles = Counter(
        job.dataset.folders[i].role
        for i in (pictures[entry.picture_index].folder_index for entry in _once(order))
    )
    counts = PictureCounts(
        found=len(pictures),
        unusable=sum(not p.usable for p in pictures),
        trained=roles["train"],
        regularization=roles["regularization"],
        held_out=len(order.validation),
        without_caption=sum(p.usable and not p.caption.strip() for p in pictures),
    )
    return replace(
        plan,
        pictures=counts,
        steps=steps,
        nothing=nothing,
        buckets=_buckets(order),
        notes=_notes(job, order, pictures),
    )


def _once(order: Order) -> list[Any]:
    """The first entry of each picture: one resolution of it."""
    return list({entry.picture_index: entry for entry in order.entries}.values())


def _buckets(order: Order) -> tuple[BucketCount, ...]:
    samples: Counter[Size] = Counter()
    for step in order.epoch(1).steps:
        for rank in step.ranks:
            for micro in rank:
                samples[micro.bucket] += len(micro.samples)
    losses: dict[Size, list[float]] = defaultdict(list)
    for entry in order.entries:
        losses[entry.fit.bucket].append(entry.fit.loss)
    return tuple(
        BucketCount(w, h, samples[w, h], sum(losses[w, h]) / len(losses[w, h]))
        for w, h in sorted(losses)
    )


def _notes(job: Job, order: Order, pictures: Sequence[Picture]) -> tuple[str, ...]:
    """What a person should know of single pictures, gathered into a line each."""
    notes = []
    cropped = [pictures[e.picture_index] for e in order.entries if e.fit.loss > MUCH_CROPPED]
    if cropped:
        notes.append(
            f"{_names(cropped)} lose more than {MUCH_CROPPED:.0%} by cropping: no bucket has "
            "their shape."
        )
    least = job.dataset.bucket_min
    small = [p for p in pictures if p.usable and min(p.size) < least]
    if small and job.dataset.buckets:
        grown = "they are enlarged" if job.dataset.upscale else "they are trained at their size"
        notes.append(f"{_names(small)} are smaller than {least} pixels; {grown}.")
    twins = [p for p in pictures if p.twin]
    if twins:
        notes.append(f"{_names(twins)} are copies of each other, byte for byte.")
    return tuple(notes)


def _names(pictures: Sequence[Picture]) -> str:
    names = list(dict.fromkeys(p.path.name for p in pictures))
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
