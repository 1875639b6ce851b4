"""The demo's tokenizer: CLIP's byte-level BPE with merges for the words of its captions.

Every caption word is one token; any other text falls into letters (spec: demo-model, "Tokenizer").
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from resources.demo.make.draw import COLORS, EARS, PLACES, SHAPES, SIZES

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77


def caption_words() -> list[str]:
    """Every word (and the comma) that a caption of draw.py can have, sorted."""
    grammar = "a on and with of left above background striped dotted happy sad face house roof tree"
    words = {*grammar.split(), "creature", "ears", "trunk", ",", *COLORS, *EARS, *SHAPES, *SIZES}
    words.update(word for place in PLACES for word in place.split())
    words.discard("")
    return sorted(words)


def byte_letters() -> list[str]:
    """The letter that stands for each of the 256 bytes, in GPT-2's and CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until each word is one token."""
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while any(len(word) > 1 for word in pieces):
        pairs = Counter(pair for word in pieces for pair in pairwise(word))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word in pieces:
            at = 0
            while at < len(word) - 1:
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = ["".join(best)]
                at += 1
    return merges


def write_vocabulary(folder: Path) -> None:
    """Write vocab.json and merges.txt, the two files of CLIP's tokenizers, into `folder`."""
    letters = byte_letters()
    merges = learn_merges(caption_words())
    entries = [*letters, *(f"{letter}</w>" for letter in letters)]
    entries += ["".join(pair) for pair in merges] + [START, END]
    vocabulary = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")


def new_tokenizer(folder: Path) -> CLIPTokenizer:
    """Leave the tokenizer in `folder` and return it."""
    write_vocabulary(folder)
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=LENGTH,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
