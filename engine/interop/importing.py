"""Settings of any other trainer into a job: what they are is found from what they hold."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.interop import ai_toolkit, kohya_ss, lets, onetrainer, sd_scripts
from engine.interop.reading import ImportProblem, parse, read_text
from engine.interop.report import Imported
from engine.schema.options import options

_NOBODYS = (
    "These are no settings of a trainer that Graft knows. It reads sd-scripts (a command line, a "
    "config file, a dataset config), kohya_ss, OneTrainer, LoRA_Easy_Training_Scripts and "
    "ai-toolkit."
)
_COMMAND = re.compile(r"(^|\s)--[A-Za-z]\w+")
_ASSIGNMENT = re.compile(r"^\s*([\w\"'][\w.\"'-]*\s*=|\[|\{)", re.MULTILINE)


def import_settings(source: str) -> Imported:
    """Import what a person gives: the path of a file, or the text of a command or a file.

    Raises:
        ImportProblem: it cannot be read, or nobody's.
    """
    path = _as_path(source)
    return import_text(source) if path is None else import_file(path)


def _as_path(source: str) -> Path | None:
    """The file a text names; None if it is no name of a file."""
    if "\n" in source or len(source) > 1000 or _COMMAND.search(source):
        return None
    try:
        path = Path(source.strip().strip("\"'")).expanduser()
        is_name = path.is_file() or bool(path.suffix) or os.sep in source
    except (OSError, ValueError, RuntimeError):
        return None
    return path if is_name and not _ASSIGNMENT.match(source) else None


def import_file(path: Path) -> Imported:
    """Import a file.

    Raises:
        ImportProblem: it cannot be read, or nobody's.
    """
    text = read_text(path)
    return import_text(text, path.name, path.resolve().parent)


def import_text(
    text: str, name: str = "", folder: Path | None = None, architecture: str = ""
) -> Imported:
    """Import the text of a file or a command; `folder` is where relative paths are meant from.

    With an `architecture`, options of sd-scripts without a script are a piece of a job for it.

    Raises:
        ImportProblem: it cannot be read, or nobody's.
    """
    if not text.strip():
        raise ImportProblem("There is nothing to import.")
    if looks_like_command(text) and Path(name).suffix.lower() not in (".toml", ".json", ".yaml"):
        return sd_scripts.import_command(text, folder, architecture)
    tree = parse(text, name)
    if not isinstance(tree, Mapping):
        raise ImportProblem(_NOBODYS)
    return import_tree({str(key): value for key, value in tree.items()}, folder, architecture)


def looks_like_command(text: str) -> bool:
    """Whether a text is a command line and no file of settings."""
    first = next((line for line in text.splitlines() if line.strip()), "").lstrip()
    return (
        bool(_COMMAND.search(text)) and first[:1] not in ("{", "[") and not _ASSIGNMENT.match(first)
    )


def import_tree(
    tree: Mapping[str, Any], folder: Path | None = None, architecture: str = ""
) -> Imported:
    """Import settings that are read already; see `import_text`.

    Raises:
        ImportProblem: they are nobody's, or a job of our own.
    """
    ours = [key in options() and isinstance(value, Mapping) for key, value in tree.items()]
    if "schema" in tree or isinstance(tree.get("preset"), Mapping) or (ours and all(ours)):
        raise ImportProblem("This is a job or a preset of Graft: open it instead.")
    if ai_toolkit.is_config(tree):
        return ai_toolkit.import_config(tree, folder)
    if onetrainer.is_config(tree):
        return onetrainer.import_config(tree, folder)
    if lets.is_file(tree):
        return lets.import_file(tree, folder)
    if kohya_ss.is_preset(tree):
        return kohya_ss.import_preset(tree, folder)
    if isinstance(tree.get("datasets"), list):
        return sd_scripts.import_dataset_config(tree, folder)
    if sd_scripts.is_options(tree):
        return sd_scripts.import_config(tree, folder, architecture)
    raise ImportProblem(_NOBODYS)
