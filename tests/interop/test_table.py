"""The page of sd-scripts' options is what the table and the schema make."""

from __future__ import annotations

from pathlib import Path

from engine.interop.option_map import table_of
from engine.interop.table import page

PAGE = Path(__file__).parents[2] / "docs" / "sd-scripts.md"
WITHOUT = {
    "output.hub.repo", "output.hub.repo_type", "output.hub.path", "output.hub.private",
    "output.hub.upload_state", "output.tracker_project", "output.tracker_run",
    "output.tracker_config", "output.tracker_log_config", "output.metadata.preprocessor",
    "training.compile_backend", "dataset.cache_text_batch_size", "",
}  # fmt: skip


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "python -m engine.interop.table > docs/sd-scripts.md"


def test_every_option_is_on_the_page() -> None:
    names = {*table_of("sd-scripts"), *table_of("sd-scripts network_args")}
    missing = [name for name in names if f"`{name}`" not in page() and f"`--{name}`" not in page()]
    assert len(names) > 300
    assert missing == []


def test_the_table_names_fields_that_are_there() -> None:
    rows = [row for peer in ("sd-scripts", "sd-scripts network_args", "sd-scripts dataset_config")
            for row in table_of(peer).values()]  # fmt: skip
    assert {row.path for row in rows if not row.counterpart} <= WITHOUT
