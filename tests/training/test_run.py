"""The run folder: never overwritten, held by one engine, cleaned of what a crash left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.schema.job import Job
from engine.training.failures import RunError
from engine.training.run import create_run, open_run, run_name


def job_in(folder: Path, name: str = "cat", **tables: Any) -> Job:
    return Job.model_validate({"output": {"directory": str(folder), "name": name}, **tables})


def test_a_second_run_of_a_name_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    first = create_run(job_in(tmp_path))
    second = create_run(job_in(tmp_path))
    assert [first.path.name, second.path.name] == ["cat", "cat_2"]
    assert second.name == "cat"
    assert (second.path / "job.toml").read_text().startswith("schema = 1")
    for run in (first, second):
        assert {p.name for p in run.path.iterdir() if p.is_dir()} == {
            "samples", "checkpoints", "state",
        }  # fmt: skip
        run.close()


def test_the_name_comes_from_the_first_folder_without_kohyas_repeats(tmp_path: Path) -> None:
    folders = [{"path": str(tmp_path / "10_my cat")}]
    assert run_name(job_in(tmp_path, "", dataset={"folders": folders})) == "my cat"
    assert run_name(job_in(tmp_path, "")) == "adapter"


def test_a_folder_in_use_is_refused_and_free_again_after(tmp_path: Path) -> None:
    run = create_run(job_in(tmp_path))
    with pytest.raises(RunError) as caught:
        open_run(run.path, "cat")
    assert caught.value.failure.kind == "busy"
    run.close()
    again = open_run(run.path, "cat")
    assert again.resumed
    again.close()


def test_a_named_folder_with_a_run_in_it_is_not_overwritten(tmp_path: Path) -> None:
    create_run(job_in(tmp_path), tmp_path / "here").close()
    with pytest.raises(RunError) as caught:
        create_run(job_in(tmp_path), tmp_path / "here")
    assert "already holds a run" in caught.value.failure.message


def test_a_place_that_cannot_be_written_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as caught:
        create_run(job_in(tmp_path / "file"))
    assert caught.value.failure.field == "output.directory"


def test_opening_removes_half_written_files_and_nothing_else(tmp_path: Path) -> None:
    run = create_run(job_in(tmp_path))
    run.close()
    half = [
        run.checkpoints / ".cat.safetensors.tmp-123",
        run.samples / ".s00000001-p00-seed1.png.tmp-9",
        run.states / "step-00000004.tmp-77",
    ]
    for path in half[:2]:
        path.write_bytes(b"x")
    half[2].mkdir()
    whole = run.checkpoints / "cat.safetensors"
    whole.write_bytes(b"x")
    open_run(run.path, "cat").close()
    assert not any(path.exists() for path in half)
    assert whole.exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        open_run(tmp_path, "cat")
    assert "not a run folder" in caught.value.failure.message
