"""Encode what a job keeps: every sample's latents and mask, every caption (spec: data-loop 3)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from engine.data.cache import (
    CacheProblem,
    DiskStore,
    LatentCache,
    Store,
    TextCache,
    hashed,
    open_store,
    remove_leftovers,
)
from engine.data.cache_size import prune
from engine.data.pictures import Pixels, as_tensor, prepare, prepare_mask
from engine.data.text_rows import trimmed
from engine.data.texts import Captions
from engine.plan.folders import Picture
from engine.plan.order import Order, Sample
from engine.plan.picture_header import PictureProblem
from engine.schema.job import Job

log = logging.getLogger(__name__)
CLOCK_SLACK = 5.0  # seconds by which a file server's clock may be behind

Progress = Callable[[Literal["caching_latents", "caching_text"], int, int], None]
"""Told what is encoded, how many are done, of how many."""


class PictureEncoder(Protocol):
    """What is needed of a model's picture encoder."""

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, H, W) in [-1, 1] → latents (b, c, h, w)."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides the latents of a picture."""
        ...


class Encoder(Protocol):
    """What is needed of a model; every `TrainableModel` has it."""

    @property
    def pictures(self) -> PictureEncoder:
        """Its picture encoder."""
        ...

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → tensors with the captions first."""
        ...

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption."""
        ...


class Keep:
    """The caches of a job; `latents` and `text` are None where nothing is kept.

    Raises:
        CacheProblem: if the cache folder cannot be used.
    """

    def __init__(self, job: Job, encoder: Encoder, runs: Path) -> None:
        self.job = job
        self.dataset = job.dataset
        self.encoder = encoder
        pictures = open_store(job.dataset.cache_latents, job.dataset, runs)
        texts = open_store(job.dataset.cache_text, job.dataset, runs)
        for store in (pictures, texts):
            if isinstance(store, DiskStore):
                remove_leftovers(store.folder)
        self.latents: LatentCache | None = None
        self.text: TextCache | None = None
        if pictures is not None:
            self.latents = LatentCache(pictures, self.dataset, encoder.pictures.identity())
        if texts is not None:
            self.text = TextCache(texts, self.dataset, encoder.text_identity())

    def latents_and_mask(self, picture: Picture, sample: Sample) -> tuple[Tensor, Tensor | None]:
        """Latents (c, h, w) and mask (H, W) of a sample; encoded now if they are gone."""
        assert self.latents is not None
        latents = self.latents.get(self.latents.key(picture, sample))
        if latents is None:
            self.encode([(picture, sample)])
            latents = self.latents.get(self.latents.key(picture, sample))
            assert latents is not None
        return latents, self.mask(picture, sample)

    def encoded(self, caption: str) -> dict[str, Tensor]:
        """The encoding of a caption, without the first dimension; encoded now if it is gone."""
        assert self.text is not None
        found = self.text.get(self.text.key(caption))
        if found is None:
            self.encode_captions([caption])
            found = self.text.get(self.text.key(caption))
            assert found is not None
        return found

    def mask(self, picture: Picture, sample: Sample) -> Tensor | None:
        """The mask (H, W) uint8 of a sample, or None where all of it is learned."""
        assert self.latents is not None
        if self._mask_source(picture) is None:
            return None
        store, about = self.latents.store, self._about_mask(picture, sample)
        found = store.get(hashed(about))
        if found is None:
            self._keep_mask(about, prepare_mask(picture, sample, self.dataset))
            found = store.get(hashed(about))
            assert found is not None
        return found["mask"] if found["mask"].numel() else None

    def encode(self, members: Sequence[tuple[Picture, Sample]]) -> None:
        """Encode samples of one bucket together, and keep them.

        Raises:
            PictureProblem: one of them cannot be decoded.
        """
        assert self.latents is not None
        prepared = [prepare(picture, sample, self.dataset) for picture, sample in members]
        pixels = torch.stack([as_tensor(p.pixels) for p in prepared])
        try:
            latents = self.encoder.pictures.encode(pixels)
        except ValueError as error:  # the model says what is wrong, here is known with which
            names = ", ".join(picture.relative_path for picture, _ in members)
            raise CacheProblem(f"{names}: {error}") from None
        for (picture, sample), made, row in zip(members, prepared, latents, strict=True):
            self.latents.put(picture, sample, row)
            if self._mask_source(picture) is not None:
                self._keep_mask(self._about_mask(picture, sample), made.mask)

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> None:
        """Encode captions together, and keep them."""
        assert self.text is not None
        encoded = self.encoder.encode_text(captions)
        for i, caption in enumerate(captions):
            self.text.put(caption, trimmed({name: tensor[i] for name, tensor in encoded.items()}))

    def _mask_source(self, picture: Picture) -> Path | None:
        mask = self.dataset.folders[picture.folder_index].mask
        return None if mask == "none" else picture.path if mask == "alpha" else picture.mask

    def _about_mask(self, picture: Picture, sample: Sample) -> dict[str, Any]:
        assert self.latents is not None
        source = self._mask_source(picture)
        assert source is not None
        folder = self.dataset.folders[picture.folder_index]
        return {
            "what": "mask",
            "content": self.latents.hashes.of(source),
            "kind": folder.mask,
            "inverted": folder.mask_invert,
            "bucket": sample.bucket,
            "resized": sample.resized,
            "crop": sample.crop,
            "flip": sample.flip,
        }

    def _keep_mask(self, about: Mapping[str, Any], mask: Pixels | None) -> None:
        assert self.latents is not None
        kept = torch.zeros(0, dtype=torch.uint8) if mask is None else torch.from_numpy(mask.copy())
        self.latents.store.put(hashed(about), {"mask": kept}, about)


def fill(
    keep: Keep, order: Order, captions: Captions, progress: Progress, rank: int = 0
) -> dict[int, str]:
    """Encode all that is not kept yet; returns the pictures that cannot be decoded, and why.

    On disk, ranks share the work; in memory each has its own. Wait for all ranks afterwards.
    """
    started = time.time() - CLOCK_SLACK
    broken: dict[int, str] = {}
    if keep.latents is not None:
        _fill_latents(keep, order, progress, rank, broken)
    if keep.text is not None:
        wanted: dict[str, None] = {}
        for i, picture in enumerate(order.pictures):
            if picture.usable and i not in broken:
                wanted |= dict.fromkeys(captions.to_keep(picture))
                wanted[captions.for_measuring(picture)] = None
        _fill_text(keep, list(wanted), progress, order.world, rank)
    if rank == 0:
        _prune(keep, started)
    return broken


def _prune(keep: Keep, started: float) -> None:
    """Keep each cache folder under the job's limit; entries of this run were all used now."""
    limit = keep.dataset.cache_limit_gb
    if limit is None:
        return
    stores = {c.store.folder for c in (keep.latents, keep.text)
              if c is not None and isinstance(c.store, DiskStore)}  # fmt: skip
    for folder in stores:
        pruned = prune(folder, limit * 1e9, started)
        if pruned.removed:
            log.info(
                "%d cache entries (%.1f GB) that were not used for longest are deleted; %.1f GB "
                "are kept in %s",
                pruned.removed, pruned.removed_bytes / 1e9, pruned.kept_bytes / 1e9, folder,
            )  # fmt: skip


def _fill_latents(
    keep: Keep, order: Order, progress: Progress, rank: int, broken: dict[int, str]
) -> None:
    assert keep.latents is not None
    missing: list[tuple[Picture, Sample]] = []
    for sample in samples_to_keep(order):
        picture = order.pictures[sample.picture_index]
        about = keep.latents.key(picture, sample)
        if not keep.latents.store.has(about) and _is_ours(keep.latents.store, about, order, rank):
            missing.append((picture, sample))
    missing.sort(key=lambda item: item[1].bucket)
    done, size = 0, keep.dataset.cache_batch_size
    while done < len(missing):
        progress("caching_latents", done, len(missing))
        group = [missing[done]]
        for item in missing[done + 1 : done + size]:
            if item[1].bucket == group[0][1].bucket:
                group.append(item)
        _encode_or_tell(keep, group, broken)
        done += len(group)
    progress("caching_latents", done, len(missing))
    keep.latents.hashes.save()


def _encode_or_tell(
    keep: Keep, group: list[tuple[Picture, Sample]], broken: dict[int, str]
) -> None:
    """Encode a group; if a picture in it cannot be decoded, encode the others one by one."""
    try:
        keep.encode(group)
    except PictureProblem as problem:
        if len(group) == 1:
            broken[group[0][1].picture_index] = str(problem)
            return
        for item in group:
            _encode_or_tell(keep, [item], broken)


def _fill_text(keep: Keep, wanted: list[str], progress: Progress, world: int, rank: int) -> None:
    assert keep.text is not None
    store = keep.text.store
    missing = [c for c in wanted if not store.has(keep.text.key(c))]
    if isinstance(store, DiskStore):
        missing = [c for c in missing if int(keep.text.key(c), 16) % world == rank]
    size = keep.dataset.cache_batch_size
    for done in range(0, len(missing), size):
        progress("caching_text", done, len(missing))
        keep.encode_captions(missing[done : done + size])
    progress("caching_text", len(missing), len(missing))


def samples_to_keep(order: Order) -> Iterator[Sample]:
    """Every different way a picture enters a batch: at each resolution, mirrored and not."""
    for entry in order.entries:
        picture = order.pictures[entry.picture_index]
        folder = order.dataset.folders[entry.folder_index]
        turns = [False] if folder.flip == 0 else [True] if folder.flip == 1 else [False, True]
        # A picture that is mirrored always is still measured as it is.
        for flip in dict.fromkeys([False, *turns]) if order.validation else turns:
            yield Sample(
                entry.picture_index, entry.folder_index, picture.relative_path, 0, 0,
                entry.fit.bucket, entry.fit.resized, entry.fit.crop, flip,
            )  # fmt: skip
    yield from order.validation


def _is_ours(store: Store, key: str, order: Order, rank: int) -> bool:
    """On disk each rank encodes its part; in memory every rank needs all."""
    return not isinstance(store, DiskStore) or int(key, 16) % order.world == rank
