"""main.py as a person runs it: a real process, from another folder, with no package at hand."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import main as program
from engine.setup import start
from engine.setup.pins import read_pins
from engine.setup.stamp import Stamp, write_stamp
from engine.setup.start import CODE
from engine.setup.venv import base_python
from tests.setup.conftest import Project

# Runs main.py with every way to start a process or open a connection closed, and tells what it
# would have become.
WATCHED = """
import json, os, sys
root, arguments = sys.argv[1], sys.argv[2:]
def watch(event, values):
    if event == "os.exec":
        print(json.dumps([os.fsdecode(values[0]), [os.fsdecode(v) for v in values[1]]]), flush=True)
        os._exit(0)
    if event.startswith(("subprocess", "socket", "os.posix_spawn", "os.fork", "urllib")):
        print(json.dumps(event), flush=True)
        os._exit(9)
sys.path.insert(0, root)
import main
sys.addaudithook(watch)
sys.exit(main.main(arguments))
"""


def graft(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [base_python(), "-I", str(CODE / "main.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def test_a_reader_that_has_enough_is_no_mistake(tmp_path: Path) -> None:
    """As in `main.py --help | head -1`: the pipe is closed before all is written."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [base_python(), "-I", str(CODE / "main.py"), "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_help_names_every_command_and_needs_nothing(tmp_path: Path) -> None:
    done = graft("--help", cwd=tmp_path)
    assert done.returncode == 0
    for name in program.COMMANDS:
        assert name in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_version_is_the_one_of_pyproject(tmp_path: Path) -> None:
    assert graft("--version", cwd=tmp_path).stdout == f"Graft {read_pins(CODE).version}\n"


def test_unknown_command_is_wrong_use_with_a_guess(tmp_path: Path) -> None:
    done = graft("trian", "job.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'train'?" in done.stderr


def test_readable_by_old_pythons_and_told_to_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """LE#353: needing one exact Python, and a message that does not say which."""
    ast.parse((CODE / "main.py").read_text("utf-8"), feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    monkeypatch.setattr(program.shutil, "which", lambda _: None)
    assert program.main(["train", "job.toml"]) == 1
    told = capsys.readouterr().err
    assert "Python 3.11 or newer (3.11 to 3.14 are tested), and this is 3.9" in told
    assert "python.org" in told
    assert "uv run --no-project --python 3.13 main.py" in told


@pytest.mark.parametrize("version", [(3, 9), (3, 19)])
def test_python_without_wheels_hands_over_to_one_that_has_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: tuple[int, int]
) -> None:
    calls: list[list[str]] = []

    def call(command: list[str], **_: object) -> int:
        calls.append(command)
        return 0 if command[0].endswith("12") else 1

    monkeypatch.setattr(program, "ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (*version, 1, "final", 0))
    monkeypatch.setattr(program.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(program.subprocess, "call", call)
    assert program.main(["train", "job.toml"]) == 0
    assert calls[-1] == ["python3.12", str(tmp_path / "main.py"), "train", "job.toml"]


def test_second_start_opens_no_connection_and_no_process_before_it_becomes_venvs_python(
    project: Project,
) -> None:
    project.install("engine")
    shutil.copy(CODE / "main.py", project.root)
    shutil.copytree(CODE / "engine" / "setup", project.root / "engine" / "setup")
    done = subprocess.run(
        [base_python(), "-I", "-c", WATCHED, str(project.root), "train", "a job.toml"],
        capture_output=True,
        text=True,
        cwd=project.root.parent,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    became, arguments = json.loads(done.stdout)
    assert became == str(project.root / ".venv" / "bin" / "python")
    assert arguments[1:] == [str(project.root / "main.py"), "train", "a job.toml"]


def test_failed_set_up_is_one_line_and_exit_code_1(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.root / ".setup").write_text("a file where a folder should be")
    assert start.bring("window", project.root) is False
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith("graft: Nothing can be written into")
    assert "home folder" in told[0]


@pytest.mark.parametrize(
    ("env", "system", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"QT_QPA_PLATFORM": "offscreen"}, "linux", True),
        ({}, "win32", True),
        ({}, "darwin", True),
    ],
)
def test_display(env: Mapping[str, str], system: str, expected: bool) -> None:
    assert start.has_display(env, system) is expected


def test_window_without_a_display_says_what_works_without_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "has_display", lambda: False)
    assert start.can_show_windows() is False
    assert "demo --headless" in capsys.readouterr().err


def test_children_speak_utf8_and_see_only_venvs_packages() -> None:
    env = start.child_environment({"PYTHONPATH": "/x", "PYTHONHOME": "/y", "HOME": "/h"})
    assert env == {"HOME": "/h", "PYTHONUTF8": "1"}


def test_stamp_of_an_unfinished_installation_is_not_ready(project: Project) -> None:
    project.install("window")
    assert start.ready("window", project.root)
    pins = read_pins(project.root)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    write_stamp(project.root, "window", Stamp(pins.digest("window"), version, complete=False))
    assert not start.ready("window", project.root)
