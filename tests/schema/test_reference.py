"""docs/reference.md is made from the schema and is not stale."""

from __future__ import annotations

from pathlib import Path

from engine.schema.options import options
from engine.schema.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run: python -m engine.schema.reference > docs/reference.md"
    )


def test_the_page_has_every_field():
    text = reference()
    for entry in options().values():
        if entry.kind not in ("table", "tables"):
            assert f"**{entry.hints.label}** `{entry.key}`" in text
