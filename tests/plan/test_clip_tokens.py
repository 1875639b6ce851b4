"""CLIP's tokens counted as the library counts them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.architectures.text_encoders.clip_windows import ClipTokenizer, load_tokenizer
from engine.plan.clip_tokens import load_clip_tokens

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
CLIP = RESOURCES / "tokenizers" / "clip"
# Signs of the same category in every version of Unicode that library and Python may have.
OLD_SIGNS = st.characters(max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs", "Co"])


@lru_cache(maxsize=2)
def library(folder: Path) -> ClipTokenizer:
    return load_tokenizer(folder)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a cat", 2), ("zibble, 2024!", 8), ("it's 1girl, 🐈‍⬛ <|endoftext|>x", 12)],
)
def test_what_a_caption_counts(text: str, count: int) -> None:
    assert load_clip_tokens(CLIP).count(text) == count == len(library(CLIP).ids(text))


@given(st.text(st.one_of(st.sampled_from("aAbeinorst '’.,!-_()[]\n\t09²½ßΣςéİ中あк"), OLD_SIGNS)))
@example("ΟΔΟΣ ὈΔΟΣ'S don'T !'s we''ve\u0301")
@example("photo of a shs woman, (masterpiece:1.2), 8k, dslr; bokeh\r\n  café cafe\u0301")
def test_any_text_counts_as_in_the_library(text: str) -> None:
    assert load_clip_tokens(CLIP).count(text) == len(library(CLIP).ids(text))


def test_the_demos_own_vocabulary_too() -> None:
    folder = RESOURCES / "demo" / "model" / "tokenizer"
    for file in (RESOURCES / "demo" / "concept").glob("*.txt"):
        text = file.read_text("utf-8")
        assert load_clip_tokens(folder).count(text) == len(library(folder).ids(text))
