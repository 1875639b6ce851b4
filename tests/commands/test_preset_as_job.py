"""A copy of a preset with a model and pictures is a job, as docs/ tell people to begin."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.commands.plan import main
from engine.schema.job_file import read_job
from engine.schema.presets import read_preset
from engine.schema.problem import JobError, Problem
from engine.training.failures import failure_of
from tests.tiny import make_pictures
from tests.tiny_flux import make_flux

ROOT = Path(__file__).parents[2]
PRESET = ROOT / "resources" / "presets" / "44-flux-small-memory.toml"
PAGE = ROOT / "docs" / "architectures" / "flux.md"


def test_the_way_that_the_page_of_flux_describes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its two blocks go where it says; only the paths are those of a tiny model."""
    make_flux(tmp_path / "models", "components")
    (tmp_path / "models" / "t5xxl.safetensors").rename(tmp_path / "models/t5xxl_fp16.safetensors")
    (tmp_path / "pictures" / "my cat").mkdir(parents=True)
    make_pictures(tmp_path / "pictures" / "my cat", 3, ((96, 96),))
    files, rest = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    job = tmp_path / "cat.toml"
    text = PRESET.read_text("utf-8").replace("[model]\n", "[model]\n" + files) + "\n" + rest
    for folder in ("models", "pictures"):
        text = text.replace(f'"/{folder}/', f'"{(tmp_path / folder).as_posix()}/')
    job.write_text(text, "utf-8")
    assert "preset" not in read_job(job)
    # the tiny model has two blocks of each kind
    assert main([str(job), "--json", "--set", "training.blocks_to_swap=2"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["architecture"], plan["modules"]) == ("flux", 26)
    assert plan["problems"] == []
    assert plan["pictures"]["total_steps"] == read_preset(PRESET).data["training"]["steps"]
    assert all(0 <= part["low"] <= part["high"] for part in plan["memory"]["parts"])


def test_a_failure_names_the_field_that_mends_it() -> None:
    problem = Problem(
        "optimizer.name", "No.", fix=(("optimizer.name", "AdamW"),), fix_label="AdamW"
    )
    assert failure_of(JobError([problem]), None).mend == "Set optimizer.name to AdamW."
