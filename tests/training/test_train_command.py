"""`main.py train` as people and the window use it: a real process, its pipe, its folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.commands.train import main
from engine.networks.file import read
from engine.protocol import Event, Failure, Finished, Hello, Phase, Step, parse_event
from engine.schema.check import check
from engine.schema.job_file import save_job
from engine.training.run import LEFTOVER
from tests.training.conftest import Train, job_of
from tests.training.test_loop import EVERYTHING, final

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def engine(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """The engine as the window starts it."""
    process = subprocess.Popen(
        [sys.executable, "-u", "main.py", "train", *map(str, arguments), "--events"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def follow(
    process: subprocess.Popen[bytes], act: Callable[[Event], None] | None = None
) -> list[Event]:
    """Every event until the engine ends; no line may be anything else."""
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        event = parse_event(line)
        assert event is not None, line
        events.append(event)
        if act is not None:
            act(event)
    process.wait(60)
    return events


def steps_in(events: list[Event]) -> dict[int, Any]:
    return {e.step: (e.loss, e.grad_norm) for e in events if isinstance(e, Step)}


def write(data: dict[str, Any], folder: Path, changes: dict[str, Any] | None = None) -> Path:
    path = folder / "job.toml"
    save_job(path, job_of(data, changes).model_dump())
    return path


def test_a_window_that_goes_away_leaves_a_run_that_resumes_bit_for_bit(
    job_data: dict[str, Any], train_here: Train, tmp_path: Path
) -> None:
    """Acceptance 17, through the real process: the closed stdin stops it, --resume goes on."""
    whole = train_here(job_data, EVERYTHING)
    job = write(job_data, tmp_path, EVERYTHING)
    with engine(job, "--run-directory", tmp_path / "run") as process:

        def close_at_three(event: Event) -> None:
            if isinstance(event, Step) and event.step == 3 and process.stdin is not None:
                process.stdin.close()

        events = follow(process, close_at_three)
        assert process.returncode == 0
    ending = events[-1]
    assert isinstance(ending, Finished)
    assert ending.reason == "stopped"
    assert ending.resumable
    with engine("--resume", tmp_path / "run") as process:
        resumed = follow(process)
        assert process.returncode == 0
    told = steps_in(list(whole.events))
    assert steps_in(resumed) == {s: told[s] for s in told if s > ending.step}
    found = final(tmp_path / "run")
    for name, tensor in final(whole.run.path).items():
        assert torch.equal(tensor, found[name]), name
    kept = [parse_event(line) for line in (tmp_path / "run/events.jsonl").read_bytes().splitlines()]
    assert kept == events + resumed
    metadata = read(tmp_path / "run/checkpoints/cat.safetensors").metadata
    assert metadata["ss_steps"] == str(len(told))
    assert str(tmp_path) not in json.dumps(metadata)  # no place of this machine


@pytest.mark.parametrize(
    ("phase", "count"), [("saving", 3), ("training", 4)], ids=["while_saving", "between"]
)
def test_a_killed_engine_loses_nothing_that_was_saved(
    job_data: dict[str, Any], train_here: Train, tmp_path: Path, phase: str, count: int
) -> None:
    """Acceptance 18."""
    changes = {"output.every_steps": 1, "training.epochs": 2}
    whole = train_here(job_data, changes)
    job = write(job_data, tmp_path, changes)
    seen: list[Event] = []
    with engine(job, "--run-directory", tmp_path / "run") as process:

        def kill(event: Event) -> None:
            if isinstance(event, Phase) and event.name == phase:
                seen.append(event)
                if len(seen) == count:
                    process.send_signal(signal.SIGKILL)

        follow(process, kill)
        assert process.returncode == -signal.SIGKILL
    for path in (tmp_path / "run/checkpoints").glob("cat*.safetensors"):
        assert read(path).factors
    with engine("--resume", tmp_path / "run") as process:
        events = follow(process)
        assert process.returncode == 0
    hello = next(e for e in events if isinstance(e, Hello))
    assert hello.resumed_from > 0
    assert not [p for p in (tmp_path / "run").rglob("*") if LEFTOVER.search(p.name)]
    found = load_file(tmp_path / "run/checkpoints/cat.safetensors")
    for name, tensor in final(whole.run.path).items():
        assert torch.equal(tensor, found[name]), name


def test_a_wrong_job_is_refused_in_the_words_of_the_window(
    job_data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_data["network"]["rank"] = -1
    job_data["optimizer"]["name"] = "AdamX"
    job = tmp_path / "job.toml"
    save_job(job, job_data)
    assert main([str(job)]) == 1
    told = capsys.readouterr().out
    for problem in check(job_data).errors:
        assert problem.message in told
        assert problem.path in told
    assert not (tmp_path / "runs").exists()


def test_a_wrong_set_is_wrong_use(
    job_data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write(job_data, tmp_path)
    assert main([str(job), "--set", "network.rnk=8"]) == 2
    assert "network.rank" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2


def test_a_job_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.toml")]) == 1
    assert "There is no such file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"dataset.folders[0].path": "/nowhere"}, "data", "dataset.folders[0].path"),
        ({"launch.device": "cuda:7"}, "job", "launch.device"),
        ({"optimizer.extra_args": {"speed": 2}}, "job", "optimizer.extra_args.speed"),
    ],
)
def test_what_keeps_a_run_from_starting_names_kind_and_field(
    job_data: dict[str, Any], tmp_path: Path, changes: dict[str, Any], kind: str, field: str
) -> None:
    job = write(job_data, tmp_path, changes)
    assert main([str(job), "--run-directory", str(tmp_path / "run")]) == 1
    lines = (tmp_path / "run/events.jsonl").read_bytes().splitlines()
    events = [parse_event(line) for line in lines]
    failure = next(e for e in events if isinstance(e, Failure))
    assert (failure.kind, failure.field) == (kind, field)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "failed"
    assert "Traceback" in (tmp_path / "run/log.txt").read_text()


@pytest.mark.parametrize("field", ["model.path", "model.vae", "network.start_from"])
def test_a_file_that_is_not_there_is_told_before_the_run_has_a_folder(
    job_data: dict[str, Any], tmp_path: Path, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write(job_data, tmp_path, {field: "/nowhere/a.safetensors"})
    assert main([str(job), "--run-directory", str(tmp_path / "run")]) == 1
    out = capsys.readouterr().out
    assert f"{field}: " in out
    assert "/nowhere/a.safetensors" in out
    assert len(out.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
