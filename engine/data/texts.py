"""The final caption of each sample, also where captions are kept encoded (data-loop 1.3, 3)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from random import Random

from engine.plan.caption_files import read_wildcard_lists
from engine.plan.captions import caption
from engine.plan.folders import Picture
from engine.plan.keys import draws
from engine.plan.order import Sample, caption_generator
from engine.plan.wildcards import Lists
from engine.schema.dataset_folder import Folder
from engine.schema.job import Job

_FIXED = {
    "shuffle_tags": False, "tag_dropout": 0.0, "tag_warmup": 0.0, "caption_dropout": 0.0,
    "caption_dropout_every_epochs": 0,
}  # fmt: skip
_NEVER_EMPTY = {"caption_dropout": 0.0, "caption_dropout_every_epochs": 0, "tag_warmup": 0.0}


class Captions:
    """Makes the captions of a job's samples; `total_steps` is the run's length."""

    def __init__(self, job: Job, total_steps: int) -> None:
        self.seed = job.training.seed
        self.trigger_word = job.dataset.trigger_word
        self.total_steps = total_steps
        self.kept = job.dataset.cache_text != "off"
        self.variations = job.dataset.text_variations
        self.folders = job.dataset.folders
        self._fixed = [folder.model_copy(update=_FIXED) for folder in self.folders]
        self._never_empty = [folder.model_copy(update=_NEVER_EMPTY) for folder in self.folders]

    def of_sample(self, picture: Picture, sample: Sample, step: int) -> str:
        """The caption of a training sample in the step after `step` updates.

        Where captions are kept, one of the picture's variations: epochs take them in turn. Empty
        captions are drawn for each sample in any case, for they are all the same entry.
        """
        folder = self.folders[picture.folder_index]
        rng = caption_generator(self.seed, sample.epoch, sample.relative_path, sample.repeat)
        if not self.kept:
            return self._make(picture, folder, rng, step, sample.epoch)
        every = folder.caption_dropout_every_epochs
        if rng.random() < folder.caption_dropout or (every and sample.epoch % every == 0):
            return ""
        return self._variation(picture, sample.epoch % self.variations)

    def for_measuring(self, picture: Picture) -> str:
        """A caption without dropout or shuffling, the same every time."""
        rng = draws(self.seed, "data", "validation", picture.relative_path, 0)
        return self._make(picture, self._fixed[picture.folder_index], rng, self.total_steps, 0)

    def to_keep(self, picture: Picture) -> Iterator[str]:
        """Every caption that `of_sample` can give for a picture where captions are kept."""
        folder = self.folders[picture.folder_index]
        if folder.caption_dropout or folder.caption_dropout_every_epochs:
            yield ""
        for number in range(self.variations):
            yield self._variation(picture, number)

    def _variation(self, picture: Picture, number: int) -> str:
        rng = draws(self.seed, "variation", number, picture.relative_path)
        folder = self._never_empty[picture.folder_index]
        return self._make(picture, folder, rng, self.total_steps, 0)

    def _make(self, picture: Picture, folder: Folder, rng: Random, step: int, epoch: int) -> str:
        return caption(
            picture.caption,
            folder,
            rng,
            step,
            self.total_steps,
            self.trigger_word,
            epoch=epoch,
            lists=_lists(folder.path) if folder.wildcards else None,
        )


@lru_cache(maxsize=32)
def _lists(folder: str) -> Lists:
    return read_wildcard_lists(Path(folder).expanduser())
