"""Captions: the examples of data-loop 1.3, and what must hold for any caption."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.captions import caption
from engine.plan.keys import draws
from engine.plan.wildcards import expand
from engine.schema.dataset_folder import Folder


def _caption(text: str, seed: int = 0, *, step: int = 0, steps: int = 0, trigger: str = "",
             epoch: int = 0, **options: object) -> str:  # fmt: skip
    folder = Folder.model_validate({"path": "x", **options})
    return caption(text, folder, random.Random(seed), step, steps, trigger, epoch=epoch)


def _all(text: str, n: int = 60, **options: object) -> set[str]:
    return {_caption(text, seed, **options) for seed in range(n)}  # pyright: ignore[reportArgumentType]


def test_a_prefix_that_is_a_tag_is_the_first_tag() -> None:
    """Acceptance 8, rule 1."""
    found = _all("a, b, c", caption_prefix="trg,", keep_tags=1, shuffle_tags=True)
    assert len(found) == 6
    assert "trg, a, c, b" in found
    assert all(f.startswith("trg, ") for f in found)


def test_wildcards_and_literal_braces() -> None:
    """Acceptance 8, rule 3."""
    assert _all("{red|blue} car, {{x}} {a}", wildcards=True) == {
        "red car, {x} a", "blue car, {x} a",
    }  # fmt: skip


def test_wildcards_nested_weighted_and_from_lists() -> None:
    assert {expand("{a|{b|c}}", random.Random(i)) for i in range(50)} == {"a", "b", "c"}
    counts = Counter(expand("{3::a|b}", random.Random(i)) for i in range(4000))
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=0.03)
    lists = {"color": ["red", "blue"], "thing": ["__color__ car"]}
    assert {expand("a __thing__", random.Random(i), lists) for i in range(20)} == {
        "a red car", "a blue car",
    }  # fmt: skip
    assert expand("{open __absent__ {{", random.Random(0)) == "{open __absent__ {"
    assert expand("{0::a|0::b}", random.Random(0)) in "ab"


def test_keep_mark_parts_fixed_and_flexible_tags() -> None:
    """Acceptance 8, rule 4; the mark goes also where nothing is shuffled."""
    text = "1girl, solo ||| a, b, c ||| best, end"
    found = _all(text, keep_separator="|||", shuffle_tags=True)
    assert "1girl, solo, b, c, a, best, end" in found
    assert len(found) == 6
    assert _caption("1girl, solo ||| a, b", keep_separator="|||") == "1girl, solo, a, b"


def test_a_suffix_is_on_every_line() -> None:
    """Acceptance 8: their prefix and suffix stick to the first and last line only."""
    found = _all("one\ntwo\nthree", multi_line="random", caption_suffix="SUF")
    assert found == {"one SUF", "two SUF", "three SUF"}
    assert _caption("one\ntwo", caption_suffix="SUF") == "one SUF"


def test_separators() -> None:
    """Acceptance 8: the separator given is the one that joins."""
    dotted = _all("a. b. c", tag_separator=".", shuffle_tags=True)
    assert "b. c. a" in dotted
    assert all(f.count(". ") == 2 for f in dotted)
    assert _caption("a;;b, c", group_separator=";;") == "a, b, c"
    grouped = _all("a;;b, c", group_separator=";;", shuffle_tags=True)
    assert grouped == {"a, b, c", "c, a, b"}
    assert _caption("a b", tag_separator=" ", tag_dropout=1e-9) == "a b"


@pytest.mark.parametrize(("step", "count"), [(0, 2), (1, 2), (25, 5), (50, 8), (99, 8)])
def test_tag_warmup(step: int, count: int) -> None:
    """Acceptance 9; below 1 it is a share of the run."""
    text = "1, 2, 3, 4, 5, 6, 7, 8"
    expected = ", ".join(text.split(", ")[:count])
    assert _caption(text, step=step, tag_warmup=50, tag_warmup_start=2) == expected
    share = _caption(text, step=step, steps=100, tag_warmup=0.5, tag_warmup_start=2)
    assert share == expected


def test_tag_warmup_keeps_the_kept_tag() -> None:
    """Acceptance 9."""
    options = {"tag_warmup": 50, "tag_warmup_start": 0, "keep_tags": 1}
    assert _caption("x, a, b", **options) == "x"  # pyright: ignore[reportArgumentType]


def test_caption_dropout() -> None:
    """Acceptance 10: a tenth of 10,000 keys, within 3 standard deviations."""
    folder = Folder(path="x", caption_dropout=0.1)
    empty = sum(
        caption("a, b", folder, draws(42, "data", 1, f"{i}.png", 0)) == "" for i in range(10_000)
    )
    assert abs(empty - 1000) <= 90


def test_empty_epochs_and_tag_dropout() -> None:
    """Acceptance 10."""
    kept = [_caption("a", epoch=e, caption_dropout_every_epochs=2) for e in (1, 2, 3, 4)]
    assert kept == ["a", "", "a", ""]
    assert _caption("x, a, b", tag_dropout=1.0, keep_tags=1) == "x"


def test_trigger_word() -> None:
    assert _caption("a photo of [trigger]", trigger="sks") == "a photo of sks"
    assert _caption("a cat", trigger="sks") == "sks, a cat"
    assert _caption("sks, a cat", trigger="sks") == "sks, a cat"
    assert _caption("sksy cat", trigger="sks") == "sks, sksy cat"
    assert _caption("", trigger="sks") == "sks"
    assert _caption("a [trigger]") == "a"
    dropped = _all("a, b, c", trigger="sks", tag_dropout=0.9, shuffle_tags=True)
    assert all(f.startswith("sks") for f in dropped)


@given(
    tags=st.lists(st.text("abcxyz", min_size=1, max_size=4), max_size=8),
    keep=st.integers(0, 9),
    seed=st.integers(0, 10**6),
    dropout=st.sampled_from([0.0, 0.5]),
    shuffle=st.booleans(),
)
def test_any_tags(tags: list[str], keep: int, seed: int, dropout: float, shuffle: bool) -> None:
    """Nothing is invented, kept tags stay in front, and the same draws give the same caption."""
    options = {"keep_tags": keep, "shuffle_tags": shuffle, "tag_dropout": dropout}
    text = ", ".join(tags)
    found = _caption(text, seed, **options)  # pyright: ignore[reportArgumentType]
    assert found == _caption(text, seed, **options)  # pyright: ignore[reportArgumentType]
    parts = found.split(", ") if found else []
    assert parts[:keep] == tags[:keep]
    assert not Counter(parts) - Counter(tags)
    if not dropout:
        assert Counter(parts) == Counter(tags)


@given(text=st.text(max_size=60), seed=st.integers(0, 1000))
def test_any_text_survives_wildcards(text: str, seed: int) -> None:
    assert isinstance(expand(text, random.Random(seed)), str)
