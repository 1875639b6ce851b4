"""What became of every setting of another trainer: the report that an import ends with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.schema.problem import Problem

Outcome = Literal["taken", "changed", "no counterpart", "refused", "default", "unset"]

HEADS: Mapping[Outcome, str] = {
    "taken": "Taken as they are",
    "changed": "Changed",
    "default": "Not given there, so the other trainer's default counts",
    "no counterpart": "Without a counterpart here",
    "refused": "Refused",
    "unset": "Left empty, at off or as it was there",
}

_COUNTED: Mapping[Outcome, str] = {
    "taken": "taken",
    "changed": "changed",
    "default": "defaults written out",
    "no counterpart": "without a counterpart",
    "refused": "refused",
}


@dataclass(frozen=True)
class Line:
    """One setting of the other trainer.

    Attributes:
        key: its name there, with its place where the name alone is not clear.
        value: what it was there; None for a default that was not written.
        outcome: what became of it.
        path: the field here, a concrete or general path; empty without one.
        new: the value here.
        why: the reason for a change, or what to do instead.
        known: False for a name that is none of the other trainer's.
    """

    key: str
    value: Any
    outcome: Outcome
    path: str = ""
    new: Any = None
    why: str = ""
    known: bool = True

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        if self.outcome == "unset":
            return self.key
        given = f"{self.key} = {shown(self.value)}" if self.outcome != "default" else self.key
        there = f" → {self.path}" if self.path else ""
        if self.path and (self.new is not None or self.outcome != "taken"):
            there += f" = {shown(self.new)}"
        return f"{given}{there}{why}"


@dataclass(frozen=True)
class Imported:
    """An import: `data` is a job's data, ready for `engine.schema.check`.

    `problems` are the errors and warnings of that job; its errors are what the person must fill in
    or mend.
    """

    peer: str
    data: dict[str, Any]
    lines: tuple[Line, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps the job from running as it is."""
        return tuple(p for p in self.problems if p.severity == "error")

    def of(self, outcome: Outcome) -> tuple[Line, ...]:
        """The settings with this outcome, in their order."""
        return tuple(line for line in self.lines if line.outcome == outcome)

    @property
    def unknown(self) -> tuple[Line, ...]:
        """The settings whose names are none of the other trainer's: likely misspelt."""
        return tuple(line for line in self.lines if not line.known)

    def summary(self) -> str:
        """One sentence: what it was, and how many settings ended how."""
        counted = [
            f"{len(self.of(outcome))} {words}"
            for outcome, words in _COUNTED.items()
            if self.of(outcome)
        ]
        return f"Settings of {self.peer}: {', '.join(counted) or 'none'}."

    def text(self) -> str:
        """The whole report as lines of text."""
        parts = [self.summary(), *(f"Note: {note}" for note in self.notes)]
        for outcome, head in HEADS.items():
            found = self.of(outcome)
            if not found:
                continue
            parts += ["", f"{head} ({len(found)})"]
            if outcome == "unset":
                parts.append("  " + ", ".join(line.key for line in found))
            else:
                parts += [f"  {line}" for line in found]
        for severity, head in (("error", "To be filled in or mended"), ("warning", "Warnings")):
            found = [p for p in self.problems if p.severity == severity]
            if found:
                parts += ["", f"{head} ({len(found)})", *(f"  {p}" for p in found)]
        return "\n".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "peer": self.peer,
            "notes": list(self.notes),
            "lines": [
                {
                    "key": line.key,
                    "value": plain(line.value),
                    "outcome": line.outcome,
                    "path": line.path,
                    "new": plain(line.new),
                    "why": line.why,
                }
                for line in self.lines
            ],
            "problems": [
                {"path": p.path, "message": p.message, "severity": p.severity}
                for p in self.problems
            ],
        }


def plain(value: Any) -> Any:
    """A value that JSON can hold: what it cannot is shown as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def shown(value: Any, longest: int = 100) -> str:
    """A value as a person reads it, in one line."""
    if value is None:
        return "off"
    if isinstance(value, str):
        text = value if value and value == value.strip() and "\n" not in value else repr(value)
    else:
        text = json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
