"""A pasted command taken apart: quotes and line continuations of bash, cmd and PowerShell."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from engine.interop.reading import MAX_BYTES, ImportProblem

_WINDOWS = re.compile(r"[\^`][ \t]*\r?$|[A-Za-z]:\\", re.MULTILINE)
_CMD = re.compile(r"\^[ \t]*\r?$|^@echo ", re.MULTILINE)
_CONTINUED = re.compile(r"[\\^`][ \t]*\r?\n")
_MOST_WORDS = 10_000

Arguments = list[tuple[str, list[str]]]
"""Names without their dashes, each with the words that follow it."""


@dataclass(frozen=True)
class Command:
    """A command: what stands before the script is the launcher's."""

    script: str = ""  # the file's name without .py; empty if none is named
    launcher: Arguments = field(default_factory=list)
    options: Arguments = field(default_factory=list)


def split_command(text: str) -> Command:
    """Take a command apart.

    On Windows the backslash is part of a path; elsewhere it takes the meaning from the next sign.

    Raises:
        ImportProblem: a quotation mark is missing, or it is no command.
    """
    if len(text) > MAX_BYTES:
        raise ImportProblem("This is no command: it is longer than 2 MB.")
    windows, cmd = bool(_WINDOWS.search(text)), bool(_CMD.search(text))
    text = _CONTINUED.sub(" ", text.replace("\r\n", "\n"))
    lines = [
        line for line in text.splitlines() if not line.lstrip().startswith(("#", "::", "REM "))
    ]
    words = _words("\n".join(lines), windows, cmd)
    if len(words) > _MOST_WORDS:
        raise ImportProblem("This is no command: it has too many words.")
    scripts = [i for i, word in enumerate(words) if word.lower().endswith(".py")]
    at = scripts[0] if scripts else -1
    before, after = words[: max(at, 0)], words[at + 1 :]
    script = re.split(r"[\\/]", words[at])[-1][:-3] if scripts else ""
    return Command(script, _arguments(before), _arguments(after))


def _words(text: str, windows: bool, cmd: bool) -> list[str]:
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split = True
    reader.commenters = ""
    if windows:
        reader.escape = ""
    if cmd:  # where ' is a letter, and %% stands for % in files
        reader.quotes = '"'
    try:
        words = list(reader)
    except ValueError:
        raise ImportProblem("A quotation mark is missing in the command.") from None
    return [word.replace("%%", "%") for word in words] if cmd else words


def _arguments(words: list[str]) -> Arguments:
    found: Arguments = []
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            found.append((name.replace("-", "_"), [value] if equals else []))
        elif found:
            found[-1][1].append(word)
    return found
