"""Commands, signals and a window that is gone."""

from __future__ import annotations

import io
import os
import signal

import pytest

from engine.protocol import Command, encode
from engine.training.control import Control
from engine.training.failures import StopRun


def read(control: Control, data: bytes) -> None:
    control.read_commands(io.BytesIO(data)).join(5)


def test_commands_are_obeyed_and_the_end_of_stdin_means_stop() -> None:
    control = Control()
    lines = [encode(Command(command=name)) for name in ("pause", "save", "sample")]
    read(control, b"".join(lines))
    assert control.paused
    assert control.take_save()
    assert not control.take_save()
    assert control.take_sample()
    assert control.stop
    assert not control.abort
    with pytest.raises(StopRun):
        control.check()


def test_garbage_on_stdin_is_passed_over() -> None:
    control = Control()
    read(control, b'\x00\xff\n\n{"command":"explode"}\n' + encode(Command(command="abort")))
    assert control.abort


def test_a_signal_stops_and_a_second_interrupt_aborts() -> None:
    control = Control()
    before = signal.getsignal(signal.SIGINT)
    undo = control.catch_signals()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert control.stop
        assert not control.abort
        os.kill(os.getpid(), signal.SIGINT)
        assert control.abort
    finally:
        undo()
    assert signal.getsignal(signal.SIGINT) is before


def test_waiting_ends_at_once_when_something_is_asked_for() -> None:
    control = Control()
    control.obey("save")
    control.wait(60)
    assert control.take_save()
