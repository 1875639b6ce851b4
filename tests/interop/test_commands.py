"""`import` and `export` as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.commands.export import main as export
from engine.commands.import_settings import main as import_
from engine.schema.check import check
from engine.schema.job_file import read_toml
from tests.interop.test_kohya_ss import PRESET


def test_import_writes_a_job_and_tells_what_became_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "preset.json").write_text(json.dumps(PRESET))
    out = tmp_path / "job.toml"
    assert import_([str(tmp_path / "preset.json"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Settings of kohya_ss" in said
    assert "LoRA_type = Kohya LoCon → network.kind = lora" in said
    assert check(read_toml(out)).job.network.rank == 32
    assert import_([str(tmp_path / "preset.json"), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err


def test_import_takes_a_command_and_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert import_(["sdxl_train_network.py --network_dim=4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["peer"] == "sd-scripts"
    assert "rank = 4" in told["job"]
    assert {"path": "model.path", "severity": "error"}.items() <= told["problems"][0].items()


def test_import_of_nobodys_settings_fails_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert import_(["/nowhere/preset.json"]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_export_writes_files_and_import_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        '[model]\narchitecture = "sdxl"\npath = "m.safetensors"\n[training]\nema = 0.9\n'
    )
    out = tmp_path / "out"
    assert export([str(job), "--to", "sd-scripts", "--out", str(out)]) == 0
    assert "training.ema: sd-scripts averages nothing" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {"train.sh", "train.bat", "dataset.toml"}
    assert import_([str(out / "train.sh"), "--out", str(tmp_path / "back.toml")]) == 0
    assert check(read_toml(tmp_path / "back.toml")).job.model.architecture == "sdxl"
