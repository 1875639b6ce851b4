"""Model files are asked for before the libraries load; a job is read without any of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine.schema.model import Model
from engine.training.read_ahead import read_ahead

ROOT = Path(__file__).resolve().parents[2]


def _model(path: Path, vae: Path | None = None) -> Model:
    return Model.model_validate({"path": str(path), "vae": str(vae) if vae else None})


def test_files_are_asked_for_folders_and_absent_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fadvise", lambda *of: None, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    assert read_ahead(_model(file)) == [file]
    assert read_ahead(_model(tmp_path)) == []
    assert read_ahead(_model(tmp_path, vae=file)) == [file]
    assert read_ahead(_model(tmp_path / "absent.safetensors")) == []


def test_files_that_would_fill_the_memory_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10))
    assert read_ahead(_model(file)) == []


def test_a_wrong_job_is_refused_before_torch_is_imported() -> None:
    """A job's mistakes are told in a fraction of a second, not after the libraries."""
    code = "import sys, engine.commands.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
