"""Work off the window's thread: run a function in the pool, get its result back in the window's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal

Result = TypeVar("Result")


class _Answer(QObject):
    ready = Signal(object)
    failed = Signal(object)


class _Work(QRunnable):
    def __init__(self, work: Callable[[], object], answer: _Answer) -> None:
        super().__init__()
        self._work, self._answer = work, answer

    def run(self) -> None:
        try:
            result = self._work()
        except OSError as error:
            self._send(self._answer.failed, error)
        else:
            self._send(self._answer.ready, result)

    def _send(self, signal: object, value: object) -> None:
        try:
            signal.emit(value)  # pyright: ignore[reportAttributeAccessIssue]
        except RuntimeError:  # the window closed meanwhile
            return


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
    answer = _Answer(owner)
    answer.ready.connect(then)
    answer.ready.connect(answer.deleteLater)
    if otherwise is not None:
        answer.failed.connect(otherwise)
    answer.failed.connect(answer.deleteLater)
    (pool or QThreadPool.globalInstance()).start(_Work(work, answer))
