"""One set-up at a time: a lock that the system lifts even when its holder is killed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.setup.errors import SetupError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


@contextmanager
def setup_lock(
    folder: Path,
    on_wait: Callable[[], None] = lambda: None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold `folder/lock`; waits while another start holds it, calling `on_wait` once.

    `pause(seconds)` is called between tries and may raise to give up. Raises SetupError when the
    folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as err:
        raise SetupError(
            "permission",
            f"Nothing can be written into {folder.parent} ({err.strerror}).",
            "Move the Graft folder somewhere you may write, such as your home folder.",
        ) from err
    try:
        waited = False
        while not _try_lock(handle):
            if not waited:
                on_wait()
                waited = True
            pause(0.3)
        yield
    finally:
        os.close(handle)  # lifts the lock too
