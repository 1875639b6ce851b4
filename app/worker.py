"""Work off the window's thread: run a function in a pool, get its result back in the window's."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, QTimer, Signal

if TYPE_CHECKING:
    from queue import SimpleQueue

Result = TypeVar("Result")

THREADS = 4
REST_MS = 200  # after the last answer, for the thread to come to rest


class _Asked(NamedTuple):
    """Who waits for an answer, and with what; it stays in the window's thread."""

    owner: QObject
    then: Callable[[Any], None]
    otherwise: Callable[[OSError], None] | None


class _Bridge(QObject):
    """Hands results over to the window's thread.

    One for the whole program and never deleted: an answer that belonged to its asker could be
    destroyed in one thread while the other one speaks through it. Python's own threads are used
    for the same reason: a QRunnable made in Python can be collected in the wrong one. And while
    a thread works, Python collects no cycles: widgets that are found unused by a thread's
    allocation would be destroyed there, which Qt does not survive.
    """

    arrived = Signal()

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # no work is done before the first paint
        from queue import SimpleQueue

        super().__init__()
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="worker")
        self.answers: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self.asked: dict[int, _Asked] = {}
        self.count = 0
        self.rest = QTimer(self, interval=REST_MS, singleShot=True)
        self.rest.timeout.connect(gc.enable)
        self.arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def ask(self, asked: _Asked, work: Callable[[], Any]) -> None:
        """Start the work; the thread gets to know its number alone."""
        self.rest.stop()
        gc.disable()
        self.count += 1
        self.asked[self.count] = asked
        self.pool.submit(self._run, self.count, work)

    def _run(self, number: int, work: Callable[[], Any]) -> None:
        answer: Any = None
        try:
            answer = partial(_result, work())
        except OSError as error:
            answer = partial(_failure, error)
        finally:  # whatever happened, nobody waits for ever
            self.answers.put((number, answer))
            self.arrived.emit()

    def _deliver(self) -> None:
        number, answer = self.answers.get()
        asked = self.asked.pop(number)
        if not self.asked:
            self.rest.start()
        if answer is not None and shiboken6.isValid(asked.owner):
            answer(asked)


def _result(result: Any, asked: _Asked) -> None:
    asked.then(result)


def _failure(error: OSError, asked: _Asked) -> None:
    if asked.otherwise is not None:
        asked.otherwise(error)


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
    _bridge().ask(_Asked(owner, then, otherwise), work)
