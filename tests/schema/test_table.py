"""Steps, shares and percentages (spec: data-loop 9.15)."""

from __future__ import annotations

import pytest

from engine.schema.table import steps_of


@pytest.mark.parametrize("value", [10, 0.1, "10%", "10", "0.1"])
def test_ten_of_a_hundred_in_every_spelling(value):
    assert steps_of(value, 100) == 10


def test_zero_is_none():
    assert steps_of(0, 100) == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0, "1 step or 100 %"), (-1, "negative"), (1.5, "neither"), ("200%", "between"),
     ("many", "invalid literal")],
)  # fmt: skip
def test_what_has_two_meanings_or_none_is_refused(value, words):
    with pytest.raises(ValueError, match=words):
        steps_of(value, 100)
