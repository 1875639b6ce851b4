"""Keeping the cache on disk under its limit: what was not used for longest goes first."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pruned:
    """What a pruning left and took, in bytes and entries."""

    kept_bytes: int
    removed_bytes: int
    removed: int


def touch(path: Path) -> None:
    """Remember that an entry is used; a cache that cannot be written to is used all the same."""
    try:
        os.utime(path)
    except OSError:
        log.debug("%s could not be marked as used", path)


def prune(folder: Path, limit_bytes: float, used_since: float) -> Pruned:
    """Delete entries, the longest unused first, until the rest is under the limit.

    Args:
        folder: of a `DiskStore`.
        limit_bytes: what all entries together may take.
        used_since: entries used since this time (unix seconds) stay in any case: the run that is
            about to begin needs them.
    """
    found = []
    for path in folder.glob("??/*.safetensors"):
        try:
            facts = path.stat()
        except OSError:
            continue  # another run has just removed it
        found.append((facts.st_mtime, facts.st_size, path))
    total = sum(size for _, size, _ in found)
    removed = count = 0
    for used, size, path in sorted(found):
        if total - removed <= limit_bytes or used >= used_since:
            break
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue
        removed, count = removed + size, count + 1
    return Pruned(total - removed, removed, count)
