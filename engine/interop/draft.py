"""A job while it is being made from another trainer's settings, with the report beside it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.interop.report import Imported, Line, Outcome
from engine.interop.values import Misfit, fit, is_nothing
from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import check
from engine.schema.job_file import to_toml
from engine.schema.options import get_at, option_at, options, set_at

_UNSET: Any = object()
_SECRET = re.compile(r"(api_key|_token|password)$|^secrets\b", re.IGNORECASE)
FOLDER = "dataset.folders[]."


class Draft:
    """Collects values and lines. Nothing that is handed to it disappears without a line.

    `folder` is where the settings file lies; relative paths that exist from there become absolute.
    Values of `dataset.folders[].…` are kept for all folders, which may have their own.
    """

    def __init__(self, peer: str, folder: Path | None = None) -> None:
        self.peer = peer
        self.folder = folder
        self.data: dict[str, Any] = {}
        self.lines: list[Line] = []
        self.notes: list[str] = []
        self.spelling: dict[str, str] = {}  # a name → how this peer spells it in its file
        self.originals: dict[str, Any] = {}  # a name → its value as it stands in the file
        self.partial = False  # other settings stand elsewhere: no defaults are written out
        self.cut = ""  # a beginning of places that the file does not have
        self.for_folders: dict[str, Any] = {}  # key of a folder's field → value for all
        self.folders: list[dict[str, Any]] = []

    @property
    def architecture(self) -> str:
        """The id, once it is known; SD 1.x until then."""
        return str(get_at(self.data, "model.architecture"))

    def note(self, words: str) -> None:
        """Say something about the settings as a whole, once."""
        if words not in self.notes:
            self.notes.append(words)

    def add(
        self,
        key: str,
        value: Any,
        outcome: Outcome,
        path: str = "",
        new: Any = None,
        why: str = "",
        known: bool = True,
    ) -> None:
        """Add a line to the report; secrets are not repeated in it."""
        named = self.spelling.get(key, key)
        named = self.spelling.get(named, named).removeprefix(self.cut)
        held = self.originals.get(key, value) if outcome != "default" else value
        if held and _SECRET.search(key):
            held = "(hidden)"
        self.lines.append(Line(named, copy.deepcopy(held), outcome, path, new, why, known))

    def respell(self, key: str, spelling: str, value: Any) -> None:
        """Say how a name and its value stand in the file, where they were changed on the way."""
        self.spelling[key] = spelling
        self.originals[key] = value

    def take(
        self, key: str, value: Any, path: str, new: Any = _UNSET, why: str = "", *, to: Any = None
    ) -> bool:
        """Put a value into the job: `value` itself, or `new` where it means another one here.

        `to` is the folder the value is for, where `path` is a folder's field; without it, all.
        What does not fit ends as a line too. Returns whether it was taken.
        """
        meant = value if new is _UNSET else new
        option = options().get(path)
        if option is None:
            self.drop(key, value, "Graft has no such setting")
            return False
        if not option.applies(self.architecture):
            label = ARCHITECTURES[self.architecture].label
            self.drop(key, value, f"it is no setting of {label} here")
            return False
        try:
            held = fit(path, self._absolute(meant) if option.hints.path else meant)
        except Misfit as misfit:
            self.refuse(key, value, f"{misfit}")
            return False
        had = option.choices_of(self.architecture)
        if option.kind == "choice" and held not in had:
            words = " or ".join(str(choice) for choice in had)
            self.refuse(key, value, f"{option.hints.label} is {words} here")
            return False
        if path.startswith(FOLDER):
            holder = self.for_folders if to is None else to
            holder[option.key] = held
        else:
            set_at(self.data, path, held)
        was = self.originals.get(key, value)
        outcome: Outcome = "taken" if not why and same(was, held) else "changed"
        self.add(key, value, outcome, path, held, why)
        return True

    def default(self, key: str, path: str, new: Any, why: str = "") -> None:
        """Write out a value that the other trainer takes when nothing is said."""
        option = options().get(path)
        if option is None or self.partial or not option.applies(self.architecture):
            return
        held = fit(path, new)
        if path.startswith(FOLDER):
            self.for_folders.setdefault(option.key, held)
        else:
            set_at(self.data, path, held)
        self.add(key, None, "default", path, held, why)

    def has(self, path: str) -> bool:
        """Whether a value was put at a path."""
        here: Any = self.data
        for step in path.split("."):
            if not isinstance(here, Mapping) or step not in here:
                return False
            here = here[step]
        return True

    def drop(self, key: str, value: Any, why: str) -> None:
        """Say that a setting has no counterpart."""
        self.add(key, value, "no counterpart", why=why)

    def unknown(self, key: str, value: Any, whose: str, near: str = "") -> None:
        """Say that a name is none of the other trainer's, and which one is most alike."""
        hint = f"; did you mean {near}?" if near else ""
        why = f"it is no option of {whose} that Graft knows{hint}"
        self.add(key, value, "no counterpart", why=why, known=False)

    def refuse(self, key: str, value: Any, why: str) -> None:
        """Say that a setting cannot be used, and why."""
        self.add(key, value, "refused", why=why)

    def unset(self, key: str, value: Any) -> None:
        """Say that a setting was there without saying anything."""
        self.add(key, value, "unset")

    def add_folder(self, values: Mapping[str, Any]) -> None:
        """Add a folder of pictures with its own values."""
        self.folders.append(dict(values))

    def _absolute(self, value: Any) -> Any:
        if not isinstance(value, str) or is_nothing(value) or self.folder is None:
            return value
        try:
            path = Path(value).expanduser()
            there = path if path.is_absolute() else self.folder / path
            return str(there.resolve()) if there.exists() else value
        except (OSError, ValueError, RuntimeError):
            return value

    def located(self, value: Any) -> Path | None:
        """The file or folder a value names, if it is there."""
        if not isinstance(value, str) or not value.strip():
            return None
        try:
            path = Path(str(self._absolute(value))).expanduser()
            return path if path.exists() else None
        except (OSError, ValueError, RuntimeError):
            return None

    def finished(self) -> Imported:
        """Put the folders together, check the job, and close the report."""
        if self.folders:
            set_at(self.data, "dataset.folders", [self._complete(f) for f in self.folders])
        elif self.for_folders:
            # Kept on an empty folder, so that the form has them when a path is chosen.
            set_at(self.data, "dataset.folders", [self._complete({"path": ""})])
        checked = check(self.data)
        return Imported(
            self.peer, self.data, tuple(self.lines), checked.problems, tuple(self.notes)
        )

    def _complete(self, own: dict[str, Any]) -> dict[str, Any]:
        merged = {**self.for_folders, **own}
        if merged.get("role", "train") != "regularization" and "loss_weight" not in own:
            merged.pop("loss_weight", None)
        defaults = {key: option_at(f"{FOLDER}{key}").default for key in merged}
        return {key: v for key, v in merged.items() if key == "path" or v != defaults[key]}


def same(old: Any, new: Any) -> bool:
    """Whether a person would read both as the same value."""
    if type(old) is type(new) and old == new:
        return True
    if isinstance(old, bool) or isinstance(new, bool):
        return str(old).lower() == str(new).lower()
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(same, old, new))
    if isinstance(old, int | float | str) and isinstance(new, int | float | str):
        try:
            return float(old) == float(new)
        except (ValueError, OverflowError):
            return str(old) == str(new)
    if isinstance(new, list):
        return [w.strip() for w in str(old).strip("[]() ").split(",")] == [str(n) for n in new]
    return str(old) == str(new)


def written(imported: Imported) -> str:
    """The job file of an import."""
    return to_toml(imported.data)
