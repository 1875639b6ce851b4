"""A caption file as text to edit: what nobody changed keeps its bytes.

Line ends, a byte-order mark, the encoding and untouched lines stay as they were.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from engine.schema.whole_file import write_whole

MAX_BYTES = 1_000_000
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|$)")


class CaptionError(ValueError):
    """A caption file that cannot be edited; the message names it and says why."""


@dataclass(frozen=True)
class Caption:
    """The text of a caption file as shown (lines end in `\\n`), and the bytes it came from."""

    text: str
    raw: bytes = b""
    encoding: str = "utf-8"
    warning: str = ""


def read_caption(path: Path) -> Caption:
    """Read a caption file; a missing one is an empty caption.

    Raises:
        CaptionError: too large to be a caption, or not readable.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CaptionError(f"{path.name} is too large for a caption (over 1 MB).")
        raw = path.read_bytes()
    except FileNotFoundError:
        return Caption("")
    except OSError as error:
        raise CaptionError(f"{path.name} cannot be read: {error.strerror}.") from None
    return decode(raw, path.name)


def decode(raw: bytes, name: str = "") -> Caption:
    """Decode caption bytes: UTF-8 with or without mark, else Windows-1252 with a warning."""
    encoding = "utf-8-sig" if raw.startswith(codecs.BOM_UTF8) else "utf-8"
    warning = ""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        encoding = "cp1252"
        text = raw.decode(encoding, "replace")
        warning = (
            f"{name} is not UTF-8 (byte {error.start}); read as Windows-1252. Check the caption."
        )
    return Caption("\n".join(body for body, _ in _lines(text)), raw, encoding, warning)


def _lines(text: str) -> list[tuple[str, str]]:
    """Lines with their own ends; a text without lines is one empty line without an end."""
    found = [(m[1], m[2]) for m in _LINE.finditer(text)]
    # The pattern also matches the empty rest after a final line end, which is wanted: it is how
    # a trailing end is kept; after a last line without an end it matches once more, emptily.
    if len(found) > 1 and found[-1] == ("", "") and found[-2][1] == "":
        found.pop()
    return found


def encode(before: Caption, text: str) -> bytes:
    """The bytes of the edited caption: lines that are the same keep their bytes."""
    if text == before.text:
        return before.raw
    encoding = before.encoding
    original = before.raw.decode(encoding, "replace")
    old = _lines(original)
    new = text.split("\n")
    ends = [end for _, end in old if end]
    usual = max(set(ends), key=ends.count) if ends else "\n"
    joined = "".join(_with_ends(old, new, usual))
    try:
        return joined.encode(encoding)
    except UnicodeEncodeError:
        return joined.encode("utf-8")  # a sign that the old encoding cannot write


def _with_ends(old: Sequence[tuple[str, str]], new: Sequence[str], usual: str) -> list[str]:
    """Give each new line the end of the old line it came from; new lines get the usual one."""
    ends: list[str | None] = [None] * len(new)
    matcher = SequenceMatcher(a=[body for body, _ in old], b=new, autojunk=False)
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag in ("equal", "replace"):
            for a, b in zip(range(a0, a1), range(b0, b1), strict=False):
                ends[b] = old[a][1]
    result = []
    for i, body in enumerate(new):
        last = i == len(new) - 1
        end = ends[i]
        result.append(body + ("" if last else end or usual))
    return result


def save_caption(path: Path, before: Caption, text: str) -> Caption:
    """Write the edited caption whole and return it as read back.

    An empty caption with no file makes no file.

    Raises:
        CaptionError: if it cannot be written; the former file is then still there.
    """
    raw = encode(before, text)
    if raw == before.raw and (raw or not path.exists()):
        return before
    try:
        write_whole(path, raw)
    except OSError as error:
        raise CaptionError(f"{path.name} cannot be saved: {error.strerror}.") from None
    return decode(raw, path.name)


def tags_of(text: str, separator: str = ",") -> list[str]:
    """The tags of a caption's first line, trimmed, empty ones left out."""
    first = text.split("\n", 1)[0]
    return [tag.strip() for tag in first.split(separator) if tag.strip()]


@dataclass(frozen=True)
class BulkEdit:
    """One change to many captions: replace, put before or after, remove tags, or tidy.

    `kind` is "replace" (`find` by `text`), "prefix", "suffix", "remove_tag" (`find`), "dedupe"
    (repeated tags) or "sort" (tags by the alphabet). Only first lines are tagged lines.
    """

    kind: str
    find: str = ""
    text: str = ""
    separator: str = ","

    def apply(self, caption: str) -> str:
        """The caption after the edit; the same text if nothing in it is meant."""
        first, newline, rest = caption.partition("\n")
        if self.kind == "replace":
            return caption.replace(self.find, self.text) if self.find else caption
        if self.kind == "prefix":
            return caption if first.startswith(self.text) else self.text + caption
        if self.kind == "suffix":
            return caption if first.endswith(self.text) else first + self.text + newline + rest
        tags = tags_of(first, self.separator)
        if self.kind == "remove_tag":
            kept = [tag for tag in tags if tag != self.find.strip()]
        elif self.kind == "dedupe":
            kept = list(dict.fromkeys(tags))
        elif self.kind == "sort":
            kept = sorted(tags, key=str.casefold)
        else:
            raise ValueError(f"no bulk edit is called {self.kind!r}")
        if kept == tags:
            return caption
        return f"{self.separator} ".join(kept) + newline + rest
