"""The pinned packages of each level, read from pyproject.toml, the one place they are written."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

LEVELS: tuple[str, ...] = ("window", "engine", "dev")
"""What can be installed, each on top of the ones before it."""

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^\]]*\])?==(?P<version>[^\s;,*]+)$")


def normalized(name: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Pin:
    """One package at one version, e.g. ``torch==2.13.0``."""

    name: str
    version: str
    requirement: str

    @classmethod
    def parse(cls, requirement: str) -> Pin:
        """Read ``name[extras]==version``; raises ValueError on anything looser."""
        found = _PIN.match(requirement.strip())
        if not found:
            raise ValueError(f"pyproject.toml: '{requirement}' is not an exact pin (name==version)")
        return cls(normalized(found["name"]), found["version"], requirement.strip())


@dataclass(frozen=True)
class Pins:
    """Everything pyproject.toml says about what to install."""

    version: str
    """Graft's own."""
    levels: dict[str, tuple[Pin, ...]]
    constraints: dict[str, tuple[Pin, ...]]
    """What a level's packages bring along, held to one version too."""
    installer: Pin

    def up_to(self, level: str) -> tuple[Pin, ...]:
        """The packages of a level and of all the levels below it."""
        wanted = LEVELS[: LEVELS.index(level) + 1]
        return tuple(pin for name in wanted for pin in self.levels[name])

    def constraints_up_to(self, level: str) -> tuple[Pin, ...]:
        """The held versions of what ``up_to(level)`` brings along."""
        wanted = LEVELS[: LEVELS.index(level) + 1]
        return tuple(pin for name in wanted for pin in self.constraints[name])

    def version_of(self, name: str) -> str:
        """The pinned version of a package; raises KeyError when it is not pinned."""
        for pins in self.levels.values():
            for pin in pins:
                if pin.name == normalized(name):
                    return pin.version
        raise KeyError(name)

    def digest(self, level: str) -> str:
        """A short hash of a level's own pins: the stamp compares it."""
        lines = [pin.requirement for pin in (*self.levels[level], *self.constraints[level])]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def read_pins(root: Path) -> Pins:
    """Read ``root/pyproject.toml``; raises ValueError for a pin that is not exact."""
    with open(root / "pyproject.toml", "rb") as file:
        table = tomllib.load(file)
    project = table["project"]
    extras = project["optional-dependencies"]
    held = table["tool"]["graft"]["brought-along"]
    written = {"window": project["dependencies"], "engine": extras["engine"], "dev": extras["dev"]}
    return Pins(
        version=project["version"],
        levels={level: tuple(map(Pin.parse, written[level])) for level in LEVELS},
        constraints={level: tuple(map(Pin.parse, held[level])) for level in LEVELS},
        installer=Pin.parse(table["tool"]["graft"]["installer"]),
    )
