"""Files of strangers, read within bounds: size, depth and number of values.

A JSON, TOML or YAML file can be made to fill memory or to nest without end; each such one is
refused in words, never with a traceback.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 2 * 1024 * 1024
MAX_YAML = 128 * 1024  # it is read a hundred times more slowly
MAX_DEPTH = 24
MAX_VALUES = 50_000


class ImportProblem(Exception):
    """A text that cannot be imported; the message says why and what to give instead."""


def read_text(path: Path) -> str:
    """Read a settings file as text.

    Raises:
        ImportProblem: no such file, a folder, too large, or not text.
    """
    try:
        if path.is_dir():
            raise ImportProblem(f"{path} is a folder; give the settings file in it.")
        if path.stat().st_size > MAX_BYTES:
            raise ImportProblem(f"{path.name} is no settings file: it is larger than 2 MB.")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ImportProblem(f"There is no file {path}.") from None
    except UnicodeDecodeError:
        raise ImportProblem(f"{path.name} is no settings file: it is not text.") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise ImportProblem(f"{path} cannot be read: {error}.") from None


def parse(text: str, name: str) -> Mapping[str, Any] | list[Any]:
    """Read JSON, TOML or YAML, whichever it is; the ending of `name` says what to try first.

    Raises:
        ImportProblem: it is none of them, or beyond the bounds.
    """
    if len(text) > MAX_BYTES:
        raise ImportProblem("This is no settings file: it is larger than 2 MB.")
    ending = Path(name).suffix.lower()
    if text.lstrip()[:1] in ("{", "[") and ending != ".toml":
        readers = [_json] if ending == ".json" else [_json, _toml, _yaml]
    elif ending in (".yaml", ".yml"):
        readers = [_yaml]
    elif ending == ".toml":
        readers = [_toml]
    else:
        readers = [_toml, _yaml]
    said, tree = "", None
    for reader in readers:
        try:
            tree = reader(text)
        except ImportProblem as problem:
            said = said or str(problem)
            continue
        if isinstance(tree, Mapping | list):
            _measure(tree)
            return tree
    if tree is not None or not ending:
        raise ImportProblem("These are no settings: there are no names with values in it.")
    raise ImportProblem(said)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ImportProblem("It is nested too deeply.") from None
    except ValueError as error:
        raise ImportProblem(f"It is not valid JSON: {error}.") from None


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ImportProblem("It is nested too deeply.") from None
    except ValueError as error:
        raise ImportProblem(f"It is not valid TOML: {error}.") from None


def _yaml(text: str) -> Any:
    if len(text) > MAX_YAML:
        raise ImportProblem("It is larger than 128 kB, which no settings in YAML are.")
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML without merge keys, whose expansion has no bound."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Refuse `<<`."""
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    raise ImportProblem("It has YAML merge keys (<<); write the values out.")

    try:
        return yaml.load(text, Loader=Loader)
    except RecursionError:
        raise ImportProblem("It is nested too deeply.") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        first = str(error).strip().splitlines() or [""]
        raise ImportProblem(f"It is not valid YAML: {first[0]}.") from None


def _measure(tree: Any) -> None:
    """Walk a tree and give up beyond the bounds; shared parts count each time they are met.

    Raises:
        ImportProblem: too deep or too many values.
    """
    left = [(tree, 0)]
    seen = 0
    while left:
        value, depth = left.pop()
        seen += 1
        if depth > MAX_DEPTH:
            raise ImportProblem("It is nested too deeply to be settings.")
        if seen > MAX_VALUES:
            raise ImportProblem("It has too many values to be settings.")
        if isinstance(value, Mapping):
            left += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list | tuple | set):
            if len(value) > MAX_VALUES:
                raise ImportProblem("It has too many values to be settings.")
            left += [(item, depth + 1) for item in value]
