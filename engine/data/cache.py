"""Encoded pictures and captions, kept under a key made of everything that decides them.

A changed picture, size, crop, filter, VAE or caption has another key, so nothing stale is ever
used and nothing has to be cleared (spec: data-loop 3). Entries are small safetensors files with
the key's own text in the header, written whole or not at all; in memory they are tensors in a dict.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.data.cache_size import touch
from engine.plan.folders import Picture
from engine.plan.order import Sample
from engine.schema.dataset import Dataset

VERSION = 1  # of what is kept; another number makes every key another one
DIRECTORY = ".graft-cache"
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}


class CacheProblem(Exception):
    """The cache folder cannot be used; the message names it and says what to do."""


class Store(Protocol):
    """Where entries are kept."""

    def get(self, key: str) -> dict[str, Tensor] | None:
        """The entry's tensors, or None if there is none that is whole."""
        ...

    def put(self, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Keep an entry; `about` is what was hashed to the key."""
        ...

    def has(self, key: str) -> bool:
        """Whether there is an entry, whole or not."""
        ...


class MemoryStore:
    """Entries in memory, for one run."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Tensor]] = {}

    def get(self, key: str) -> dict[str, Tensor] | None:
        """See `Store`."""
        return self._entries.get(key)

    def put(self, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """See `Store`. The tensors are shared with loader processes, not copied to each."""
        self._entries[key] = {
            name: tensor.detach().cpu().contiguous().clone().share_memory_()
            for name, tensor in tensors.items()
        }

    def has(self, key: str) -> bool:
        """See `Store`."""
        return key in self._entries


class DiskStore:
    """One file an entry: `FOLDER/ab/abcdef….safetensors`.

    Raises:
        CacheProblem: if the folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheProblem(
                f"{folder}: the cache folder cannot be made: {error.strerror}. Choose another "
                "cache folder, or keep encoded pictures in memory."
            ) from None

    def path(self, key: str) -> Path:
        """The file of an entry."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> dict[str, Tensor] | None:
        """See `Store`. A file that cannot be read is deleted, so that it is made anew."""
        path = self.path(key)
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError):
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """See `Store`. Written beside, flushed to the disk, and renamed."""
        path = self.path(key)
        beside = path.with_name(f"{key}.tmp-{os.getpid()}")
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            path.parent.mkdir(exist_ok=True)
            save_file(whole, beside, metadata={"about": json.dumps(about, sort_keys=True)})
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(beside, path)
        except (OSError, SafetensorError) as error:
            beside.unlink(missing_ok=True)
            raise CacheProblem(
                f"{self.folder}: nothing can be written there ({error}). Free some space, or "
                "choose another cache folder."
            ) from None

    def has(self, key: str) -> bool:
        """See `Store`. Who asks is about to use it: that keeps it from being pruned."""
        path = self.path(key)
        if not path.is_file():
            return False
        touch(path)
        return True


def open_store(kind: str, dataset: Dataset, runs: Path) -> Store | None:
    """The store of a `cache_…` field: None for off; on disk it lies beside the runs by default."""
    if kind == "off":
        return None
    if kind == "memory":
        return MemoryStore()
    given = dataset.cache_directory
    return DiskStore(Path(given).expanduser() if given else runs / DIRECTORY)


def remove_leftovers(folder: Path) -> int:
    """Delete half-written files of processes that died; returns how many there were."""
    found = list(folder.glob("*/*.tmp-*"))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def hashed(about: Mapping[str, Any]) -> str:
    """The key of what decides an entry: its canonical JSON, hashed to 32 hex digits."""
    text = json.dumps(about, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


class ContentHashes:
    """Hashes of files' bytes, remembered by path, length and time of change.

    With a `file` they are remembered between runs; a touched file is read again, an unchanged one
    is not.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known: dict[str, str] = {}
        self._changed = False
        if file is not None:
            try:
                self._known = dict(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                self._known = {}

    def of(self, path: Path) -> str:
        """The hash of a file's bytes."""
        status = path.stat()
        name = f"{path}|{status.st_size}|{status.st_mtime_ns}"
        found = self._known.get(name)
        if found is None:
            with path.open("rb") as file:
                digest = xxhash.xxh3_128()
                while part := file.read(1 << 20):
                    digest.update(part)
            found = self._known[name] = digest.hexdigest()
            self._changed = True
        return found

    def save(self) -> None:
        """Remember them for the next run."""
        if self._file is None or not self._changed:
            return
        beside = self._file.with_name(f"{self._file.name}.tmp-{os.getpid()}")
        beside.write_text(json.dumps(self._known), encoding="utf-8")
        os.replace(beside, self._file)
        self._changed = False


class LatentCache:
    """Kept latents, as the VAE gave them: its mean, unscaled, (c, h, w)."""

    def __init__(self, store: Store, dataset: Dataset, identity: Mapping[str, Any]) -> None:
        self.store = store
        self.dataset = dataset
        self.identity = dict(identity)
        file = store.folder / "hashes.json" if isinstance(store, DiskStore) else None
        self.hashes = ContentHashes(file)

    def about(self, picture: Picture, sample: Sample) -> dict[str, Any]:
        """Everything that decides the latents of a sample."""
        return {
            "what": "latents",
            "version": VERSION,
            "content": self.hashes.of(picture.path),
            "model": self.identity,
            "bucket": sample.bucket,
            "resized": sample.resized,
            "crop": sample.crop,
            "flip": sample.flip,
            "filter": self.dataset.resize_filter,
            "background": self.dataset.background,
            "kept_as": self.dataset.cache_precision,
        }

    def key(self, picture: Picture, sample: Sample) -> str:
        """The key of a sample's latents."""
        return hashed(self.about(picture, sample))

    def put(self, picture: Picture, sample: Sample, latents: Tensor) -> None:
        """Keep the latents (c, h, w) of a sample."""
        about = self.about(picture, sample)
        kept = latents.to(PRECISIONS[self.dataset.cache_precision])
        self.store.put(
            hashed(about), {"latents": kept}, {**about, "picture": picture.relative_path}
        )

    def get(self, key: str) -> Tensor | None:
        """Kept latents (c, h, w), float32."""
        found = self.store.get(key)
        return found["latents"].float() if found is not None else None


class TextCache:
    """Kept captions, encoded: the model's tensors of one caption, without the first dimension."""

    def __init__(self, store: Store, dataset: Dataset, identity: Mapping[str, Any]) -> None:
        self.store = store
        self.dataset = dataset
        self.identity = dict(identity)

    def about(self, caption: str) -> dict[str, Any]:
        """Everything that decides the encoding of a caption."""
        return {
            "what": "text",
            "version": VERSION,
            "caption": caption,
            "model": self.identity,
            "kept_as": self.dataset.cache_precision,
        }

    def key(self, caption: str) -> str:
        """The key of a final caption."""
        return hashed(self.about(caption))

    def put(self, caption: str, encoded: Mapping[str, Tensor]) -> None:
        """Keep the encoding of a caption; floats in the cache's precision."""
        dtype = PRECISIONS[self.dataset.cache_precision]
        kept = {n: t.to(dtype) if t.is_floating_point() else t for n, t in encoded.items()}
        about = self.about(caption)
        self.store.put(hashed(about), kept, about)

    def get(self, key: str) -> dict[str, Tensor] | None:
        """A kept encoding, floats as float32."""
        found = self.store.get(key)
        if found is None:
            return None
        return {n: t.float() if t.is_floating_point() else t for n, t in found.items()}


def cache_files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every entry of a cache folder with its size in bytes."""
    for path in folder.glob("*/*.safetensors"):
        yield path, path.stat().st_size
