"""Settings from text: TOML, `--set a.b=v`, or settings of another trainer (spec: gui 4.2)."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.schema.check import canonical
from engine.schema.job_file import apply_sets
from engine.schema.options import did_you_mean, get_at, option_at, options, paths_named

if TYPE_CHECKING:  # what knows other trainers is loaded with the first paste
    from engine.interop.report import Imported

FOLDER = "dataset.folders[0]"
_YAML_JOB = re.compile(r"^\s*(---\s*)?job\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Pasted:
    """What was found: values by concrete path, and words that mean nothing here.

    `report` is what became of each setting, where they are another trainer's.
    """

    taken: tuple[tuple[str, Any], ...]
    unknown: tuple[str, ...]
    report: Imported | None = None


def read_settings(text: str, architecture: str = "sd1") -> Pasted:
    """Read settings of any of the known kinds; pieces of them are meant for `architecture`.

    Raises:
        ValueError: none of it can be read, in words.
    """
    from engine.interop.importing import looks_like_command
    from engine.interop.lets import is_file as is_lets
    from engine.interop.sd_scripts import is_options

    text = text.strip()
    if not text:
        raise ValueError("There is nothing to paste.")
    if text.startswith("--set") or " --set " in text:
        return _sets(text)
    if looks_like_command(text) or text[:1] == "{" or _YAML_JOB.match(text):
        return _foreign(text, architecture)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"This is neither TOML nor a command line: {error}.") from None
    ours = any(key in options() for key, value in data.items() if isinstance(value, Mapping))
    if not ours and (is_lets(data) or is_options(data) or isinstance(data.get("datasets"), list)):
        return _foreign(text, architecture)
    return _toml(data)


def _foreign(text: str, architecture: str) -> Pasted:
    from engine.interop.importing import import_text
    from engine.interop.reading import ImportProblem

    try:
        imported = import_text(text, architecture=architecture)
    except ImportProblem as problem:
        raise ValueError(str(problem)) from None
    taken = []
    for path, value in _leaves(imported.data, ""):
        if path == "dataset.folders" and len(value) == 1 and not value[0].get("path"):
            taken += [(f"{FOLDER}.{key}", v) for key, v in value[0].items() if key != "path"]
        elif (path, value) != ("model.architecture", architecture):
            taken.append((path, value))
    told = [line for line in imported.lines if line.outcome == "refused" or not line.known]
    return Pasted(tuple(taken), tuple(str(line) for line in told), imported)


def _toml(data: dict[str, Any]) -> Pasted:
    data.pop("schema", None)
    data.pop("preset", None)
    tree, problems = canonical(data)
    flat = {k: v for k, v in data.items() if not isinstance(v, dict | list)}
    taken = list(_leaves(tree, ""))
    unknown = [str(p.message) for p in problems if p.path not in flat]
    for key, value in flat.items():
        path = _path_of(key)
        if path is None:
            unknown.append(_unknown(key))
        else:
            taken.append((path, value))
    return Pasted(tuple(taken), tuple(unknown))


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if option_at(path).kind == "table" and isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _sets(text: str) -> Pasted:
    words = [w for w in shlex.split(text.replace("\\\n", " ")) if w != "--set"]
    data: dict[str, Any] = {}
    problems = apply_sets(data, words)
    return Pasted(tuple(_leaves(data, "")), tuple(p.message for p in problems))


def _path_of(key: str) -> str | None:
    """The path a lone name means; names of a folder's fields mean the first folder's."""
    if key == "resolution":
        return "dataset.resolution"
    paths = paths_named(key)
    top = [p for p in paths if "[]" not in p]
    if top:
        return top[0]
    folder = [p for p in paths if p.startswith("dataset.folders[].")]
    return folder[0].replace("dataset.folders[]", FOLDER) if folder else None


def _unknown(key: str) -> str:
    near = did_you_mean(key)
    hint = f" Did you mean {near[0]} ({near[1].hints.label})?" if near else ""
    return f"'{key}' is not an option.{hint}"


def changes(pasted: Pasted, data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What pasting would change."""
    return [(path, value) for path, value in pasted.taken if get_at(data, path) != value]
