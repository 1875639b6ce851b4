"""A job on its way to another trainer: words of a command, and what that trainer lacks."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.options import get_at, options


@dataclass(frozen=True)
class Exported:
    """Files by name with their text, and what could not be taken along, field by field."""

    files: Mapping[str, str]
    lacks: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """What is lacking, as lines."""
        if not self.lacks:
            return "Everything in the job has a counterpart there."
        return "\n".join(
            [
                f"Not taken along ({len(self.lacks)})",
                *(f"  {path}: {why}" for path, why in self.lacks),
            ]
        )


@dataclass
class Sheet:
    """Collects the words; every field of the job is either used or told as lacking."""

    job: Job
    words: list[str] = field(default_factory=list)
    launcher: list[str] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    lacks: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data: dict[str, Any] = self.job.model_dump()

    @property
    def architecture(self) -> str:
        """The architecture's id."""
        return self.job.model.architecture

    def get(self, path: str) -> Any:
        """A field's value; the field counts as used."""
        self.used.add(path)
        return get_at(self.data, path)

    def put(self, name: str, value: Any) -> None:
        """Write an option with its value."""
        if value is True:
            self.words.append(f"--{name}")
        elif isinstance(value, list):
            self.words += [f"--{name}", *(plain(each) for each in value)]
        elif value is not None and value is not False and value != "":
            self.words += [f"--{name}", plain(value)]

    def take(self, path: str, name: str) -> None:
        """Write an option that means the same there; None and off are left out."""
        if options()[path].applies(self.architecture):
            self.put(name, self.get(path))
        else:
            self.used.add(path)

    def lack(self, path: str, why: str) -> None:
        """Say that a field's value cannot be taken along."""
        self.used.add(path)
        self.lacks[path] = why

    def finish(self) -> tuple[tuple[str, str], ...]:
        """Tell every further field that is not at its default, and was not used."""
        usual = ARCHITECTURES[self.architecture].defaults
        for path, option in options().items():
            if option.kind in ("table", "tables") or "[]" in path or path in self.used:
                continue
            value = get_at(self.data, path)
            if option.applies(self.architecture) and value != usual.get(path, option.default):
                self.lacks[path] = "sd-scripts has no such option"
        return tuple(self.lacks.items())


def plain(value: Any) -> str:
    """A value as a command's word: 0.0001, not 1e-04."""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return f"{value:.10g}" if value else "0"
    return str(value)


def for_bash(words: list[str]) -> str:
    """A script for bash, an option a line."""
    lines = [shlex.join(group) for group in _grouped(words)]
    return "#!/bin/sh\n" + " \\\n  ".join(lines) + "\n"


def for_cmd(words: list[str]) -> str:
    """A script for Windows' cmd, an option a line."""
    lines = [
        subprocess.list2cmdline([word.replace("%", "%%") for word in group])
        for group in _grouped(words)
    ]
    return "@echo off\r\n" + " ^\r\n  ".join(lines) + "\r\n"


def _grouped(words: list[str]) -> list[list[str]]:
    """An option with its values in one group."""
    groups: list[list[str]] = [[]]
    for word in words:
        if (word.startswith("--") or word.endswith(".py")) and groups[-1]:
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups
