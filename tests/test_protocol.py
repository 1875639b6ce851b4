"""Events and commands: whole round trips, and lines that are none of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import protocol as p

EVENTS = [
    p.Hello(run_directory="/r ü", name="cat", architecture="sd1", device="CPU"),
    p.Phase(name="caching_latents", done=3, total=9),
    p.Step(step=1, epoch=1, loss=0.5, learning_rates={"unet": 1e-4}),
    p.Step(step=2, epoch=1, loss=None),
    p.Validation(step=5, loss=0.1, by_timestep={"500": 0.2}),
    p.Sample(step=5, epoch=1, path="samples/a.png", prompt_index=0, prompt="漢 \n x", seed=2**62),
    p.Checkpoint(step=5, path="checkpoints/a.safetensors", removed=["b"]),
    p.Warn(message="w"),
    p.Failure(kind="nan", message="m", fix=[("optimizer.learning_rate", 3e-4)]),
    p.Finished(reason="done", step=9),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: f"{e.event}")
def test_an_event_comes_back_from_its_line(event):
    line = p.encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert p.parse_event(line) == event


@pytest.mark.parametrize("name", ["stop", "abort", "pause", "resume", "save", "sample"])
def test_a_command_comes_back_from_its_line(name):
    assert p.parse_command(p.encode(p.Command(command=name))) == p.Command(command=name)


def test_a_field_of_a_newer_engine_is_ignored():
    event = p.parse_event(b'{"event": "warning", "message": "m", "color": "red"}')
    assert event == p.Warn(message="m")


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"hello", b"{", b"{}", b'{"event": "party"}', b'{"event": "step"}',
        b'{"event": "step", "step": "x", "epoch": 1, "loss": 1}', b"\x00\x00", b"\xff\xfe{",
        b'["event"]', b'{"event": "warning", "message": "' + b"x" * p.MAX_LINE_BYTES + b'"}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_event_is_none(line):
    assert p.parse_event(line) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(data):
    assert p.parse_event(data) is None
    assert p.parse_command(data) is None


def test_a_loss_that_is_not_finite_never_reaches_a_line():
    line = p.encode(p.Step(step=1, epoch=1, loss=math.nan, grad_norm=math.inf))
    assert b"NaN" not in line
    assert b"Infinity" not in line
    assert p.parse_event(line) == p.Step(step=1, epoch=1, loss=None, grad_norm=None)
