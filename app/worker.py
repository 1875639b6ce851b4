"""Work off the window's thread: run a function in the pool, get its result back in the window's."""

from __future__ import annotations

import queue
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import shiboken6
from PySide6.QtCore import QObject, QRunnable, Qt, QThreadPool, Signal

Result = TypeVar("Result")


class _Bridge(QObject):
    """Hands results over to the window's thread.

    One for the whole program and never deleted: an answer that belonged to its asker could be
    destroyed in one thread while the other one speaks through it.
    """

    arrived = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.results: queue.SimpleQueue[tuple[QObject, Callable[[], None]]] = queue.SimpleQueue()
        self.arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def _deliver(self) -> None:
        owner, deliver = self.results.get()
        if shiboken6.isValid(owner):
            deliver()


@cache
def _bridge() -> _Bridge:
    """Made in the window's thread by the first `in_worker`."""
    return _Bridge()


class _Work(QRunnable):
    def __init__(
        self,
        owner: QObject,
        work: Callable[[], Result],
        then: Callable[[Result], None],
        otherwise: Callable[[OSError], None] | None,
    ) -> None:
        super().__init__()
        self._owner, self._work, self._then, self._otherwise = owner, work, then, otherwise

    def run(self) -> None:
        try:
            result = self._work()
        except OSError as error:
            if self._otherwise is not None:
                self._send(lambda e=error, tell=self._otherwise: tell(e))
        else:
            self._send(lambda: self._then(result))

    def _send(self, deliver: Callable[[], None]) -> None:
        bridge = _bridge()
        bridge.results.put((self._owner, deliver))
        bridge.arrived.emit()


def in_worker(
    owner: QObject,
    work: Callable[[], Result],
    then: Callable[[Result], None],
    otherwise: Callable[[OSError], None] | None = None,
    pool: QThreadPool | None = None,
) -> None:
    """Run `work` in a thread and call `then` with its result in the owner's thread.

    Nothing is called once the owner is deleted. `work` may fail with OSError alone.
    """
    _bridge()  # made here, not in the worker
    (pool or QThreadPool.globalInstance()).start(_Work(owner, work, then, otherwise))
