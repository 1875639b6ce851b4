"""sd-scripts' options into a job: a pasted command, its config file, its dataset config.

kohya_ss and LoRA_Easy_Training_Scripts hold the same options under other roofs; they end here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.interop.command_line import Arguments, split_command
from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.option_map import settle, table_of
from engine.interop.reading import ImportProblem, parse, read_text
from engine.interop.report import Imported
from engine.interop.sd_scripts_data import read_data
from engine.interop.sd_scripts_launch import read_launcher
from engine.interop.sd_scripts_model import read_model, settle_architecture
from engine.interop.sd_scripts_network import read_network
from engine.interop.sd_scripts_objective import read_objective
from engine.interop.sd_scripts_run import read_run

PEER = "sd-scripts"
LISTS = ("network_args", "optimizer_args", "lr_scheduler_args", "base_weights",
         "base_weights_multiplier", "text_encoder_lr")  # fmt: skip
"""Options that take several words."""

_ENDINGS = (".toml", ".json")


def import_command(text: str, folder: Path | None = None, architecture: str = "") -> Imported:
    """Import a pasted command line.

    A command that names no script may be a piece of one: with an `architecture` it is read for
    that, and no defaults of sd-scripts are written out.

    Raises:
        ImportProblem: it cannot be taken apart, or has no option.
    """
    command = split_command(text)
    draft = _draft(folder, "" if command.script else architecture)
    values = _values(draft, command.options)
    if not values:
        raise ImportProblem("There is no option such as --network_dim=16 in this command.")
    values = _with_config(draft, values)
    read_options(draft, values, command.script)
    read_launcher(draft, dict(_joined(command.launcher)))
    return draft.finished()


def _draft(folder: Path | None, architecture: str) -> Draft:
    """A draft; for a piece of a job where its architecture is known."""
    draft = Draft(PEER, folder)
    if architecture:
        draft.partial = True
        draft.data["model"] = {"architecture": architecture}
    return draft


def import_config(
    tree: Mapping[str, Any], folder: Path | None = None, architecture: str = ""
) -> Imported:
    """Import a file as --config_file takes it; its sections only part it for the eye.

    `architecture` as in `import_command`.
    """
    draft = _draft(folder, architecture)
    read_options(draft, flattened(draft, tree))
    return draft.finished()


def import_dataset_config(tree: Mapping[str, Any], folder: Path | None = None) -> Imported:
    """Import a dataset config alone; the model is left to be chosen."""
    draft = Draft(f"{PEER}' dataset config", folder)
    draft.partial = True
    given = Given({})
    read_data(draft, given, tree, alone=True)
    return draft.finished()


def read_options(
    draft: Draft, values: Mapping[str, Any], script: str = "", config: Any = None
) -> None:
    """Put options into the draft, all of them, and the defaults that differ from ours.

    `config` is a dataset config that is already read; else the options may name one.
    """
    given = Given(values)
    if config is None:
        config = _dataset_config(draft, given)
    settle_architecture(draft, given, script)
    read_model(draft, given)
    read_network(draft, given)
    read_data(draft, given, config)
    read_run(draft, given)
    read_objective(draft, given)
    for key, value in given.left.items():
        if value is None or value == "" or (value is False and key in table_of(PEER)):
            draft.unset(key, value)
        else:
            settle(draft, key, value, PEER)


def flattened(draft: Draft, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a config file without its sections; the first of two equal names counts."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        inner = value if isinstance(value, Mapping) else {key: value}
        for name, held in inner.items():
            if name in flat:
                draft.refuse(f"{key}.{name}", held, "it stands in another section too")
            else:
                flat[str(name)] = held
    return flat


def _values(draft: Draft, arguments: Arguments) -> dict[str, Any]:
    """Argparse's view of the words: switches are True, the last of equal names counts."""
    found: dict[str, Any] = {}
    for name, words in arguments:
        known = _known(name)
        if known in LISTS:
            found[known] = words
            continue
        found[known] = words[0] if words else True
        for extra in words[1:]:
            draft.drop(extra, extra, f"it stands behind --{name} without an option of its own")
    return found


def _known(name: str) -> str:
    """An option may be written as the beginning of its name, if that is one option's alone."""
    table = table_of(PEER)
    if name in table:
        return name
    longer = [key for key in table if key.startswith(name)]
    return longer[0] if len(longer) == 1 else name


def _joined(arguments: Arguments) -> list[tuple[str, Any]]:
    return [(name, words[0] if words else True) for name, words in arguments]


def _with_config(draft: Draft, values: dict[str, Any]) -> dict[str, Any]:
    """Lay the command's options over those of its --config_file."""
    named = values.pop("config_file", None)
    if named is None:
        return values
    tree = _tree_of(draft, "config_file", named)
    if not isinstance(tree, Mapping):
        return values
    draft.add("config_file", named, "taken", why="read, its options follow")
    return {**flattened(draft, tree), **values}


def _dataset_config(draft: Draft, given: Given) -> Mapping[str, Any] | None:
    named = given.value(draft, "dataset_config")
    if named is None:
        return None
    tree = _tree_of(draft, "dataset_config", named)
    if not isinstance(tree, Mapping):
        return None
    draft.add("dataset_config", named, "taken", why="read, its folders follow")
    return tree


def _tree_of(draft: Draft, key: str, named: Any) -> Any:
    """Read a further file that the options name; None, with a line, if that fails."""
    name = str(named)
    if key == "config_file" and not name.endswith(_ENDINGS):
        name += ".toml"
    path = draft.located(name)
    if path is None:
        draft.refuse(key, named, "there is no such file on this machine; import it by itself")
        return None
    try:
        return parse(read_text(path), path.name)
    except ImportProblem as problem:
        draft.refuse(key, named, str(problem).rstrip("."))
        return None


def is_options(tree: Mapping[str, Any]) -> bool:
    """Whether a file's names are those of sd-scripts' options, with or without sections."""
    names: list[str] = []
    for key, value in tree.items():
        names += [str(k) for k in value] if isinstance(value, Mapping) else [str(key)]
    known = [name for name in names if name in table_of(PEER)]
    return bool(known) and len(known) * 2 >= len(names)
