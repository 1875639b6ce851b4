"""From the text beside a picture to the caption of one sample: a pure function of its draws.

The window shows draws with this very function. The order of the rules is that of data-loop 1.3,
"ours".
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass

from engine.plan.wildcards import Lists, expand
from engine.schema.dataset_folder import Folder


@dataclass(frozen=True)
class Tags:
    """A caption in parts: fixed tags, tags that may move or go, fixed tags at the end."""

    fixed: list[str]
    flexible: list[str]
    suffix: list[str]

    @property
    def all(self) -> list[str]:
        """Every tag in order."""
        return [*self.fixed, *self.flexible, *self.suffix]


def caption(
    text: str,
    folder: Folder,
    rng: random.Random,
    step: int = 0,
    steps: int = 0,
    trigger_word: str = "",
    *,
    epoch: int = 0,
    lists: Lists | None = None,
) -> str:
    """Make the caption of one sample of the raw `text`.

    Args:
        text: what the caption file holds, all lines.
        folder: the options.
        rng: the sample's own generator; the same one gives the same caption.
        step, steps: the run's position and length, for the tag warm-up.
        trigger_word: replaces `[trigger]`, and is put in front where the caption lacks it.
        epoch: counted from 1, for emptying every n-th one; 0 leaves that out.
        lists: lines for `__name__` wildcards.
    """
    line = _line(text, folder, rng)
    if folder.wildcards:
        line = expand(line, rng, lists)
    parts = (folder.caption_prefix, line, folder.caption_suffix)
    line = " ".join(part.strip() for part in parts if part.strip())
    line, triggered = _with_trigger(line, trigger_word.strip(), folder.tag_separator)
    if _is_dropped(folder, rng, epoch):
        return ""
    line = _tagged(line, folder, rng, step, steps, keep=folder.keep_tags + triggered)
    if folder.group_separator:
        pieces = [piece.strip() for piece in line.split(folder.group_separator)]
        line = _joint(folder.tag_separator).join(pieces)
    return line


def _line(text: str, folder: Folder, rng: random.Random) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    if folder.multi_line == "random" or folder.wildcards:
        return rng.choice(lines)
    return lines[0]


def _with_trigger(line: str, word: str, separator: str) -> tuple[str, int]:
    """Put the trigger word in; the second value is how many tags were added in front (0 or 1)."""
    if "[trigger]" in line:
        return line.replace("[trigger]", word).strip(), 0
    if not word or re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line):
        return line, 0
    return (f"{word}{_joint(separator)}{line}" if line else word), 1


def _is_dropped(folder: Folder, rng: random.Random, epoch: int) -> bool:
    dropped = folder.caption_dropout > 0 and rng.random() < folder.caption_dropout
    every = folder.caption_dropout_every_epochs
    return dropped or (every > 0 and epoch > 0 and epoch % every == 0)


def _tagged(line: str, folder: Folder, rng: random.Random, step: int, steps: int, keep: int) -> str:
    """Warm-up, shuffle and tag dropout; the keep mark is taken out in any case."""
    moves = folder.shuffle_tags or folder.tag_dropout > 0 or folder.tag_warmup > 0
    marked = bool(folder.keep_separator) and folder.keep_separator in line
    if not moves and not marked:
        return line
    tags = split_tags(line, folder, keep)
    flexible = tags.flexible
    if folder.tag_warmup > 0:
        flexible = flexible[: _warmed_up(len(flexible), folder, step, steps)]
    if folder.shuffle_tags:
        flexible = rng.sample(flexible, len(flexible))
    if folder.tag_dropout > 0:
        flexible = [tag for tag in flexible if rng.random() >= folder.tag_dropout]
    return _joint(folder.tag_separator).join([*tags.fixed, *flexible, *tags.suffix])


def split_tags(line: str, folder: Folder, keep: int | None = None) -> Tags:
    """Part a caption at the keep mark (fixed, flexible, fixed), else after `keep` tags."""
    keep = folder.keep_tags if keep is None else keep
    separator = folder.tag_separator
    if folder.keep_separator and folder.keep_separator in line:
        parts = [_tags(part, separator) for part in line.split(folder.keep_separator)]
        rest = [tag for part in parts[2:] for tag in part]
        return Tags(parts[0], parts[1], rest)
    tags = _tags(line, separator)
    return Tags(tags[:keep], tags[keep:], [])


def _tags(text: str, separator: str) -> list[str]:
    return [tag.strip() for tag in text.split(separator) if tag.strip()]


def _warmed_up(count: int, folder: Folder, step: int, steps: int) -> int:
    """How many flexible tags are used at a step (spec: data-loop 1.3, rule 5)."""
    warmup = folder.tag_warmup if folder.tag_warmup >= 1 else folder.tag_warmup * steps
    if warmup <= 0 or step >= warmup:
        return count
    start = min(folder.tag_warmup_start, count)
    return math.floor(step * (count - start) / warmup) + start


def _joint(separator: str) -> str:
    """What stands between tags: the separator and a space, unless it is white space itself."""
    return separator if separator.isspace() else f"{separator} "
