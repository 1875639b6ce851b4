"""Results come back in the window's thread, and never to somebody who is gone."""

from __future__ import annotations

import gc
import threading

import shiboken6
from PySide6.QtCore import QObject, QThread
from PySide6.QtTest import QTest

from app.worker import in_worker


def test_a_result_comes_back_in_the_windows_thread(qtbot):
    owner, seen = QObject(), []
    in_worker(
        owner, lambda: QThread.currentThread(), lambda t: seen.append((t, QThread.currentThread()))
    )
    qtbot.waitUntil(lambda: bool(seen))
    worked_in, told_in = seen[0]
    assert told_in is owner.thread()
    assert worked_in is not told_in


def test_a_failure_is_told(qtbot):
    owner, seen = QObject(), []

    def work():
        raise OSError(2, "gone")

    in_worker(owner, work, lambda _: seen.append("result"), lambda e: seen.append(e.strerror))
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == ["gone"]


def test_nobody_is_told_who_is_gone(qtbot):
    seen, may_end = [], threading.Event()
    owners = [QObject() for _ in range(20)]
    for owner in owners:
        in_worker(owner, lambda: may_end.wait(5), seen.append)
    for owner in owners:
        shiboken6.delete(owner)
    owners.clear()
    gc.collect()
    may_end.set()
    last = QObject()
    in_worker(last, lambda: "last", seen.append)
    qtbot.waitUntil(lambda: "last" in seen)
    QTest.qWait(20)
    assert seen == ["last"]


def test_no_cycle_is_collected_in_a_thread(qtbot):
    """A widget in a cycle, found unused by a thread's allocation, would be destroyed there."""
    owner, seen, may_end = QObject(), [], threading.Event()

    def work():
        may_end.wait(5)
        return gc.isenabled()

    in_worker(owner, work, seen.append)
    assert not gc.isenabled()
    may_end.set()
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == [False]
    qtbot.waitUntil(gc.isenabled)


def test_work_that_breaks_leaves_nothing_waiting(qtbot):
    owner = QObject()
    in_worker(owner, lambda: 1 // 0, lambda _: None)
    qtbot.waitUntil(gc.isenabled)
