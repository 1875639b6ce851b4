"""Queue, runs and their true states (spec: gui 7, checks 20 and 22)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from app import run_index
from app.run_folder import RunFacts, is_alive, read_facts
from app.run_queue import RunQueue, set_text
from app.runs import RunController
from app.widgets.runs_list import QueueModel, when_words
from engine.protocol import Hello, Step, encode
from engine.schema.job_file import read_toml
from tests.app.run_support import FAKE, JOB, controller, directory_of, fake, started, wait_step


def named(name: str) -> dict:
    return {"model": {"architecture": "sd1"}, "output": {"name": name}}


def test_check_22_a_queued_job_is_a_frozen_copy(tmp_path):
    queue = RunQueue(tmp_path)
    data = named("cat")
    item = queue.add(data)
    before = Path(item.job_file).read_bytes()
    data["output"]["name"] = "edited meanwhile"
    queue.add(named("dog"), first=True)
    assert Path(item.job_file).read_bytes() == before
    assert read_toml(Path(item.job_file))["output"]["name"] == "cat"
    assert [i.name for i in RunQueue(tmp_path).items] == ["dog", "cat"]
    queue.remove(item.identity)
    assert not Path(item.job_file).exists()


def test_check_22_order_by_drag_is_kept_over_a_restart(qtbot, tmp_path):
    runs = controller(tmp_path)
    runs.waiting = True
    for name in ("a", "b", "c"):
        runs.enqueue(named(name))
    model = QueueModel()
    model.moved.connect(runs.move)
    model.set_rows(runs.queue)
    from PySide6.QtCore import QModelIndex, Qt

    data = model.mimeData([model.index(2)])
    model.dropMimeData(data, Qt.DropAction.MoveAction, 0, 0, QModelIndex())
    assert [item.name for item in runs.queue] == ["c", "a", "b"]
    again = controller(tmp_path)
    assert [item.name for item in again.queue] == ["c", "a", "b"]
    assert again.waiting  # a restored queue starts only when asked
    assert not again.is_busy


def test_check_22_one_after_the_other_and_a_failure_stops_nothing(qtbot, tmp_path):
    runs = controller(tmp_path)
    ended: list[tuple[str, str]] = []
    runs.run_ended.connect(lambda model: ended.append((model.name, model.state.status)))
    runs._engine = fake('train:{"steps":200,"pause":0.01}')
    first = started(runs, named("one"))
    runs.start(named("two"))
    runs.enqueue(named("three"))
    assert [item.name for item in runs.queue] == ["two", "three"]
    wait_step(qtbot, first, 1)
    runs._engine = fake("fails")
    runs.run_started.connect(lambda _: setattr(runs, "_engine", fake("train")))
    with qtbot.waitSignal(runs.run_ended, timeout=10_000):
        runs.send("stop")
    qtbot.waitUntil(lambda: len(ended) == 3, timeout=20_000)
    assert [status for _, status in ended] == ["stopped", "failed", "done"]
    assert not runs.queue
    assert not list((tmp_path / "queue").glob("*.toml"))
    qtbot.waitUntil(lambda: len(runs.runs) == 3, timeout=5000)
    assert {run.status for run in runs.runs} == {"stopped", "failed", "done"}


def test_a_failure_holds_the_queue_if_so_chosen(qtbot, tmp_path):
    runs = controller(tmp_path, "fails")
    runs.pause_after_failure = True
    started(runs, named("one"))
    runs.enqueue(named("two"))
    qtbot.waitSignal(runs.run_ended, timeout=20_000).wait()
    assert not runs.is_busy
    assert [item.name for item in runs.queue] == ["two"]
    runs.remove(runs.queue[0].identity)


def test_check_20_a_killed_window_leaves_a_saved_run_that_is_offered(qtbot, tmp_path):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(FAKE.parent.parent)!r})
from PySide6.QtCore import QCoreApplication
app = QCoreApplication([])
from tests.app.run_support import JOB, controller
from pathlib import Path
runs = controller(Path({str(tmp_path)!r}), 'train:{{"steps":100000,"pause":0.002}}')
runs.start(JOB)
def look():
    if runs.running.state.step > 3:
        os.kill(os.getpid(), signal.SIGKILL)
runs.running.updated.connect(look)
app.exec()
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -9
    runs = controller(tmp_path)

    found: list[RunFacts] = []
    runs.interrupted_found.connect(found.extend)

    def is_offered() -> bool:
        found.clear()
        with qtbot.waitSignal(runs.interrupted_found, timeout=10_000):
            runs.find_interrupted()
        return found[0].status == "stopped"

    qtbot.waitUntil(is_offered, timeout=10_000)
    run = found[0]
    assert run.resume_step == run.step > 3
    assert Path(run.directory, "checkpoints").glob("*.safetensors")
    runs.forget_interrupted()
    again = controller(tmp_path)
    with qtbot.assertNotEmitted(again.interrupted_found, wait=100):
        again.find_interrupted()
    with qtbot.waitSignal(runs.run_started):
        runs.resume(Path(run.directory))
    assert runs.running is not None
    with qtbot.waitSignal(runs.run_ended, timeout=20_000):
        runs.send("stop")


def test_any_run_folder_opens_whole_and_a_running_one_is_followed(qtbot, tmp_path):
    folder = tmp_path / "runs" / "cat"
    folder.mkdir(parents=True)
    hello = Hello(
        run_directory=str(folder), name="cat", architecture="sd1", device="CPU", pid=os.getpid(),
        time=time.time(), total_steps=10,
    )  # fmt: skip
    step = Step(step=1, epoch=1, loss=0.5)
    events = folder / "events.jsonl"
    events.write_bytes(encode(hello) + encode(step) + encode(step)[:9])
    (folder / "log.txt").write_text("12:00:01 hello\nWARNING lib: slow\n")
    runs = controller(tmp_path)
    model = runs.open_run(folder)
    qtbot.waitSignal(model.reloaded, timeout=5000).wait()
    assert runs.shown is model
    assert model.state.status == "running"
    assert not model.is_live
    assert [line.text for line in model.log] == ["hello", "slow"]
    events.write_bytes(encode(hello) + encode(step) + encode(Step(step=2, epoch=1, loss=0.4)))
    qtbot.waitUntil(lambda: model.state.step == 2, timeout=5000)
    assert len(model.state) == 2


def test_a_process_number_used_again_is_not_the_engine():
    assert is_alive(os.getpid(), time.time())
    assert not is_alive(os.getpid(), 1_000_000.0)  # said before this process began
    assert not is_alive(0, time.time())
    assert not is_alive(2**22 + 12345, time.time())


def test_the_index_is_a_copy_that_reads_only_what_changed(tmp_path, monkeypatch):
    runs = {}
    for number in range(100):
        folder = tmp_path / "runs" / f"run-{number}"
        folder.mkdir(parents=True)
        hello = Hello(run_directory=str(folder), name=folder.name, architecture="sd1", device="CPU")
        (folder / "events.jsonl").write_bytes(encode(hello))
        runs[str(folder)] = read_facts(folder)
    file = tmp_path / "runs.json"
    run_index.save(file, runs.values())
    read = []

    def seen(folder):
        read.append(folder.name)
        return read_facts(folder)

    monkeypatch.setattr(run_index, "read_facts", seen)
    assert len(run_index.refresh(run_index.load(file))) == 100
    assert read == []
    changed = tmp_path / "runs" / "run-3" / "events.jsonl"
    changed.write_bytes(changed.read_bytes() + encode(Step(step=1, epoch=1, loss=0.5)))
    run_index.refresh(run_index.load(file))
    assert read == ["run-3"]
    file.write_text("broken", encoding="utf-8")
    assert run_index.load(file) == {}
    one = tmp_path / "runs" / "run-7"
    (one / "events.jsonl").unlink()
    again = run_index.refresh({}, [tmp_path / "runs"])
    assert len(again) == 99
    assert all(run.status == "interrupted" for run in again)


def test_events_of_a_long_run_are_read_whole(tmp_path):
    hello = Hello(run_directory=str(tmp_path), name="long", architecture="sd1", device="CPU")
    lines = [encode(Step(step=n, epoch=1, loss=0.5)) for n in range(1, 20_001)]
    (tmp_path / "events.jsonl").write_bytes(encode(hello) + b"".join(lines))
    assert read_facts(tmp_path).step == 20_000


def test_resume_changes_are_set_texts():
    assert set_text("training.batch_size", 1) == "training.batch_size=1"
    assert set_text("training.gradient_checkpointing", True).endswith("=true")
    assert set_text("training.steps", None) == 'training.steps="off"'
    assert set_text("output.name", 'a "b"') == 'output.name="a \\"b\\""'


def test_a_job_runs_again_with_a_change(qtbot, tmp_path):
    runs = controller(tmp_path)
    first = started(runs, JOB)
    qtbot.waitSignal(runs.run_ended, timeout=20_000).wait()
    with qtbot.waitSignal(runs.run_ended, timeout=20_000) as signal:
        runs.start_again(directory_of(first), [("output.name", "other")])
    assert read_toml(directory_of(signal.args[0]) / "job.toml")["output"]["name"] == "other"


def test_times_are_told_in_words():
    now = time.mktime((2026, 11, 24, 15, 0, 0, 0, 0, -1))
    assert when_words(now - 3600, now) == "today 14:00"
    assert when_words(now - 86400 * 400, now) == "20 Oct 2025"
    assert when_words(0) == ""


def test_a_full_disk_is_told_and_nothing_starts(qtbot, tmp_path, monkeypatch):
    runs = RunController(tmp_path, fake("train"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.run_queue.save_job", full)
    with qtbot.waitSignal(runs.trouble) as signal:
        runs.start(JOB)
    assert "No space left on device" in signal.args[0]
    assert not runs.is_busy


def test_a_run_names_its_architecture_as_people_do():
    assert RunFacts("/runs/a", "a", "flux").architecture_label == "FLUX.1"
    assert RunFacts("/runs/b", "b", "of tomorrow").architecture_label == "of tomorrow"
