"""Patterns: how they are cut, and which are refused before they can hang anything."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.schema.network import Network
from engine.schema.patterns import PatternError, compiled, pair, pair_of_rank, pieces

NAME = "lora_unet_double_blocks_10_img_attn_proj_lora_te1_text_model_encoder_layers_0"


@pytest.mark.parametrize(
    ("written", "patterns"),
    [
        ("single_blocks=0, double_blocks_0_=8", ["single_blocks=0", "double_blocks_0_=8"]),
        ("blocks_[0-9]{1,2}_=8,(a,b)=1", ["blocks_[0-9]{1,2}_=8", "(a,b)=1"]),
        (["blocks_[0-9]{1", "2}_=8"], ["blocks_[0-9]{1,2}_=8"]),
        ("['.*_modulation.*', 'x']", [".*_modulation.*", "x"]),
        ("'.*mlp.*'", [".*mlp.*"]),
        ("[a-z]+_mlp", ["[a-z]+_mlp"]),
        (r"a\,b,c\(", [r"a\,b", r"c\("]),
        ("", []),
    ],
)
def test_patterns_are_cut_outside_of_brackets(written: object, patterns: list[str]) -> None:
    network = Network.model_validate({"include_patterns": written})
    assert network.include_patterns == patterns
    again = Network.model_validate({"include_patterns": network.include_patterns})
    assert again == network


@pytest.mark.parametrize(
    "pattern",
    ["single_blocks", ".*mlp.*", r"blocks_\d+_.*attn.*_\d+", ".*_(0|1|2|3)_.*attn.*qkv.*",
     "^blocks\\.[0-9]{1,2}\\.", "double_blocks_([0-9]|1[0-8])_img", "(?:ab){3}", "(?i:ATTN)"],
)  # fmt: skip
def test_usual_patterns_are_taken(pattern: str) -> None:
    assert compiled(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a|a)*", "(a|b)+c", ".?" * 25, ".*.*.*.*.*Q", "(.*)(.*)(.*)(.*)Q",
     "(x{1,9}){1,9}", "((_?){1,9})*Q", "(a?){50}", r"(\w+\s?)*Q", "([a-z]+)*Q", "(?:_|_)*Q"],
)  # fmt: skip
def test_patterns_that_could_take_for_ever_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="too many ways") as caught:
        compiled(pattern)
    assert pattern in str(caught.value)


@pytest.mark.parametrize("pattern", ["(", "[", "a**", "(?P<x", "*a", "\\"])
def test_a_pattern_that_is_no_regular_expression_is_named(pattern: str) -> None:
    with pytest.raises(PatternError, match="is no regular expression") as caught:
        compiled(pattern)
    assert f"'{pattern}'" in str(caught.value)


def test_a_pattern_has_a_length() -> None:
    with pytest.raises(PatternError, match="more than 200"):
        compiled("a" * 201)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="a_.*+?|(){}[]^$\\1,9d", max_size=24))
def test_whatever_is_taken_ends(pattern: str) -> None:
    try:
        made = compiled(pattern)
    except PatternError:
        return
    made.search(NAME)  # one that doubles its work with every letter would never come back
    made.search("a" * 70)


@given(st.text(max_size=40))
def test_pieces_lose_nothing_but_blanks_and_commas(text: str) -> None:
    kept = re.sub(r"[\s,]", "", "".join(pieces(text)))
    assert kept == re.sub(r"[\s,]", "", text)


def test_pairs() -> None:
    assert pair("a=b=1e-4") == ("a=b", 1e-4)
    assert pair_of_rank("single_blocks = 8") == ("single_blocks", 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [("single_blocks", "no pair"), ("=8", "no pair"), ("a=", "is not a number"),
     ("a=many", "'many' in 'a=many' is not a number"), ("a=-1", "0 or more"),
     ("a=nan", "0 or more"), ("a=inf", "0 or more"), ("a=1.5", "whole number"),
     ("a=2000", "up to 1024")],
)  # fmt: skip
def test_a_pair_that_cannot_be_used_is_named(text: str, words: str) -> None:
    with pytest.raises(PatternError, match=words):
        pair_of_rank(text)
