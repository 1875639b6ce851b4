"""`main.py plan`: the table, JSON, the same problems as everywhere, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from engine.commands.plan import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job_file(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(3):
        Image.new("RGB", (512, 512), (i, 0, 0)).save(pictures / f"{i}.png")
    path = tmp_path / "job.toml"
    path.write_text(
        f'schema = 1\n[model]\npath = "{ROOT.as_posix()}/nothing-here"\n'
        f'[[dataset.folders]]\npath = "{pictures.as_posix()}"\n[network]\nnetwork_dim = 4\n'
    )
    return path


def test_json_has_the_figures_and_the_problems(job_file, capsys):
    assert main([str(job_file), "--json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert plan["modules"] == 264
    assert plan["parameters"] == 2_359_296
    assert plan["pictures"]["total_steps"] == 30
    assert any(p["path"] == "model.path" for p in plan["problems"])


def test_set_changes_the_plan(job_file, capsys):
    main([str(job_file), "--json", "--set", "conv_dim=4", "--set", "training.epochs=1"])
    plan = json.loads(capsys.readouterr().out)
    assert plan["modules"] == 350
    assert plan["pictures"]["total_steps"] == 3


def test_the_table_is_for_people(job_file, capsys):
    main([str(job_file)])
    out, told = capsys.readouterr()
    assert "264 of 350 layers trained, 2,359,296 parameters" in out
    assert "text encoder      72 of 72" in out
    assert "3 samples in 3 batches, 3 steps an epoch" in out
    assert "10 epochs, 30 steps in all" in out
    assert "there is no such file" in out + told


def test_wrong_use_and_missing_files(job_file, tmp_path, capsys):
    assert main([str(job_file), "--set", "network.rnk=3"]) == 2
    assert "Did you mean network.rank?" in capsys.readouterr().err
    assert main([str(tmp_path / "none.toml")]) == 1
    assert "There is no such file" in capsys.readouterr().err


def test_no_torch_is_imported(job_file):
    code = (
        "import sys; from engine.commands.plan import main; main([sys.argv[1]]); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'PySide6')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(job_file)], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
