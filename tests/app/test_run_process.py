"""The pipe between window and engine (spec: gui 7, checks 15, 16, 18, 19)."""

from __future__ import annotations

import contextlib
import itertools
import os

import psutil
from PySide6.QtCore import QTimer

from app.lines import LineSplitter, log_text
from app.process import BATCH, EngineCommand, EngineProcess
from app.runs import RunController
from engine.protocol import Step, encode
from tests.app.run_support import controller, directory_of, run_to_end, started, wait_step


def test_lines_cut_at_any_place_come_out_whole():
    text = "".join(f'{{"event": "größe 猫 {i}"}}\n' for i in range(500)).encode()
    for width in (1, 3, 7, 4096):
        splitter = LineSplitter()
        for at in range(0, len(text), width):
            splitter.feed(text[at : at + width])
        lines = [splitter.take() for _ in range(len(splitter))]
        assert lines == text.split(b"\n")[:-1]
        assert splitter.take() is None


def test_a_line_without_end_keeps_only_its_head():
    splitter = LineSplitter()
    for _ in range(500):
        splitter.feed(b"y" * 10_000)
    splitter.feed(b"\nnext\n")
    head, after = splitter.take(), splitter.take()
    assert head is not None
    assert len(head) < 5000
    assert head.endswith("… (5,000,000 bytes)".encode())
    assert after == b"next"


def test_log_text_shows_what_a_terminal_would():
    assert log_text(b"10%\r50%\r100%\n") == "100%"
    assert log_text(b"\x1b[31mred\x1b[0m\x00") == "red␀"
    assert log_text(b"caf\xe9") == "caf�"


def test_check_15_garbage_loses_no_event_and_the_log_shows_the_rest(qtbot, tmp_path):
    model = run_to_end(qtbot, controller(tmp_path, "garbage"))
    state = model.state
    assert state.columns["step"].values.tolist() == list(range(1, 2002))
    assert state.samples[0].prompt == "größe 猫 🐈"
    assert state.status == "done"  # its line had no newline
    texts = [line.text for line in model.log]
    assert "a library prints" in texts
    assert "␀␀ NUL line" in texts
    assert '{"event": "ste' in texts
    assert '{"event":"unknown"}' in texts
    assert "100%|####| 10/10" in texts
    assert any(text.endswith("(5,000,000 bytes)") for text in texts)


def test_check_16_a_flood_of_events_arrives_whole_in_little_memory(qtbot, tmp_path):
    """Five thousand a second; what a turn of the loop takes meanwhile: `main.py bench pipe`."""
    runs = controller(tmp_path, 'flood:{"seconds":1,"rate":5000}')
    before = psutil.Process().memory_info().rss
    model = run_to_end(qtbot, runs)
    assert model.state.finished is not None
    assert len(model.state) == model.state.finished.step > 0
    assert psutil.Process().memory_info().rss - before < 50e6


def test_check_16_the_loop_turns_between_two_bites_of_a_flood(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("app.process.TURN_SECONDS", 1e-4)
    engine = EngineProcess(EngineCommand("none", (), str(tmp_path)))
    sizes: list[int] = []
    engine.events_received.connect(lambda events: sizes.append(len(events)))
    line = encode(Step(step=1, epoch=1, loss=0.5))
    engine._out.feed(line * (10 * BATCH))
    turns: list[int] = []  # bites taken when the loop came round

    def tick() -> None:
        turns.append(len(sizes))

    other = QTimer(interval=0)
    other.timeout.connect(tick)
    other.start()
    engine._drain()
    qtbot.waitUntil(lambda: sum(sizes) == 10 * BATCH, timeout=5000)
    other.stop()
    assert sizes == [BATCH] * 10
    assert max(after - before for before, after in itertools.pairwise([0, *turns])) <= 2


def test_check_18_a_killed_engine_leaves_words_curve_and_resume(qtbot, tmp_path):
    runs = controller(tmp_path, "dies")
    model = run_to_end(qtbot, runs)
    assert model.state.status == "interrupted"
    assert len(model.state) == 12
    assert model.end is not None
    assert model.end.signal == 9
    assert "killed by the system" in model.state.died
    assert model.last_words().endswith("last words before the end")
    assert model.state.resume_step == 8
    assert runs.shown is model

    with qtbot.waitSignal(runs.run_ended, timeout=20_000):
        runs.resume(directory_of(model))
    assert runs.shown is model
    assert model.state.status == "done"
    assert model.state.columns["step"].values.tolist() == list(range(1, 21))
    assert model.state.cuts == 1


def test_check_19_stop_saves_and_leaves_nothing_behind(qtbot, tmp_path):
    runs = controller(tmp_path, 'train:{"steps":100000,"pause":0.001}')
    model = started(runs)
    wait_step(qtbot, model, 3)
    pid = model.engine_pid
    with qtbot.waitSignal(runs.run_ended, timeout=5000):
        runs.send("stop")
    assert model.state.status == "stopped"
    assert model.state.resume_step == model.state.step
    assert not group_lives(pid)
    assert not runs.is_busy


def test_check_19_an_engine_that_obeys_nothing_is_ended_with_its_children(
    qtbot, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.process.ABORT_SECONDS", 0)
    runs = controller(tmp_path, "stubborn")
    model = started(runs)
    qtbot.waitUntil(lambda: any("child" in line.text for line in model.log), timeout=20_000)
    pid = model.engine_pid
    assert group_lives(pid)
    with qtbot.waitSignal(runs.run_ended, timeout=5000):
        runs.send("abort")
    qtbot.waitUntil(lambda: not group_lives(pid), timeout=2000)
    assert model.state.status == "interrupted"
    assert "as asked" in model.state.died


def test_a_stop_counts_down(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("app.process.STOP_SECONDS", 1)
    runs = controller(tmp_path, "stubborn")
    model = started(runs)
    qtbot.waitUntil(lambda: model.state.hello is not None, timeout=20_000)
    with qtbot.waitSignal(model.countdown, check_params_cb=lambda left: left == 0, timeout=5000):
        runs.send("stop")
    assert model.stop_left == 0
    assert model.state.stopping
    with qtbot.waitSignal(runs.run_ended, timeout=5000):
        runs.kill()


def test_an_engine_with_a_closed_stdout_still_obeys(qtbot, tmp_path):
    runs = controller(tmp_path, "closes")
    model = started(runs)
    wait_step(qtbot, model, 1)
    with qtbot.waitSignal(runs.run_ended, timeout=5000):
        runs.send("stop")
    with qtbot.waitSignal(model.reloaded):
        model.open(directory_of(model))
    assert model.state.status == "stopped"


def test_pause_and_save_are_obeyed(qtbot, tmp_path):
    runs = controller(tmp_path, 'train:{"steps":100000,"pause":0.001}')
    model = started(runs)
    wait_step(qtbot, model, 2)
    runs.send("pause")
    qtbot.waitUntil(lambda: model.state.status == "paused", timeout=5000)
    runs.send("resume")
    qtbot.waitUntil(lambda: model.state.status == "running", timeout=5000)
    runs.send("save")
    qtbot.waitUntil(lambda: len(model.state.files()) == 1, timeout=5000)
    with qtbot.waitSignal(runs.run_ended, timeout=5000):
        runs.send("stop")


def test_a_missing_program_is_told_in_words(qtbot, tmp_path):
    runs = RunController(tmp_path, EngineCommand("/no/such/python", (), str(tmp_path)))
    model = run_to_end(qtbot, runs)
    assert model.state.status == "failed"
    assert "could not be started" in model.state.died


def group_lives(group: int) -> bool:
    """Whether a process of the group runs; one that only waits to be reaped does not."""
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(OSError, psutil.Error):
            alive = process.info["status"] != psutil.STATUS_ZOMBIE
            if alive and os.getpgid(process.info["pid"]) == group:
                return True
    return False
