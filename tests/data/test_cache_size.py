"""The cache on disk stays under its limit, and a run never loses what it needs (data-loop 3)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from engine.data.cache import DiskStore
from engine.data.cache_size import prune


def filled(folder: Path, count: int) -> DiskStore:
    """Entries of about 4 kB, the first unused for longest."""
    store = DiskStore(folder)
    for i in range(count):
        key = f"{i:032x}"
        store.put(key, {"latents": torch.zeros(1000)}, {"i": i})
        old = time.time() - 1000 + i
        os.utime(store.path(key), (old, old))
    return store


def left(store: DiskStore, count: int) -> list[int]:
    return [i for i in range(count) if store.path(f"{i:032x}").is_file()]


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    store = filled(tmp_path, 6)
    size = store.path(f"{0:032x}").stat().st_size
    pruned = prune(tmp_path, 2.5 * size, time.time())
    assert left(store, 6) == [4, 5]
    assert (pruned.removed, pruned.removed_bytes, pruned.kept_bytes) == (4, 4 * size, 2 * size)
    assert prune(tmp_path, 2.5 * size, time.time()).removed == 0


def test_what_a_run_asked_for_stays_whatever_the_limit(tmp_path: Path) -> None:
    store = filled(tmp_path, 4)
    began = time.time() - 1
    assert store.has(f"{0:032x}")
    assert not store.has(f"{9:032x}")
    prune(tmp_path, 0, began)
    assert left(store, 4) == [0]


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    mine = tmp_path / "notes.safetensors"
    mine.write_bytes(b"mine")
    prune(tmp_path, 0, time.time())
    assert mine.read_bytes() == b"mine"
