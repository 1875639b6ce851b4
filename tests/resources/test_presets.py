"""The built-in presets: valid as they are, and within the memory that they name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from engine.plan.adapter_size import numbers_of, total_of
from engine.plan.buckets import rules_of, table
from engine.plan.memory import estimate
from engine.plan.ranks import place
from engine.plan.sites import ModelShape, sites_of
from engine.plan.sites.sd3_shape import SD35_LARGE, SD35_MEDIUM
from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import require
from engine.schema.presets import read_preset

PRESETS = sorted((Path(__file__).parents[2] / "resources" / "presets").glob("*.toml"))
DOCS = Path(__file__).parents[2] / "docs" / "architectures"
PAGES = {"sd1": "sd", "sd2": "sd"}
MEANT_FOR: dict[str, ModelShape] = {
    "51-sd3-first-steps": SD35_MEDIUM,
    "52-sd3-character": SD35_MEDIUM,
    "53-sd3-quality": SD35_LARGE,
    "54-sd3-small-memory": SD35_MEDIUM,
}
"""Presets for a variant other than the usual one, by the words of their description."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_there_is_one_for_beginners_for_quality_and_for_small_memory(architecture: str) -> None:
    named = [p.stem.split("-", 2)[2] for p in PRESETS if p.stem.split("-")[1] == architecture]
    assert named[0] == "first-steps"
    assert {"quality", "style"} & set(named)
    assert "small-memory" in named
    kept = {
        p.stem.split("-", 2)[2]: read_preset(p) for p in PRESETS if f"-{architecture}-" in p.name
    }
    memories = {name: int(preset.memory.removesuffix(" GB")) for name, preset in kept.items()}
    assert memories["small-memory"] <= min(memories["first-steps"], 12)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_estimate_stays_below_the_memory_it_names(path: Path) -> None:
    data = tomllib.loads(path.read_text("utf-8"))
    about, _ = data.pop("preset"), data.pop("schema")
    needed = _highest(data, MEANT_FOR.get(path.stem))
    gigabytes = int(about["memory"].removesuffix(" GB"))
    assert 0.6 * gigabytes < needed / 1e9 < 0.96 * gigabytes
    assert re.search(rf"\b{about['memory']}$", about["name"])
    assert about["description"].endswith(".")


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_architectures_page_names_it_with_its_memory(path: Path) -> None:
    preset = read_preset(path)
    page = PAGES.get(preset.architecture, preset.architecture)
    lines = (DOCS / f"{page}.md").read_text("utf-8").splitlines()
    name = preset.name.rpartition(", ")[0]
    row = next(line for line in lines if line.startswith(f"| {name} |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[-2 if preset.architecture == "sd1" else -1] == preset.memory


def _highest(data: dict[str, Any], shape: ModelShape | None) -> int:
    """The upper bound of the plan's estimate, in bytes."""
    data["model"]["path"] = "model.safetensors"
    data.setdefault("dataset", {})["folders"] = [{"path": "pictures"}]
    job = require(data)
    architecture = job.model.architecture
    sites = sites_of(architecture, shape)
    placements = place(job.network, sites, architecture)
    numbers = total_of([numbers_of(p, job.network) for p in placements])
    sizes = [size for rules in rules_of(job.dataset) for size in table(rules)]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    return estimate(job, None, sites, placements, numbers, largest).high
