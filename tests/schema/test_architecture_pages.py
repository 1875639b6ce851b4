"""The pages of docs/architectures name options that exist and that their architecture has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import options

PAGES = Path(__file__).parents[2] / "docs" / "architectures"
HEADINGS = ["Files", "Options of its own", "The adapter", "Memory"]
LAST = ["Where this differs from sd-scripts", "How it was checked"]


def page_of(architecture: str) -> str:
    name = "sd" if architecture in ("sd1", "sd2") else architecture
    return (PAGES / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_options_named_on_the_page_apply(architecture: str) -> None:
    table = page_of(architecture).partition("## Options of its own")[2].partition("## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert rows
    for row in rows:
        prefix = ""
        for name in re.findall(r"`([\w.]+)", row):
            prefix = name.rpartition(".")[0] or prefix
            path = name if "." in name else f"{prefix}.{name}"
            assert path in options(), path
            assert options()[path].applies(architecture), path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pages_are_built_alike_and_show_the_panel(architecture: str) -> None:
    text = page_of(architecture)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [h for h in headings if h != "Good to know"] == HEADINGS + LAST
    for theme in ("light", "dark"):
        for panel in (f"panel-{architecture}", f"panel-{architecture}-network"):
            assert f"images/{panel}-{theme}.png" in text
            assert (PAGES.parent / "images" / f"{panel}-{theme}.png").is_file()
