from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.architectures.text_encoders.clip_load import CLIP_TOKENIZER
from engine.architectures.text_encoders.clip_windows import (
    ClipTokenizer,
    Windows,
    encode_windows,
    load_tokenizer,
    weighted_pieces,
    windows_of,
)
from tests.architectures.conftest import Load
from tests.tiny import tiny_modules

BEGIN, END = 49406, 49407


@pytest.fixture(scope="module")
def clip() -> ClipTokenizer:
    return load_tokenizer(CLIP_TOKENIZER)


def test_vocabulary_has_clips_ids(clip: ClipTokenizer) -> None:
    """training-sd-flux 9, check 6."""
    assert len(clip.tokenizer) == 49408
    assert (clip.begin, clip.end, clip.pad) == (BEGIN, END, END)
    assert clip.ids("a photo of a cat") == [320, 1125, 539, 320, 2368]


def test_exclamation_marks_stay_words_when_they_are_the_padding(clip: ClipTokenizer) -> None:
    """training-sd-flux 9, check 6: fact 10."""
    padded = clip.padded_with("!")
    windows = windows_of(padded, ["cat!!"], 1, weighted=False)
    assert windows.ids[0, 0, :6].tolist() == [BEGIN, 2368, 748, END, 0, 0]


def test_padding_is_read_from_a_folder_that_says_exclamation_mark(loaded: Load) -> None:
    texts: Any = loaded(architecture="sd2").texts
    tokenizer = texts.tokenizer
    assert tokenizer.pad == 0
    assert tokenizer.ids("!") != [tokenizer.pad]


def test_225_tokens_are_three_windows(clip: ClipTokenizer) -> None:
    """training-sd-flux 9, check 9."""
    windows = windows_of(clip, ["a cat"], 3, weighted=False)
    assert windows.ids.shape == (1, 3, 77)
    assert windows.ids[0, 1].tolist() == [BEGIN] + [END] * 76
    zero = windows_of(replace(clip, pad=0), ["a cat"], 3, weighted=False)
    assert zero.ids[0, 1].tolist() == [BEGIN, END] + [0] * 75


def test_a_window_cut_in_the_caption_closes_with_the_end_token(clip: ClipTokenizer) -> None:
    windows = windows_of(replace(clip, pad=0), ["cat " * 80], 2, weighted=False)
    assert windows.ids[0, 0].tolist() == [BEGIN, *[2368] * 75, END]
    assert windows.ids[0, 1].tolist() == [BEGIN, *[2368] * 5, END, *[0] * 70]


def test_longer_captions_are_cut(clip: ClipTokenizer) -> None:
    windows = windows_of(clip, ["cat " * 100], 1, weighted=False)
    assert windows.ids[0, 0].tolist() == [BEGIN, *[2368] * 75, END]


def test_windows_grow_with_the_longest_prompt(clip: ClipTokenizer) -> None:
    windows = windows_of(clip, ["cat " * 151, "dog"], None, weighted=True)
    assert windows.ids.shape == (2, 3, 77)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain: text", [("plain: text", 1.0)]),
        ("a (b) c", [("a ", 1.0), ("b", 1.1), (" c", 1.0)]),
        ("[b]", [("b", 1 / 1.1)]),
        ("(b:1.5)", [("b", 1.5)]),
        ("((b))", [("b", 1.21)]),
        ("((b:2) c)", [("b", 2.2), (" c", 1.1)]),
        (r"\(b\)", [("(b)", 1.0)]),
        ("(never closed", [("never closed", 1.1)]),
        ("b) c", [("b) c", 1.0)]),
    ],
)
def test_brackets_give_weights(text: str, expected: list[tuple[str, float]]) -> None:
    pieces = weighted_pieces(text)
    assert [p for p, _ in pieces] == [p for p, _ in expected]
    assert [w for _, w in pieces] == pytest.approx([w for _, w in expected])


def encode(windows: Windows, clip_skip: int | None = None, **how: bool) -> torch.Tensor:
    encoder = tiny_modules(vocabulary=49408).text_encoder
    chosen = {"use_weights": False, "keep_mean": False} | how
    with torch.no_grad():
        return encode_windows(encoder, windows, clip_skip, **chosen)


def test_clip_skip_one_is_none_and_two_is_the_layer_before(clip: ClipTokenizer) -> None:
    """training-sd-flux 9, check 8."""
    windows = windows_of(clip, ["a cat"], 1, weighted=False)
    assert torch.equal(encode(windows, 1), encode(windows))
    encoder = tiny_modules(vocabulary=49408).text_encoder
    with torch.no_grad():
        hidden = encoder(windows.ids[0], output_hidden_states=True).hidden_states
        expected = encoder.final_layer_norm(hidden[-2])
    assert torch.equal(encode(windows, 2), expected)
    assert not torch.allclose(encode(windows, 2), encode(windows))


def test_no_one_reaches_for_the_wrapped_text_model() -> None:
    """training-sd-flux 9, check 8: CLIPTextModel is flat."""
    package = Path(load_tokenizer.__code__.co_filename).parents[1]
    sources = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*.py")}
    assert str(Path("text_encoders", "clip_windows.py")) in sources
    assert [name for name, source in sources.items() if re.search(r"\.text_model\b", source)] == []


def test_windows_are_joined_without_their_inner_frames(clip: ClipTokenizer) -> None:
    """training-sd-flux 9, check 9: 75·windows + 2 states."""
    long = windows_of(clip, ["cat dog " * 60], 3, weighted=False)
    joined = encode(long)
    assert joined.shape == (1, 227, 32)
    each = [
        encode(Windows(long.ids[:, i : i + 1], long.weights[:, i : i + 1]))[0] for i in range(3)
    ]
    assert torch.allclose(joined[0, :76], each[0][:76], atol=1e-6)
    assert torch.allclose(joined[0, 76:151], each[1][1:76], atol=1e-6)
    assert torch.allclose(joined[0, 151:], each[2][1:], atol=1e-6)


def test_weights_multiply_states_and_previews_keep_the_mean(clip: ClipTokenizer) -> None:
    plain = encode(windows_of(clip, ["a cat"], 1, weighted=False))
    weighted = windows_of(clip, ["a (cat:1.5)"], 1, weighted=True)
    assert weighted.weights[0, 0, :4].tolist() == [1.0, 1.0, 1.5, 1.0]
    trained = encode(weighted, use_weights=True)
    assert torch.allclose(trained[0, 2], 1.5 * plain[0, 2], atol=1e-6)
    assert torch.equal(trained[0, 3:], plain[0, 3:])
    previewed = encode(weighted, use_weights=True, keep_mean=True)
    assert math.isclose(previewed.mean().item(), plain.mean().item(), abs_tol=1e-6)
    ratio = previewed[0, 5] / trained[0, 5]
    assert torch.allclose(ratio, ratio.mean().expand_as(ratio), atol=1e-4)
