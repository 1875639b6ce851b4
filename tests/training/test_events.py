"""Events reach pipe and file whole, and prints of libraries never do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.protocol import Finished, Phase, Step, Warn, parse_event
from engine.training.events import Events, FileSink, ListSink

CHATTY = """
import os, subprocess, sys
from engine.protocol import Warn
from engine.training.events import Events, PipeSink, take_stdout
events = Events(PipeSink(take_stdout()))
print("printed")
os.write(1, b"written by C\\n")
subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
events.emit(Warn(message="the only line"))
print("printed after", end="")
"""


def test_only_events_reach_stdout() -> None:
    done = subprocess.run([sys.executable, "-c", CHATTY], capture_output=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    event = parse_event(lines[0])
    assert isinstance(event, Warn)
    assert event.message == "the only line"
    for words in (b"printed", b"written by C", b"printed by a child", b"printed after"):
        assert words in done.stderr


def test_every_event_is_stamped_and_kept(tmp_path: Path) -> None:
    kept = ListSink()
    events = Events(kept, FileSink(tmp_path / "events.jsonl"), clock=lambda: 12.5)
    events.emit(Step(step=1, epoch=1, loss=0.5))
    events.emit(Finished(reason="done", step=1))
    events.close()
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert [parse_event(line) for line in lines] == kept.events
    assert {event.time for event in kept.events} == {12.5}


def test_a_half_line_of_a_crash_costs_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event":"step","step":1,"epoch":1,"loss":0.5}\n{"event":"st')
    sink = FileSink(path)
    sink.write(Warn(message="after the crash"))
    sink.write(Warn(message="and on"))
    sink.close()
    found = [parse_event(line) for line in path.read_bytes().splitlines()]
    assert [type(event).__name__ for event in found] == ["Step", "NoneType", "Warn", "Warn"]


def test_progress_within_a_phase_is_thinned_but_its_ends_are_told() -> None:
    kept = ListSink()
    events = Events(kept)
    for done in range(1001):
        events.phase("caching_latents", "Caching latents", done, 1000)
    told = [event.done for event in kept.events if isinstance(event, Phase)]
    assert told[0] == 0
    assert told[-1] == 1000
    assert len(told) < 100
