"""Which samples are in which step: a pure function of the pictures, the seed and the epoch.

Nothing is ever stored: an epoch's plan is made anew from its number (spec: data-loop 2.3, 2.4).
Epochs count from 1, steps from 0.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b

from engine.plan.buckets import BucketRules, Fit, Size, fit, rules_of
from engine.plan.folders import Picture
from engine.plan.held_out import split_pictures
from engine.plan.keys import draws
from engine.schema.dataset_folder import Folder
from engine.schema.job import Job


@dataclass(frozen=True)
class Sample:
    """One use of a picture in an epoch, with its draws for the picture.

    `resized` and `crop` (left, top) come before `flip`. `repeat` counts the picture's uses within
    the epoch; with `epoch` and `relative_path` it is what every draw of the sample is keyed by.
    """

    picture_index: int
    folder_index: int
    relative_path: str
    epoch: int
    repeat: int
    bucket: Size
    resized: Size
    crop: Size
    flip: bool = False
    hue: float = 0.0  # -1 … 1, times the folder's color jitter
    brightness: float = 0.0  # -1 … 1

    @property
    def identity(self) -> str:
        """A short unique text: path, repeat and bucket."""
        return f"{self.relative_path}|{self.repeat}|{self.bucket[0]}x{self.bucket[1]}"


@dataclass(frozen=True)
class MicroBatch:
    """Samples of one bucket that go through the model together."""

    bucket: Size
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Step:
    """One optimizer update: for each rank its micro-batches; a rank can have none."""

    ranks: tuple[tuple[MicroBatch, ...], ...]

    @property
    def sample_count(self) -> int:
        """Samples of all ranks: what the loss is divided by."""
        return sum(len(micro.samples) for rank in self.ranks for micro in rank)


@dataclass(frozen=True)
class EpochPlan:
    """All steps of one epoch, in order."""

    epoch: int
    steps: tuple[Step, ...]

    @property
    def batches(self) -> tuple[MicroBatch, ...]:
        """All micro-batches in the order they are dealt to the ranks."""
        found = []
        for step in self.steps:
            rounds = max(map(len, step.ranks), default=0)
            found += [rank[i] for i in range(rounds) for rank in step.ranks if i < len(rank)]
        return tuple(found)


@dataclass(frozen=True)
class Entry:
    """A picture at one resolution: what is drawn from."""

    picture_index: int
    folder_index: int
    fit: Fit


def data_generator(seed: int, epoch: int | str, relative_path: str, repeat: int) -> random.Random:
    """The generator of a sample's data draws (the picture's first, then the caption's)."""
    return draws(seed, "data", epoch, relative_path, repeat)


def picture_draws(generator: random.Random) -> tuple[float, float, float, float, float]:
    """Draw flip, crop left, crop top, hue and brightness, always all of them, each in [0, 1)."""
    return tuple(generator.random() for _ in range(5))  # pyright: ignore[reportReturnType]


def caption_generator(
    seed: int, epoch: int | str, relative_path: str, repeat: int
) -> random.Random:
    """The same generator, past the picture's draws."""
    generator = data_generator(seed, epoch, relative_path, repeat)
    picture_draws(generator)
    return generator


class Order:
    """The samples of every epoch of a job.

    Attributes:
        pictures: all pictures, usable or not; indices point into it.
        entries: the usable training pictures at every resolution.
        validation: the held-out samples: no flip, cropped in the middle, epoch 0.
    """

    def __init__(self, job: Job, pictures: Sequence[Picture], world: int = 1) -> None:
        self.pictures = tuple(pictures)
        self.seed = job.training.seed
        self.dataset = job.dataset
        self.batch_size = job.training.batch_size
        self.accumulation = job.training.gradient_accumulation
        self.world = world
        rules = rules_of(job.dataset)
        split = split_pictures(job.dataset, self.pictures, self.seed)
        self.entries = _entries(self.pictures, rules, split.training)
        self.validation = _validation(self.pictures, rules[0], split.validation)
        self._by_folder: dict[int, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            self._by_folder[entry.folder_index].append(entry)

    def epoch(self, epoch: int) -> EpochPlan:
        """The plan of an epoch (from 1)."""
        return _cached_epoch(self, epoch)

    @cached_property
    def is_constant(self) -> bool:
        """Whether every epoch has the same samples (in another order)."""
        return all(
            not count % len(entries)
            for folder_index, entries in self._by_folder.items()
            for count in [self._counts[folder_index]]
        )

    def steps_in(self, epoch: int) -> int:
        """How many steps the epoch has; cheaper than its plan."""
        if self.is_constant:
            return self._constant_steps
        return self._steps_of(self._selected(epoch))

    def samples_in(self, epoch: int) -> int:
        """How many samples the epoch has, without those of dropped short batches."""
        counts = Counter(self._group(entry) for entry, _ in self._selected(epoch))
        return sum(sum(self._batch_sizes(count)) for count in counts.values())

    def bucket_samples(self, epoch: int) -> Counter[Size]:
        """Bucket → samples in the epoch, those of dropped short batches included."""
        return Counter(entry.fit.bucket for entry, _ in self._selected(epoch))

    def batches_in(self, epoch: int) -> int:
        """How many micro-batches the epoch has over all ranks."""
        return self._batches(self._selected(epoch))

    @cached_property
    def sample_counts(self) -> dict[int, int]:
        """Folder index → samples in each epoch."""
        return dict(self._counts)

    def fingerprint(self) -> str:
        """A hash of everything that decides the order; a resumed run compares it."""
        parts = [
            [self.seed, self.batch_size, self.accumulation, self.world],
            [self.dataset.mix_folders, self.dataset.short_batches],
            sorted(self._counts.items()),
            [
                [self.pictures[e.picture_index].relative_path, e.fit.bucket, e.fit.resized]
                for e in self.entries
            ],
        ]
        return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    @cached_property
    def _counts(self) -> dict[int, int]:
        """Samples of each folder in an epoch; regularization follows the training ones."""
        folders = self.dataset.folders
        counts = {
            index: _samples_per_epoch(folders[index], len(entries))
            for index, entries in self._by_folder.items()
            if folders[index].role == "train"
        }
        trained = sum(counts.values())
        regular = [i for i in self._by_folder if folders[i].role == "regularization"]
        for place, index in enumerate(regular):
            own = folders[index].samples_per_epoch
            share = trained // len(regular) + (place < trained % len(regular))
            counts[index] = own if own is not None else share
        return counts

    def _selected(self, epoch: int) -> list[tuple[Entry, int]]:
        """The entries of an epoch with the count of each picture's earlier uses in it."""
        uses: Counter[int] = Counter()
        chosen: list[tuple[Entry, int]] = []
        for index, entries in self._by_folder.items():
            for entry in _chosen(entries, self._counts[index], self.seed, index, epoch):
                chosen.append((entry, uses[entry.picture_index]))
                uses[entry.picture_index] += 1
        return chosen

    def _group(self, entry: Entry) -> tuple[Size, int]:
        """What shares a batch: the bucket, and the folder where folders do not mix."""
        return entry.fit.bucket, -1 if self.dataset.mix_folders else entry.folder_index

    def _batch_sizes(self, count: int) -> list[int]:
        whole, rest = divmod(count, self.batch_size)
        keeps = rest and self.dataset.short_batches == "keep"
        return [self.batch_size] * whole + ([rest] if keeps else [])

    def _batches(self, chosen: list[tuple[Entry, int]]) -> int:
        counts = Counter(self._group(entry) for entry, _ in chosen)
        return sum(len(self._batch_sizes(count)) for count in counts.values())

    def _steps_of(self, chosen: list[tuple[Entry, int]]) -> int:
        counts = Counter(self._group(entry) for entry, _ in chosen)
        side_by_side = self.batch_size * self.world
        passes = sum(-(-sum(self._batch_sizes(count)) // side_by_side) for count in counts.values())
        return -(-passes // self.accumulation)

    @cached_property
    def _constant_steps(self) -> int:
        return self._steps_of(self._selected(1))

    def plan_epoch(self, epoch: int) -> EpochPlan:
        """Make the plan of an epoch; `epoch()` remembers the last few."""
        groups: dict[tuple[Size, int], list[tuple[Entry, int]]] = defaultdict(list)
        for entry, repeat in self._selected(epoch):
            groups[self._group(entry)].append((entry, repeat))
        rng = draws(self.seed, "order", epoch)
        passes: list[tuple[MicroBatch, ...]] = []  # what all ranks do at once, of one bucket
        for group in sorted(groups):
            members = groups[group]
            rng.shuffle(members)
            count = sum(self._batch_sizes(len(members)))
            samples = [self._sample(entry, epoch, repeat) for entry, repeat in members[:count]]
            batches = [
                MicroBatch(group[0], tuple(samples[at : at + self.batch_size]))
                for at in range(0, count, self.batch_size)
            ]
            passes += [
                tuple(batches[at : at + self.world]) for at in range(0, len(batches), self.world)
            ]
        rng.shuffle(passes)
        steps = []
        for at in range(0, len(passes), self.accumulation):
            own = passes[at : at + self.accumulation]
            ranks = tuple(tuple(p[r] for p in own if r < len(p)) for r in range(self.world))
            steps.append(Step(ranks))
        return EpochPlan(epoch, tuple(steps))

    def _sample(self, entry: Entry, epoch: int, repeat: int) -> Sample:
        picture = self.pictures[entry.picture_index]
        folder = self.dataset.folders[entry.folder_index]
        crop, flip, hue, brightness = entry.fit.crop, False, 0.0, 0.0
        if folder.flip > 0 or folder.random_crop or folder.color_jitter > 0:
            generator = data_generator(self.seed, epoch, picture.relative_path, repeat)
            u_flip, left, top, u_hue, u_brightness = picture_draws(generator)
            flip = u_flip < folder.flip
            if folder.random_crop:
                crop = _random_crop(entry.fit, left, top)
            if folder.color_jitter > 0:
                hue, brightness = 2 * u_hue - 1, 2 * u_brightness - 1
        return Sample(
            picture_index=entry.picture_index,
            folder_index=entry.folder_index,
            relative_path=picture.relative_path,
            epoch=epoch,
            repeat=repeat,
            bucket=entry.fit.bucket,
            resized=entry.fit.resized,
            crop=crop,
            flip=flip,
            hue=hue,
            brightness=brightness,
        )


@lru_cache(maxsize=4)
def _cached_epoch(order: Order, epoch: int) -> EpochPlan:
    return order.plan_epoch(epoch)


def _entries(
    pictures: Sequence[Picture], rules: Sequence[BucketRules], training: Sequence[int]
) -> tuple[Entry, ...]:
    return tuple(
        Entry(i, pictures[i].folder_index, fit(pictures[i].size, rule))
        for rule in rules
        for i in training
    )


def _validation(
    pictures: Sequence[Picture], rule: BucketRules, held_out: Sequence[int]
) -> tuple[Sample, ...]:
    """The held-out pictures at the first resolution."""
    samples = []
    for i in held_out:
        picture, found = pictures[i], fit(pictures[i].size, rule)
        samples.append(
            Sample(
                i, picture.folder_index, picture.relative_path, 0, 0,
                found.bucket, found.resized, found.crop,
            )
        )  # fmt: skip
    return tuple(samples)


def _samples_per_epoch(folder: Folder, entries: int) -> int:
    if folder.samples_per_epoch is not None:
        return folder.samples_per_epoch
    return int(folder.repeats * entries + 0.5)


def _chosen(
    entries: list[Entry], count: int, seed: int, folder_index: int, epoch: int
) -> list[Entry]:
    """`count` of the entries for an epoch: all of them as often as goes, the rest in turn.

    The rest of successive epochs is dealt from one shuffled pack after the other, so that every
    picture has its turn before any comes again (2.5 repeats: the other half in the next epoch).
    """
    whole, rest = divmod(count, len(entries))
    chosen = entries * whole
    if rest:
        start = (epoch - 1) * rest
        first, last = start // len(entries), (start + rest - 1) // len(entries)
        packs = [_pack(len(entries), seed, folder_index, n) for n in range(first, last + 1)]
        dealt = [i for pack in packs for i in pack]
        at = start - first * len(entries)
        chosen = chosen + [entries[i] for i in sorted(dealt[at : at + rest])]
    return chosen


@lru_cache(maxsize=64)
def _pack(size: int, seed: int, folder_index: int, number: int) -> tuple[int, ...]:
    indices = list(range(size))
    draws(seed, "pack", folder_index, number).shuffle(indices)
    return tuple(indices)


def _random_crop(found: Fit, left: float, top: float) -> Size:
    """A place for the crop, each with equal chance."""
    play = (found.resized[0] - found.bucket[0] + 1, found.resized[1] - found.bucket[1] + 1)
    return int(left * play[0]), int(top * play[1])
