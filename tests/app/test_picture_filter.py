"""The filter line of the dataset page."""

from __future__ import annotations

import pytest

from app.picture_filter import Entry, FilterError, parse_filter

ENTRIES = [
    Entry("cat_01.png", "cat, hat, red coat", 512, 768),
    Entry("dog.png", "dog, blue coat", 300, 900),
    Entry("none.png", "", 1024, 1024),
    Entry("broken.png", "cat", problem="not a picture"),
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["cat_01.png", "dog.png", "none.png", "broken.png"]),
        ("tag:hat", ["cat_01.png"]),
        ("tag:ha", []),
        ("tag:cat -tag:hat", ["broken.png"]),
        ('caption:"red coat"', ["cat_01.png"]),
        ("coat", ["cat_01.png", "dog.png"]),
        ("size<512", ["dog.png"]),
        ("size>=512 width=1024", ["none.png"]),
        ("nocaption", ["none.png"]),
        ("is:problem", ["broken.png"]),
        ("tag:dog or tag:hat", ["cat_01.png", "dog.png"]),
        ("tag:dog or tag:hat size>=512", ["cat_01.png"]),
        ("name:DOG", ["dog.png"]),
        ('"or"', []),
        ('caption:"red', ["cat_01.png"]),
    ],
)
def test_what_passes(text, names):
    test = parse_filter(text)
    assert [e.name for e in ENTRIES if test(e)] == names


@pytest.mark.parametrize("text", ["is:blue", "or tag:cat", "tag:cat or"])
def test_what_cannot_be_read_says_why(text):
    with pytest.raises(FilterError):
        parse_filter(text)
