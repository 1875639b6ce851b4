"""FLUX.1's presets: they are valid as they are, and fit the memory that they name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from engine.plan.adapter_size import numbers_of, total_of
from engine.plan.buckets import rules_of, table
from engine.plan.memory import estimate
from engine.plan.ranks import place
from engine.plan.sites import sites_of
from engine.schema.check import require

PRESETS = sorted((Path(__file__).parents[2] / "resources" / "presets").glob("*-flux-*.toml"))


def test_there_is_one_for_beginners_for_quality_and_for_small_memory() -> None:
    names = [p.stem.split("-", 2)[2] for p in PRESETS]
    assert names == ["first-steps", "quality", "full-precision", "small-memory"]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_estimate_stays_below_the_memory_it_names(path: Path) -> None:
    data = tomllib.loads(path.read_text("utf-8"))
    about = data.pop("preset")
    del data["schema"]
    data["model"]["path"] = "model.safetensors"
    data["dataset"]["folders"] = [{"path": "pictures"}]
    job = require(data)
    sites = sites_of("flux")
    placements = place(job.network, sites, "flux")
    numbers = total_of([numbers_of(p, job.network) for p in placements])
    largest = max((size for rules in rules_of(job.dataset) for size in table(rules)),
                  key=lambda size: size[0] * size[1])  # fmt: skip
    needed = estimate(job, None, sites, placements, numbers, largest)
    gigabytes = float(about["memory"].removesuffix(" GB"))
    assert 0.5 * gigabytes < needed.high / 1e9 < gigabytes
    assert about["memory"] in about["name"]
