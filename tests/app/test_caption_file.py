"""Captions keep the bytes that nobody changed (gui 7.25)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.caption_file import (
    BulkEdit,
    Caption,
    CaptionError,
    decode,
    encode,
    read_caption,
    save_caption,
    tags_of,
)

RAW = "\ufeffa red cat, hat\r\nsecond line\r\n\r\nlast, lïne\r\n".encode()


def test_an_edit_of_one_line_leaves_all_other_bytes():
    caption = decode(RAW)
    edited = caption.text.replace("red cat", "blue cat")
    assert encode(caption, edited) == RAW.replace(b"red cat", b"blue cat")


def test_mixed_line_ends_stay_mixed():
    caption = decode(b"one\rtwo\nthree\r\nfour")
    assert caption.text == "one\ntwo\nthree\nfour"
    assert encode(caption, "one\ntwo!\nthree\nfour") == b"one\rtwo!\nthree\r\nfour"


def test_a_new_line_gets_the_usual_end():
    caption = decode(b"a\r\nb\r\n")
    assert encode(caption, "a\nnew\nb\n") == b"a\r\nnew\r\nb\r\n"


def test_windows_1252_is_read_with_a_warning_and_written_back_the_same():
    raw = "café, naïve".encode("cp1252")
    caption = decode(raw, "notes.txt")
    assert caption.text == "café, naïve"
    assert "notes.txt is not UTF-8 (byte 3); read as Windows-1252" in caption.warning
    assert encode(caption, "café, naïve!") == raw + b"!"
    assert encode(caption, "café 漢") == "café 漢".encode()


@given(st.text(alphabet="ab,\r\nü\ufeff", max_size=40))
def test_reading_and_saving_unchanged_changes_nothing(text):
    raw = text.encode()
    caption = decode(raw)
    assert encode(caption, caption.text) == raw


@given(st.lists(st.sampled_from(["a", "b", "", "ü"]), min_size=1, max_size=8), st.integers(0, 7))
def test_what_is_typed_is_what_is_read_back(lines, at):
    caption = decode(b"a\r\nb\nc")
    text = "\n".join(lines)
    assert decode(encode(caption, text)).text == text


def test_a_missing_file_is_an_empty_caption_and_stays_missing_until_written(tmp_path):
    path = tmp_path / "cat.txt"
    caption = read_caption(path)
    assert caption == Caption("")
    save_caption(path, caption, "")
    assert not path.exists()
    saved = save_caption(path, caption, "a cat")
    assert path.read_bytes() == b"a cat"
    assert saved.text == "a cat"


def test_a_huge_file_is_no_caption(tmp_path):
    path = tmp_path / "cat.txt"
    path.write_bytes(b"x" * 1_000_001)
    with pytest.raises(CaptionError, match="cat.txt is too large"):
        read_caption(path)


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (BulkEdit("replace", "cat", "dog"), "cat, cats\ncat", "dog, dogs\ndog"),
        (BulkEdit("replace", "", "dog"), "cat", "cat"),
        (BulkEdit("prefix", text="trg, "), "cat\nx", "trg, cat\nx"),
        (BulkEdit("prefix", text="trg, "), "trg, cat", "trg, cat"),
        (BulkEdit("suffix", text=", end"), "cat\nx", "cat, end\nx"),
        (BulkEdit("remove_tag", "hat"), "cat, hat, sun", "cat, sun"),
        (BulkEdit("remove_tag", "hat"), "cat,sun", "cat,sun"),
        (BulkEdit("dedupe"), "cat, hat, cat", "cat, hat"),
        (BulkEdit("sort"), "sun, Cat, hat\nrest", "Cat, hat, sun\nrest"),
    ],
)
def test_bulk_edits(edit, before, after):
    assert edit.apply(before) == after


def test_tags_are_those_of_the_first_line():
    assert tags_of(" a , b,,c\nd, e") == ["a", "b", "c"]
