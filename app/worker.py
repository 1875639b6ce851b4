"""Work off the window's thread: run a function in a pool, get its result back in the window's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from queue import SimpleQueue

Result = TypeVar("Result")

THREADS = 4


class _Bridge(QObject):
    """Hands results over to the window's thread.

    One for the whole program and never deleted: an answer that belonged to its asker could be
    destroyed in one thread while the other one speaks through it. Python's own threads are used
    for the same reason: a QRunnable made in Python can be collected in the wrong one.
    """

    arrived = Signal()

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # no work is done before the first paint
        from queue import SimpleQueue

        super().__init__()
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="worker")
        self.results: SimpleQueue[tuple[QObject, Callable[[], None]]] = SimpleQueue()
        self.arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def _deliver(self) -> None:
        owner, deliver = self.results.get()
        if shiboken6.isValid(owner):
            deliver()


@cache
def _bridge() -> _Bridge:
    """Made in the window's thread by the first `in_worker`."""
    return _Bridge()


def in_worker(
    owner: QObject,
    work: Callable[[], Result],
    then: Callable[[Result], None],
    otherwise: Callable[[OSError], None] | None = None,
) -> None:
    """Run `work` in a thread and call `then` with its result in the window's thread.

    Nothing is called once the owner is deleted. `work` may fail with OSError alone.
    """
    bridge = _bridge()

    def send(deliver: Callable[[], None]) -> None:
        bridge.results.put((owner, deliver))
        bridge.arrived.emit()

    def run() -> None:
        try:
            result = work()
        except OSError as error:
            if otherwise is not None:
                send(lambda e=error, tell=otherwise: tell(e))
        else:
            send(lambda: then(result))

    bridge.pool.submit(run)
