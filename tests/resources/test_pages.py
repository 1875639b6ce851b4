"""The pages of the architectures say of each preset what the preset says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted((ROOT / "resources" / "presets").glob("*.toml"))
PAGES = {page.stem: page for page in (ROOT / "docs" / "architectures").glob("*.md")}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_stands_in_its_page_with_its_memory_and_swapped_blocks(path: Path) -> None:
    content = tomllib.loads(path.read_text("utf-8"))
    architecture = content["model"]["architecture"]
    if architecture not in PAGES:  # SD 1.x and 2.x have no page of their own
        assert architecture in ("sd1", "sd2")
        return
    memory = content["preset"]["memory"]
    name = content["preset"]["name"].removesuffix(f", {memory}")
    lines = PAGES[architecture].read_text("utf-8").splitlines()
    (row,) = (line for line in lines if line.startswith(f"| {name} |"))
    assert row.endswith(f"| {memory} |")
    swapped = content.get("training", {}).get("blocks_to_swap")
    assert (f"{swapped} of" in row) == (swapped is not None), row
