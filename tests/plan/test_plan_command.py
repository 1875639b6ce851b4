"""`plan JOB.toml`, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.commands.plan import main
from engine.schema.check import check
from engine.schema.job_file import save_job
from tests.tiny import make_pictures, make_sd1


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    make_pictures(tmp_path / "10_cat", 5, ((96, 96), (128, 64)))
    data = {
        "model": {"path": str(make_sd1(tmp_path / "model"))},
        "dataset": {
            "folders": [{"path": str(tmp_path / "10_cat"), "repeats": 2.0}],
            "resolution": ["64"],
            "bucket_step": 16,
        },
        "network": {"rank": 4},
        "training": {"epochs": 3, "batch_size": 2},
    }
    save_job(tmp_path / "job.toml", data)
    return tmp_path / "job.toml"


def test_readable_table(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(job_file)]) == 0
    out = capsys.readouterr().out
    assert "204 of 289 layers trained" in out
    assert "5 pictures trained on" in out
    assert "10 samples in 5 batches, 5 steps an epoch" in out
    assert "3 epochs, 15 steps in all" in out
    assert "64×64" in out


def test_json_and_set(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(job_file), "--set", "training.epochs=4", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["pictures"]["total_steps"] == 20
    assert plan["modules"] == 204
    assert [p["severity"] for p in plan["problems"]] == ["warning"]  # no prompts yet


def test_blocks_are_listed_where_they_differ(
    job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(job_file), "--set", "up_lr_weight=linear"]) == 0
    out = capsys.readouterr().out
    assert "OUT11" in out
    assert "×1" in out


def test_exit_codes_and_words(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 done, 1 the job cannot run, 2 wrong use; the words are those of the check."""
    assert main([str(job_file), "--set", "network.rnk=8"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    assert main([str(job_file), "--set", "network.block_dims=[4, 4]"]) == 1
    said = capsys.readouterr().err
    broken = {"network": {"block_dims": [4, 4]}}
    words = next(p.message for p in check(broken).errors if p.path == "network.block_dims")
    assert words in said
    assert "25" in words
    assert main([str(job_file), "--set", "dataset.folders[0].path=/absent"]) == 1
    assert "dataset.folders[0].path: /absent: there is no such folder" in capsys.readouterr().err
    assert main([str(job_file.with_name("none.toml"))]) == 1
    with pytest.raises(SystemExit) as leave:
        main([])
    assert leave.value.code == 2


def test_it_needs_no_torch(job_file: Path) -> None:
    code = (
        "import sys; from engine.commands.plan import main; "
        f"assert main([{str(job_file)!r}]) == 0; "
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
