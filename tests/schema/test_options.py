"""The flat table of options: complete, worded, and findable by every spelling."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.options import (
    canonical_key,
    conditions_in_words,
    did_you_mean,
    get_at,
    option_at,
    options,
    paths_named,
    set_at,
)

ROOT = Path(__file__).parents[2]
LEAVES = [o for o in options().values() if o.kind not in ("table", "tables")]


@pytest.mark.parametrize("entry", options().values(), ids=lambda o: o.path)
def test_every_field_has_words_for_a_person(entry):
    assert entry.hints.label
    assert entry.hints.help.strip()
    if entry.kind not in ("table", "tables"):
        assert len(entry.hints.help) > len(entry.hints.label)
        assert not entry.hints.label.endswith(".")
        assert entry.hints.help.endswith((".", "!")), entry.hints.help


@pytest.mark.parametrize("entry", LEAVES, ids=lambda o: o.path)
def test_every_optional_field_says_what_empty_means(entry):
    if entry.optional and entry.default is None and entry.path != "dataset.folders[].mask_folder":
        assert entry.hints.empty, f"{entry.path} does not say what no value means"


HANDED_ON_WHOLE = "optimizer.args."
"""These go to the constructor by name; tests/training/test_optimizer_arguments.py tries each."""


@pytest.mark.parametrize(
    "entry", [o for o in LEAVES if not o.path.startswith(HANDED_ON_WHOLE)], ids=lambda o: o.path
)
def test_every_field_is_read_in_the_engine(entry):
    """A field that nothing reads is a promise that nobody keeps."""
    readers = [
        p
        for p in (ROOT / "engine").rglob("*.py")
        if "schema" not in p.relative_to(ROOT / "engine").parts[0]
    ]
    pattern = re.compile(rf"\b{re.escape(entry.key)}\b")
    assert any(pattern.search(p.read_text(encoding="utf-8")) for p in readers), entry.path


@pytest.mark.parametrize("entry", LEAVES, ids=lambda o: o.path)
def test_conditions_name_existing_fields_and_read_well(entry):
    for when in entry.hints.only_if:
        other = option_at(when.path)
        for value in (*when.equals, *when.not_equals):
            assert other.kind != "choice" or value in other.choices
    if entry.hints.only_if:
        assert conditions_in_words(entry).startswith("appears when ")


def test_architectures_name_fields_that_exist():
    for architecture in ARCHITECTURES.values():
        for path in architecture.defaults:
            assert path in options()
        assert sum(architecture.lr_weight_counts) <= len(architecture.blocks)
    choices = options()["model.architecture"].choices
    assert set(choices) == set(ARCHITECTURES)


def test_sd1_has_25_blocks_named_in_mid_out():
    names = [b.name for b in ARCHITECTURES["sd1"].blocks]
    assert names == [
        *(f"IN{i:02d}" for i in range(12)), "MID", *(f"OUT{i:02d}" for i in range(12)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("conv_dim", "network.conv_dim"),
        ("network_dim", "network.rank"),
        ("unet_lr", "optimizer.denoiser_lr"),
        ("scale_weight_norms", "network.max_norm"),
        ("pretrained_model_name_or_path", "model.path"),
        ("shuffle_caption", "dataset.folders[].shuffle_tags"),
    ],
)
def test_a_users_word_finds_the_field(word, path):
    assert paths_named(word) == (path,)


def test_canonical_key_stays_inside_its_table():
    assert canonical_key("network", "network_dim") == "rank"
    assert canonical_key("training", "network_dim") is None
    assert canonical_key("dataset.folders[]", "num_repeats") == "repeats"


def test_did_you_mean_gives_the_spelling_that_was_meant():
    found = did_you_mean("netwrok_dim", "network")
    assert found is not None
    assert (found[0], found[1].path) == ("network_dim", "network.rank")
    assert did_you_mean("xyzzy_quux") is None


def test_set_and_get_make_tables_and_items_on_the_way():
    data: dict = {}
    set_at(data, "dataset.folders[0].path", "a")
    set_at(data, "dataset.folders[1].path", "b")
    assert data == {"dataset": {"folders": [{"path": "a"}, {"path": "b"}]}}
    assert get_at(data, "dataset.folders[1].path") == "b"
    assert get_at(data, "dataset.folders[1].repeats") == 1.0  # the default
    with pytest.raises((IndexError, KeyError)):
        set_at(data, "dataset.folders[5].path", "c")


def test_a_condition_inside_a_list_looks_at_its_own_item():
    entry = options()["dataset.folders[].mask_folder"]
    data = {"dataset": {"folders": [{"mask": "none"}, {"mask": "folder"}]}}
    assert not entry.shown(data, "dataset.folders[0]")
    assert entry.shown(data, "dataset.folders[1]")


def test_defaults_make_a_job():
    job = Job()
    for entry in LEAVES:
        if "[]" not in entry.path:
            assert get_at(job.model_dump(), entry.path) == entry.default
