"""Batches in the planned order: decoded by worker processes, or put together from what is kept.

Workers are handed samples that are drawn already, so their number changes nothing. One iterator
goes through the whole run: the next epoch's pictures are prepared while this one ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.data.batch import Batch, PlannedStep
from engine.data.encode import Encoder, Keep, Progress, fill
from engine.data.pictures import as_tensor, prepare
from engine.data.text_rows import together
from engine.data.texts import Captions
from engine.plan.buckets import Fit, Size
from engine.plan.folders import Picture
from engine.plan.keys import key
from engine.plan.order import MicroBatch, Order, Sample, Step
from engine.plan.picture_header import PictureProblem
from engine.plan.steps import RunLength
from engine.schema.job import Job

__all__ = ["Batch", "DataProblem", "Loader", "PlannedStep"]


class DataProblem(Exception):
    """A picture that turned out to be unusable while training; the message names it."""


@dataclass(frozen=True)
class _Task:
    """What a worker is asked for; a step of -1 means a batch for measuring."""

    micro: MicroBatch
    step: int


class _Batches(Dataset["Batch | DataProblem"]):
    """Makes a batch of a task; this is what lives in the worker processes.

    A problem is returned, not raised: a worker would wrap its words in a traceback.
    """

    def __init__(self, job: Job, pictures: Sequence[Picture], captions: Captions) -> None:
        self.dataset = job.dataset
        self.pictures = pictures
        self.captions = captions

    def __getitem__(self, task: _Task) -> Batch | DataProblem:
        prepared = []
        for sample in task.micro.samples:
            picture = self.pictures[sample.picture_index]
            try:
                prepared.append(prepare(picture, sample, self.dataset))
            except PictureProblem as problem:
                return DataProblem(
                    f"{picture.path}: {problem}. Mend it or take it out of the folder."
                )
        batch = self.bare(task)
        batch.pixels = torch.stack([as_tensor(p.pixels) for p in prepared])
        masks = [None if p.mask is None else torch.from_numpy(p.mask.copy()) for p in prepared]
        batch.mask = stack_masks(masks, task.micro.bucket)
        return batch

    def bare(self, task: _Task) -> Batch:
        """Everything but the pictures."""
        samples = task.micro.samples
        pictures = [self.pictures[sample.picture_index] for sample in samples]
        folders = [self.dataset.folders[picture.folder_index] for picture in pictures]
        if task.step < 0:
            captions = [self.captions.for_measuring(picture) for picture in pictures]
        else:
            captions = [
                self.captions.of_sample(picture, sample, task.step)
                for picture, sample in zip(pictures, samples, strict=True)
            ]
        return Batch(
            pixels=None,
            latents=None,
            captions=captions,
            text=None,
            mask=None,
            weights=torch.tensor([folder.loss_weight for folder in folders]),
            preserve_prior=torch.tensor([folder.preserve_prior for folder in folders]),
            samples=samples,
            epoch=samples[0].epoch,
            original_sizes=[picture.size for picture in pictures],
        )


class Loader:
    """The batches of a run for one rank.

    Args:
        job: the job.
        order: the samples of every epoch.
        length: the run's steps.
        encoder: the model, which encodes what is kept.
        runs: the folder of all runs; caches on disk lie in it unless the job says otherwise.
        rank: which of `order.world` processes this is.

    Raises:
        CacheProblem: if the cache folder cannot be used.
    """

    def __init__(
        self,
        job: Job,
        order: Order,
        length: RunLength,
        encoder: Encoder,
        runs: Path,
        rank: int = 0,
    ) -> None:
        self.job = job
        self.order = order
        self.length = length
        self.rank = rank
        self.captions = Captions(job, length.total_steps)
        self.keep = Keep(job, encoder, runs)
        self._batches = _Batches(job, order.pictures, self.captions)
        self._iterator: Iterator[Batch] | None = None

    def fill_caches(self, progress: Progress) -> dict[int, str]:
        """Encode everything that is kept and is not there yet, before the first step.

        `progress` is told of each entry, and may raise to stop; what is encoded by then stays.

        Returns:
            Index of each picture that cannot be decoded → why; plan the order again without them.

        Raises:
            CacheProblem: if an entry cannot be written.
        """
        return fill(self.keep, self.order, self.captions, progress, self.rank)

    def steps(self, start: int = 0) -> Iterator[PlannedStep]:
        """The steps of the run after `start` done ones.

        Raises:
            DataProblem: a picture cannot be decoded.
        """
        self.close()
        self._iterator = self._loaded(self._tasks(start))
        for step, epoch, planned in self._planned(start):
            count = len(planned.ranks[self.rank])
            micros = list(islice(self._iterator, count))
            yield PlannedStep(step, epoch, micros, planned.sample_count)
        self._iterator = None

    def held_out(self) -> list[Batch]:
        """The held-out pictures in batches, for measuring: captions and crops are fixed."""
        limit = self.job.training.validation_pictures
        chosen = sorted(self.order.validation, key=lambda s: self._rank_of(s.relative_path))
        return self._measured(chosen[:limit])

    def probe(self) -> list[Batch]:
        """As many training pictures, in the same way, to compare with."""
        limit = self.job.training.validation_pictures
        count = len(self.order.validation[:limit])
        found: dict[int, Sample] = {}
        for entry in self.order.entries:
            picture = self.order.pictures[entry.picture_index]
            role = self.job.dataset.folders[entry.folder_index].role
            if role == "train" and entry.picture_index not in found:
                found[entry.picture_index] = measuring_sample(
                    entry.picture_index, picture, entry.fit
                )
        chosen = sorted(found.values(), key=lambda s: self._rank_of(s.relative_path))
        return self._measured(chosen[:count])

    def close(self) -> None:
        """End the worker processes."""
        self._iterator = None

    def _rank_of(self, path: str) -> int:
        return key(self.job.training.seed, "probe", path)

    def _planned(self, start: int) -> Iterator[tuple[int, int, Step]]:
        """(step, epoch, plan) from `start` to the end of the run."""
        step = start
        while step < self.length.total_steps:
            epoch, at = self.length.position(step)
            for planned in self.order.epoch(epoch).steps[at:]:
                if step >= self.length.total_steps:
                    return
                yield step, epoch, planned
                step += 1

    def _tasks(self, start: int) -> Iterator[_Task]:
        for step, _, planned in self._planned(start):
            for micro in planned.ranks[self.rank]:
                yield _Task(micro, step)

    def _loaded(self, tasks: Iterable[_Task]) -> Iterator[Batch]:
        """Batches of the tasks; only pictures that are not kept need worker processes."""
        if self.keep.latents is not None:
            for task in tasks:
                yield self._finished(self._kept(task))
            return
        workers = self.job.training.workers
        loader: DataLoader[Batch | DataProblem] = DataLoader(
            self._batches,
            batch_size=None,
            sampler=_Sequence(tasks),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )
        for batch in loader:
            yield self._finished(batch)

    def _kept(self, task: _Task) -> Batch:
        """A batch of kept latents and masks."""
        batch = self._batches.bare(task)
        entries = [
            self.keep.latents_and_mask(self.order.pictures[sample.picture_index], sample)
            for sample in task.micro.samples
        ]
        batch.latents = torch.stack([latents for latents, _ in entries])
        batch.mask = stack_masks([mask for _, mask in entries], task.micro.bucket)
        return batch

    def _finished(self, batch: Batch | DataProblem) -> Batch:
        if isinstance(batch, DataProblem):
            raise batch
        if self.keep.text is not None:
            rows = [self.keep.encoded(caption) for caption in batch.captions]
            batch.text = together(rows)
        return batch

    def _measured(self, samples: Sequence[Sample]) -> list[Batch]:
        by_bucket: dict[Size, list[Sample]] = {}
        for sample in samples:
            by_bucket.setdefault(sample.bucket, []).append(sample)
        size = self.job.training.batch_size
        tasks = [
            _Task(MicroBatch(bucket, tuple(members[at : at + size])), -1)
            for bucket, members in sorted(by_bucket.items())
            for at in range(0, len(members), size)
        ]
        if self.keep.latents is not None:
            return [self._finished(self._kept(task)) for task in tasks]
        return [self._finished(self._batches[task]) for task in tasks]


class _Sequence(torch.utils.data.Sampler[_Task]):
    """Hands tasks to the workers as they are made."""

    def __init__(self, tasks: Iterable[_Task]) -> None:
        self._tasks = tasks

    def __iter__(self) -> Iterator[_Task]:
        return iter(self._tasks)


def measuring_sample(index: int, picture: Picture, fit: Fit) -> Sample:
    """A sample for measuring: cropped in the middle, not mirrored, epoch 0."""
    return Sample(
        picture_index=index,
        folder_index=picture.folder_index,
        relative_path=picture.relative_path,
        epoch=0,
        repeat=0,
        bucket=fit.bucket,
        resized=fit.resized,
        crop=fit.crop,
    )


def stack_masks(masks: Sequence[Tensor | None], bucket: Size) -> Tensor | None:
    """Masks (H, W) uint8 → (b, 1, H, W) in [0, 1]; None if no sample has one."""
    if all(mask is None for mask in masks):
        return None
    width, height = bucket
    whole = torch.full((height, width), 255, dtype=torch.uint8)
    return torch.stack([whole if m is None else m for m in masks])[:, None].float() / 255
