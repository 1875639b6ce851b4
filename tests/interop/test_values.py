"""Values of strangers in every form people write them."""

from __future__ import annotations

from typing import Any

import pytest

from engine.interop.values import Misfit, fit, flag, literal, whole


@pytest.mark.parametrize("word", [True, 1, "true", "True", "1", "yes", "ON", "'true'"])
def test_a_switch_is_on_in_every_form(word: Any) -> None:
    assert flag(word) is True


@pytest.mark.parametrize("word", [False, 0, "false", "False", "0", "no", "OFF", "", None])
def test_a_switch_is_off_in_every_form(word: Any) -> None:
    assert flag(word) is False


def test_a_word_that_is_no_switch_is_told() -> None:
    with pytest.raises(Misfit, match="'maybe' is neither true nor false"):
        flag("maybe")


@pytest.mark.parametrize(
    ("path", "given", "held"),
    [
        ("optimizer.learning_rate", "1e-4", 1e-4),
        ("network.rank", "16.0", 16),
        ("network.block_dims", "[4, 4, 8]", [4, 4, 8]),
        ("optimizer.args.betas", "(0.9, 0.99)", [0.9, 0.99]),
        ("network.down_lr_weight", "sine+.25", "sine+.25"),
        ("training.seed", 7.0, 7),
        ("network.conv_dim", "None", None),
    ],
)
def test_text_becomes_the_fields_kind(path: str, given: Any, held: Any) -> None:
    assert fit(path, given) == held


@pytest.mark.parametrize(
    ("path", "given", "words"),
    [
        ("network.rank", "wide", "is not a number"),
        ("network.rank", 9999, "at most 1024"),
        ("network.rank", 4.5, "not a whole number"),
        ("optimizer.learning_rate", "inf", "not a finite number"),
        ("network.kind", "loha", "is one of lora"),
        ("model.path", ["a"], "is not text"),
    ],
)
def test_what_does_not_fit_is_told_in_words(path: str, given: Any, words: str) -> None:
    with pytest.raises(Misfit, match=words):
        fit(path, given)


def test_a_literal_is_read_and_anything_else_stays_text() -> None:
    assert literal("(0.9, 0.99)") == [0.9, 0.99]
    assert literal("True") is True
    assert literal("__import__('os')") == "__import__('os')"
    assert whole("12") == 12
