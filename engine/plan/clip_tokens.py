"""How many tokens of CLIP a caption is, exactly, without the library that trains with them.

The window shows it at every picture, and has only its own few packages: `tokenizers` would bring
the hub's client and all it needs. Of the algorithm only the count is wanted: no ids, no decoding.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

_END_OF_WORD = "</w>"
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")
_ENDINGS = ("'re", "'ve", "'ll", "'s", "'t", "'m", "'d")
_SEPARATORS = "\x1c\x1d\x1e\x1f"  # space to Python, not to Unicode

Merges = Mapping[tuple[str, str], int]


class ClipTokens:
    """CLIP's byte pair encoding (Radford et al. 2021): lower case, words, pairs merged by rank."""

    def __init__(self, merges: Merges) -> None:
        self._merges = merges
        self._known: dict[str, int] = {}  # captions repeat their words

    def count(self, text: str) -> int:
        """Tokens of a caption, without those that frame it."""
        return sum(self._in_piece(piece) for piece in pieces_of(text))

    def _in_piece(self, piece: str) -> int:
        if piece in _SPECIAL:
            return 1
        found = self._known.get(piece)
        if found is None:
            found = self._known[piece] = self._merged(piece)
        return found

    def _merged(self, piece: str) -> int:
        signs = _signs()
        parts = [signs[byte] for byte in piece.encode("utf-8", "replace")]
        parts[-1] += _END_OF_WORD
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self._merges.get(pair, len(self._merges)))
            if best not in self._merges:
                break
            at, merged = 0, []
            while at < len(parts):
                if tuple(parts[at : at + 2]) == best:
                    merged.append(best[0] + best[1])
                    at += 2
                else:
                    merged.append(parts[at])
                    at += 1
            parts = merged
        return len(parts)


def pieces_of(text: str) -> Iterator[str]:
    """Words, single digits and runs of signs, in lower case; space is dropped."""
    while text:
        at, special = min(
            ((text.find(name), name) for name in _SPECIAL if name in text), default=(len(text), "")
        )
        yield from _words(text[:at])
        if special:
            yield special
        text = text[at + len(special) :]


def _words(text: str) -> Iterator[str]:
    text = "".join(sign.lower() for sign in unicodedata.normalize("NFC", text))
    kinds = [_kind(sign) for sign in text]
    at = 0
    while at < len(text):
        ending = next((e for e in _ENDINGS if text.startswith(e, at)), "")
        end = at + (len(ending) or 1)
        if not ending and kinds[at] in "LS":
            while end < len(text) and kinds[end] == kinds[at]:
                end += 1
        if kinds[at] != " ":
            yield text[at:end]
        at = end


def _kind(sign: str) -> str:
    """L: a letter, N: a number, S: another sign, or a space."""
    if sign.isspace() and sign not in _SEPARATORS:
        return " "
    first = unicodedata.category(sign)[0]
    return first if first in "LN" else "S"


@lru_cache(maxsize=1)
def _signs() -> tuple[str, ...]:
    """The letter that stands for each byte: itself where it can be printed, else one of its own."""
    printed = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printed else next(others)) for byte in range(256))


@lru_cache(maxsize=4)
def load_clip_tokens(folder: Path) -> ClipTokens:
    """Read the merges.txt of a tokenizer's folder.

    Raises:
        OSError: there is none that can be read.
    """
    merges: dict[tuple[str, str], int] = {}
    for line in (folder / "merges.txt").read_text("utf-8").splitlines():
        first, space, second = line.partition(" ")
        if space and not line.startswith("#version"):
            merges.setdefault((first, second), len(merges))
    return ClipTokens(merges)
