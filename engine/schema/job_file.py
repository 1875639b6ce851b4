"""Job files: TOML in and out, and single values set by `--set table.key=value`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.schema.job import SCHEMA_VERSION, Job
from engine.schema.migrate import migrate
from engine.schema.options import canonical_key, did_you_mean, options, paths_named, set_at
from engine.schema.problem import JobError, Problem
from engine.schema.whole_file import write_whole

MAX_BYTES = 8 * 1024 * 1024


def read_toml(path: Path) -> dict[str, Any]:
    """Read a job or preset file as nested mappings, migrated to the present schema.

    The `schema` key is taken out; values are not validated here (see `engine.schema.check`). Paths
    that are relative are meant from the file's own folder, and come back absolute.

    Raises:
        JobError: no such file, not TOML, not text, too large, or of a newer schema.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise JobError([Problem("", "This is no job file: it is larger than 8 MB.")], str(path))
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise JobError([Problem("", "There is no such file.")], str(path)) from None
    except UnicodeDecodeError as error:
        words = f"It is not UTF-8 text (byte {error.start})."
        raise JobError([Problem("", words)], str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise JobError([Problem("", f"It is not valid TOML: {error}.")], str(path)) from None
    except OSError as error:
        words = f"It cannot be read: {error.strerror or error}."
        raise JobError([Problem("", words)], str(path)) from None
    tree = migrate(data, str(path))
    _make_absolute(tree, "", path.resolve().parent)
    return tree


def read_job(path: Path) -> dict[str, Any]:
    """Read a job file as `read_toml` does; a copy of a preset, completed, is a job too.

    Raises:
        JobError: as `read_toml`.
    """
    data = read_toml(path)
    data.pop("preset", None)
    return data


def _make_absolute(data: dict[str, Any], general: str, folder: Path) -> None:
    """Turn relative paths into absolute ones, in place.

    A base model may also be a hub id, which looks like a path: it is one only if it exists.
    """
    for key, value in list(data.items()):
        own = canonical_key(general, key)
        entry = options().get(f"{general}.{own}" if general else own or "")
        if entry is None:
            continue
        if entry.kind == "table" and isinstance(value, dict):
            _make_absolute(value, entry.path, folder)
        elif entry.kind == "tables" and isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    _make_absolute(item, f"{entry.path}[]", folder)
        elif entry.hints.path and isinstance(value, str) and value.strip():
            meant = folder / Path(value).expanduser()
            if entry.hints.path != "model" or meant.exists():
                data[key] = str(meant)


def to_toml(data: Mapping[str, Any], head: Mapping[str, Any] | None = None) -> str:
    """Write nested mappings as TOML in the schema's order; `head` stands before the tables.

    None is left out where it is the default, and written "off" where it is not.
    """
    import tomlkit  # here, as the window reads jobs at its start and writes one only later

    document = tomlkit.document()
    document["schema"] = SCHEMA_VERSION
    for key, value in (head or {}).items():
        document[key] = value
    for key, value in _ordered(data, ""):
        document[key] = value
    return tomlkit.dumps(document)


def _ordered(data: Mapping[str, Any], general: str) -> Iterable[tuple[str, Any]]:
    prefix = f"{general}." if general else ""
    keys = [o.key for path, o in options().items() if path.rpartition(".")[0] == general]
    for key in [*(k for k in keys if k in data), *(k for k in data if k not in keys)]:
        entry = options().get(f"{prefix}{key}")
        value = data[key]
        if value is None:
            if entry is not None and entry.default is not None:
                yield key, "off"
        elif entry is not None and entry.kind == "table" and isinstance(value, Mapping):
            inner = dict(_ordered(value, entry.path))
            if inner:
                yield key, inner
        elif entry is not None and entry.kind == "tables" and isinstance(value, list):
            if value:
                yield key, _array_of_tables(value, f"{entry.path}[]")
        else:
            yield key, value


def _array_of_tables(items: list[Any], general: str) -> Any:
    import tomlkit

    array = tomlkit.aot()
    for item in items:
        table = tomlkit.table()
        for key, value in _ordered(item, general):
            table[key] = value
        array.append(table)
    return array


def job_data(job: Job) -> dict[str, Any]:
    """The whole job as nested mappings, every value given."""
    return job.model_dump()


def save_job(path: Path, data: Mapping[str, Any], head: Mapping[str, Any] | None = None) -> None:
    """Write a job file whole or not at all."""
    write_whole(path, to_toml(data, head).encode())


def apply_sets(data: dict[str, Any], sets: Iterable[str]) -> list[Problem]:
    """Apply `table.key=value` texts to a job's data; a lone key or alias is found by name.

    Values are read as TOML, else taken as text. Returns the problems with the texts themselves.
    """
    problems = []
    for text in sets:
        name, equals, value = text.partition("=")
        path, problem = _path_of(name.strip())
        if problem is None and not equals:
            problem = Problem(path, f"--set {text}: write {name}=VALUE.")
        if problem is not None:
            problems.append(problem)
            continue
        try:
            set_at(data, path, _value_of(value.strip()))
        except (IndexError, TypeError, KeyError):
            problems.append(Problem(path, f"--set {name}: there is no such item in the job."))
    return problems


def _value_of(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _path_of(name: str) -> tuple[str, Problem | None]:
    """Find the concrete path a person means: a full one, or a lone key or alias."""
    if "." in name:
        table, _, key = name.rpartition(".")
        own = canonical_key(re.sub(r"\[\d+\]", "[]", table), key)
        if own is not None:
            return f"{table}.{own}", None
        near = did_you_mean(key, table)
    else:
        found = [path for path in paths_named(name) if "[]" not in path]
        if len(found) == 1:
            return found[0], None
        if found:
            words = f"--set: '{name}' can be {', '.join(found)}; write one of them."
            return name, Problem(name, words)
        near = did_you_mean(name)
    hint = f" Did you mean {near[1].path}?" if near else ""
    return name, Problem(name, f"--set: '{name}' is not an option.{hint}")
