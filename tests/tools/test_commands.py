"""What the tools' commands say to a program: files in the way, and being cancelled."""

from __future__ import annotations

import argparse
import io
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from engine.commands.tools import _run, main_convert, main_extract, main_merge
from engine.schema.whole_file import whole_file
from tests.tiny_sets import MAKERS
from tests.tools.adapters import make_adapter


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return MAKERS["sd1"](tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    return make_adapter(tmp_path / "cat.safetensors", "sd1", base)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_file_in_the_way_is_named_so_that_a_program_can_ask(
    adapter: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"mine")
    arguments = [str(adapter), "--model", str(base), "--out", str(there), "--json"]
    assert main_convert([*arguments, "--to", "diffusers"]) == 1
    said = last_line(capsys)
    assert said["exists"] == str(there)
    assert "is there already" in str(said["message"])
    assert there.read_bytes() == b"mine"


def test_of_several_ranks_none_is_written_while_one_is_in_the_way(
    adapter: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = tmp_path / "out-0003.safetensors"
    last.write_bytes(b"mine")
    arguments = [str(adapter), "--model", str(base), "--unit", "1", "--json"]
    arguments += ["--out", str(tmp_path / "out.safetensors")]
    assert main_extract(arguments) == 1
    assert last_line(capsys)["exists"] == str(last)
    assert not (tmp_path / "out-0001.safetensors").exists()
    assert main_extract([*arguments, "--overwrite"]) == 0
    assert last.read_bytes() != b"mine"


def test_a_folder_is_never_written_over(
    adapter: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "merged"
    out.mkdir()
    arguments = ["--base", str(base), "--lora", str(adapter), "--out", str(out), "--json"]
    assert main_merge([*arguments, "--overwrite"]) == 1
    said = last_line(capsys)
    assert "exists" not in said
    assert "another name" in str(said["message"])
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN])
def test_a_cancel_on_stdin_leaves_nothing_half_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    interrupts: Any,
) -> None:
    """Also where interrupts are ignored, as in the background of a shell."""
    before = signal.signal(signal.SIGINT, interrupts)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.setattr("sys.stdin", io.StringIO('noise\n{"command": "cancel"}\n'))
    target = tmp_path / "big.bin"

    def work(_voice: object) -> None:
        with whole_file(target) as part:
            part.write_bytes(b"half")
            end = time.monotonic() + 20
            while time.monotonic() < end:
                time.sleep(0.001)

    assert _run(work, argparse.Namespace(json=True, out=target)) == 130
    assert last_line(capsys) == {"cancelled": True}
    assert list(tmp_path.iterdir()) == []
