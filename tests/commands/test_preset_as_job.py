"""A copy of a preset with a model and pictures is a job, as docs/ tell people to begin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.commands.plan import main
from engine.schema.job_file import read_job
from engine.schema.presets import read_preset
from engine.schema.problem import JobError, Problem
from engine.training.failures import failure_of
from tests.tiny import make_pictures
from tests.tiny_flux import files_beside, make_flux

PRESET = Path(__file__).parents[2] / "resources" / "presets" / "44-flux-small-memory.toml"


def test_a_completed_preset_is_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_flux(tmp_path, "components")
    pictures = tmp_path / "my cat"
    pictures.mkdir()
    make_pictures(pictures, 3, ((96, 96),))
    job = tmp_path / "cat.toml"
    job.write_text(PRESET.read_text("utf-8"), "utf-8")
    assert "preset" not in read_job(job)
    files = {"path": str(model), **files_beside(model)}
    sets = [f"model.{field}={file}" for field, file in files.items()]
    folders = '[[dataset.folders]]\npath = "my cat"\nrepeats = 10\n'
    job.write_text(job.read_text("utf-8") + folders, "utf-8")
    arguments = [argument for value in sets for argument in ("--set", value)]
    # the tiny model has two blocks of each kind
    assert main([str(job), "--json", *arguments, "--set", "training.blocks_to_swap=2"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["architecture"], plan["modules"]) == ("flux", 26)
    assert plan["pictures"]["total_steps"] == read_preset(PRESET).data["training"]["steps"]
    assert all(0 <= part["low"] <= part["high"] for part in plan["memory"]["parts"])


def test_a_failure_names_the_field_that_mends_it() -> None:
    problem = Problem(
        "optimizer.name", "No.", fix=(("optimizer.name", "AdamW"),), fix_label="AdamW"
    )
    assert failure_of(JobError([problem]), None).mend == "Set optimizer.name to AdamW."
