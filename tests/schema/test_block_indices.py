"""Selections of blocks as people write them (networks 4.2; 9, check 16)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.schema.block_indices import blocks_in
from engine.schema.check import check
from engine.schema.network import Network


@pytest.mark.parametrize(
    ("text", "blocks"),
    [("0-3,5", {0, 1, 2, 3, 5}), ("all", set(range(19))), ("ALL ", set(range(19))), ("none", set()),
     ("", set()), (" 1 , 2 - 3 ", {1, 2, 3}), ("18", {18}), ("4-4,4", {4})],
)  # fmt: skip
def test_a_selection(text: str, blocks: set[int]) -> None:
    assert blocks_in(text, 19) == blocks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3-1", "3-1 runs backwards; write 1-3"),
        ("19", "there is no block 19; they are numbered 0 to 18"),
        ("10-40", "there is no block 40"),
        ("1,", "an empty place is neither a number nor a range. Write numbers from 0 to 18"),
        ("-1", "'-1' is neither"),
        ("1-2-3", "'1-2-3' is neither"),
        ("two", "'two' is neither"),
        ("1.5", "'1.5' is neither"),
        ("²", "'²' is neither"),
        ("999999", "'999999' is neither"),
    ],
)
def test_a_mistake_is_named_with_what_there_is(text: str, words: str) -> None:
    """Check 16: "19" and "3-1" are errors; so is a comma at the end."""
    with pytest.raises(ValueError, match="^" + words):
        blocks_in(text, 19)
    problems = check(
        {
            "model": {"architecture": "flux", "path": "m"},
            "dataset": {"folders": [{"path": "p"}]},
            "network": {"train_double_block_indices": text},
        }
    ).errors
    (problem,) = problems
    assert problem.path == "network.train_double_block_indices"
    assert problem.message.lower().startswith(words.split(". ")[0].lower())


@given(st.sets(st.integers(0, 37)))
def test_numbers_written_one_by_one_are_chosen(blocks: set[int]) -> None:
    written = ",".join(map(str, sorted(blocks)))
    assert blocks_in(written, 38) == blocks
    network = Network.model_validate({"train_single_block_indices": sorted(blocks)})
    assert network.train_single_block_indices == written
