"""Files of strangers: bombs, wrong types and nonsense end in words, never in a traceback."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.interop.draft import written
from engine.interop.importing import import_file, import_settings, import_text, import_tree
from engine.interop.option_map import table_of
from engine.interop.reading import ImportProblem
from engine.interop.report import Imported
from engine.interop.sd_scripts_model import SCRIPTS
from engine.schema.check import check
from tests.interop.test_ai_toolkit import CONFIG
from tests.interop.test_kohya_ss import PRESET
from tests.interop.test_onetrainer import FLUX

BOMB = "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(8)
)
MERGES = "x: &x {a: 1}\njob: extension\nconfig: {<<: *x, process: []}\n"


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (BOMB, "a.yaml", "too many values"),
        (MERGES, "a.yaml", "merge keys"),
        ("a: &a [*a]\n", "a.yaml", "too deeply"),
        ("[" * 5000, "a.json", "deeply|valid JSON"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "a.json", "deeply"),
        ("a = " + "[" * 5000, "a.toml", "deeply|valid TOML"),
        ("a: " + "[" * 5000, "a.yaml", "deeply|valid YAML"),
        ("!!python/object/apply:os.system [ls]", "a.yaml", "valid YAML"),
        ("a = 1\na = 2", "a.toml", "valid TOML"),
        ("", "a.json", "nothing to import"),
        ("[1, 2, 3]", "a.json", "no settings"),
        ('{"hello": "world"}', "a.json", "no settings of a trainer"),
        ("once upon a time", "", "no settings|no names"),
        ("x" * (3 * 1024 * 1024), "a.toml", "larger than 2 MB"),
        ("schema = 1\n[network]\nrank = 4", "job.toml", "job or a preset of Graft"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(text: str, name: str, words: str) -> None:
    with pytest.raises(ImportProblem, match=words):
        import_text(text, name)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x01" * 10)
    for path, words in ((tmp_path / "none.toml", "no file"), (tmp_path, "is a folder"),
                        (tmp_path / "binary.json", "not text")):  # fmt: skip
        with pytest.raises(ImportProblem, match=words):
            import_file(path)
    with pytest.raises(ImportProblem):
        import_settings("a\x00b.toml")


NONSENSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=12)
    | st.sampled_from(["1e-4", "true", "0.5", "512,512", "None", "10%", "(1, 2)", "sigma"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
OPTIONS = sorted(table_of("sd-scripts"))
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def whole(tree: dict[str, Any]) -> None:
    """It ends in words, or in a job that can be written and read, with all in the report."""
    try:
        imported = import_tree(tree)
    except ImportProblem:
        return
    assert isinstance(imported, Imported)
    text = written(imported)
    assert check(tomllib.loads(text)).job is not None
    json.dumps(imported.to_json())
    assert imported.text()


@QUICK
@given(st.dictionaries(st.sampled_from(OPTIONS), NONSENSE, max_size=12),
       st.sampled_from(sorted(SCRIPTS)))  # fmt: skip
def test_options_of_any_kind_end_in_a_report(values: dict[str, Any], script: str) -> None:
    whole({"network_dim": 4, "network_alpha": 1, **values})
    words = [f"--{key} '{value}'" for key, value in values.items() if "'" not in str(value)]
    try:
        told = import_text(f"{script}.py --seed=1 " + " ".join(words)).text()
    except ImportProblem as problem:
        told = str(problem)
    assert told


@QUICK
@given(st.dictionaries(st.sampled_from(sorted(PRESET)), NONSENSE, max_size=12))
def test_kohya_presets_of_any_kind_end_in_a_report(values: dict[str, Any]) -> None:
    whole(PRESET | values)


AI_TOOLKIT = [
    key.split(".") for key in table_of("ai-toolkit") if key.count(".") == 1 and "[" not in key
]
ONETRAINER = [key.split(".") for key in table_of("OneTrainer") if "[" not in key]


def _grown(values: list[tuple[list[str], Any]]) -> dict[str, Any]:
    """A tree of groups from dotted names."""
    tree: dict[str, Any] = {}
    for (*groups, last), value in values:
        here = tree
        for group in groups:
            here = here[group] = here[group] if isinstance(here.get(group), dict) else {}
        here[last] = value
    return tree


@QUICK
@given(st.lists(st.tuples(st.sampled_from(AI_TOOLKIT), NONSENSE), max_size=10),
       st.lists(st.tuples(st.sampled_from(ONETRAINER), NONSENSE), max_size=10))  # fmt: skip
def test_groups_of_any_kind_end_in_a_report(
    toolkit: list[tuple[list[str], Any]], onetrainer: list[tuple[list[str], Any]]
) -> None:
    groups = _grown(toolkit)
    process = {**groups, **dict(groups.pop("process", None) or {}), "type": "sd_trainer"}
    whole({"job": "train", "config": {"name": "a", "process": [process]}})
    whole(_grown(onetrainer) | {"training_method": "LORA", "model_type": "FLUX_DEV_1"})


def _within(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The tree with another value at a path."""
    if not path:
        return value
    made = dict(tree) if isinstance(tree, dict) else list(tree)
    made[path[0]] = _within(tree[path[0]], path[1:], value)
    return made


def _paths(tree: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a tree."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(tree, dict):
        inner = list(tree.items())
    elif isinstance(tree, list):
        inner = list(enumerate(tree))
    own = [here] if here else []
    return own + [path for key, value in inner for path in _paths(value, (*here, key))]


@QUICK
@given(st.data())
def test_nested_settings_with_nonsense_anywhere_end_in_a_report(data: st.DataObject) -> None:
    sets = {"general": {"flip_aug": True}, "datasets": [
        {"resolution": 512, "subsets": [{"image_dir": "/a", "num_repeats": 2}]}]}  # fmt: skip
    lets = {"general_args": {"args": {"seed": 1}, "dataset_args": {"resolution": 512}},
            "optimizer_args": {"args": {"optimizer_args": {"eps": "1e-8"}, "warmup_ratio": 0.1}},
            "saving_args": {"args": {"easy_name": "a", "output_name": "${replace}"}},
            "subsets": [{"image_dir": "/a", "flip_aug": True}]}  # fmt: skip
    tree = data.draw(st.sampled_from([FLUX, yaml.safe_load(CONFIG), sets, lets]))
    path = data.draw(st.sampled_from(_paths(tree)))
    whole(_within(tree, path, data.draw(NONSENSE)))


@QUICK
@given(st.text(max_size=200))
def test_any_text_ends_in_words(text: str) -> None:
    try:
        told = import_text(text).text()
    except ImportProblem as problem:
        told = str(problem)
    assert told
