"""Presets on disk: the built-in ones, read-only, and the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from engine.schema.presets import Preset, read_preset, save_preset
from engine.schema.problem import JobError

BUILT_IN = Path(__file__).resolve().parent.parent / "resources" / "presets"


class PresetStore:
    """All presets of an architecture, and what can be done with the user's own."""

    def __init__(self, own: Path, built_in: Path = BUILT_IN) -> None:
        self._own, self._built_in = own, built_in
        self.unreadable: list[str] = []
        self._known: dict[Path, tuple[int, Preset]] = {}  # when it was changed, and what it holds

    def all(self, architecture: str) -> list[Preset]:
        """Built-in presets in the order of their files, then the user's own by name."""
        self.unreadable = []
        return [*self._built_in_of(architecture), *self._own_of(architecture)]

    def default(self, architecture: str) -> Preset | None:
        """The preset a new job begins with; files behind it are not read."""
        presets = chain(self._built_in_of(architecture), self._own_of(architecture))
        return next(presets, None)

    def named(self, architecture: str, name: str) -> Preset | None:
        """The preset of a name; the user's own goes before a built-in one."""
        presets = chain(self._own_of(architecture), self._built_in_of(architecture))
        return next((p for p in presets if p.name == name), None)

    def _built_in_of(self, architecture: str) -> Iterator[Preset]:
        return (p for p in self._read(self._built_in, True) if p.architecture == architecture)

    def _own_of(self, architecture: str) -> Iterator[Preset]:
        own = (p for p in self._read(self._own, False) if p.architecture == architecture)
        yield from sorted(own, key=lambda p: p.name.casefold())

    def _read(self, folder: Path, built_in: bool) -> Iterator[Preset]:
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            try:
                stamp = path.stat().st_mtime_ns
                known = self._known.get(path)
                if known is None or known[0] != stamp:
                    known = self._known[path] = (stamp, read_preset(path, built_in))
            except (JobError, OSError) as error:
                self.unreadable.append(str(error))
            else:
                yield known[1]

    def save(self, preset: Preset) -> Preset:
        """Write a preset to the user's folder; one of its name and architecture is replaced.

        Raises:
            OSError: no space, no permission.
        """
        former = [p for p in self._read(self._own, False) if _same(p, preset)]
        path = former[0].path if former and former[0].path else self._free_path(preset)
        save_preset(preset, path)
        return replace(preset, path=path, built_in=False)

    def exists(self, architecture: str, name: str) -> bool:
        """Whether the user has a preset of this name."""
        return any(
            p.name == name and p.architecture == architecture for p in self._read(self._own, False)
        )

    def rename(self, preset: Preset, name: str) -> Preset:
        """Give one of the user's presets another name.

        Raises:
            OSError: no permission.
        """
        former = preset.path
        saved = self.save(replace(preset, name=name))
        if former is not None and former != saved.path and former.parent == self._own:
            former.unlink(missing_ok=True)
        return saved

    def delete(self, preset: Preset) -> None:
        """Move one of the user's presets to the system's trash.

        Raises:
            OSError: it cannot be moved.
        """
        if preset.path is None or preset.built_in:
            return
        from send2trash import send2trash

        send2trash(str(preset.path))

    def import_file(self, path: Path) -> Preset:
        """Copy a preset file into the user's folder.

        Raises:
            JobError: it is no preset that can be read.
            OSError: no permission.
        """
        preset = read_preset(path)
        name, count = preset.name, 2
        while self.exists(preset.architecture, name):
            name, count = f"{preset.name} {count}", count + 1
        return self.save(replace(preset, name=name))

    def _free_path(self, preset: Preset) -> Path:
        stem = re.sub(r"[^\w\- ]+", "", preset.name).strip().replace(" ", "-").lower() or "preset"
        stem = f"{preset.architecture}-{stem}"[:80]
        path, count = self._own / f"{stem}.toml", 2
        while path.exists():
            path, count = self._own / f"{stem}-{count}.toml", count + 1
        return path


def _same(one: Preset, other: Preset) -> bool:
    return one.name == other.name and one.architecture == other.architecture
