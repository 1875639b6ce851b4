"""Job files and presets: round trips, overrides, versions, damaged files."""

from __future__ import annotations

import os
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.schema import migrate as migration
from engine.schema.check import check
from engine.schema.job import Job
from engine.schema.job_file import apply_sets, job_data, read_toml, save_job, to_toml
from engine.schema.options import Option, get_at, options, set_at
from engine.schema.presets import Preset, base_data, from_job, preset_toml, read_preset, save_preset
from engine.schema.problem import JobError
from engine.schema.whole_file import whole_file, write_whole

TEXT = st.text(string.printable + "äöü漢字{}|'\"\\\n", max_size=30)


def values(entry: Option) -> st.SearchStrategy:
    low = entry.bounds.get("ge", entry.bounds.get("gt", -1e6))
    high = entry.bounds.get("le", entry.bounds.get("lt", 1e6))
    step = int(entry.bounds.get("multiple_of", 1))
    whole = st.integers(-(-int(low + ("gt" in entry.bounds)) // step), int(high - 1) // step)
    kinds: dict[str, st.SearchStrategy] = {
        "bool": st.booleans(),
        "int": whole.map(lambda n: n * step),
        "float": st.floats(
            low, high, allow_nan=False,
            exclude_min="gt" in entry.bounds, exclude_max="lt" in entry.bounds,
        ),
        "text": TEXT,
        "choice": st.sampled_from(entry.choices or (None,)),
        "int_list": st.lists(st.integers(0, 64), min_size=1, max_size=30),
        "float_list": st.lists(st.floats(0, 64), min_size=1, max_size=30),
        "text_list": st.lists(st.sampled_from(["512", "768x512"]), min_size=1, max_size=3),
        "lr_weights": st.sampled_from(["sine", "cosine+.25", [1.0], [0.5, 0.25]]),
        "steps_or_share": st.sampled_from([0, 100, 0.25, "5%"]),
        "mapping": st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9)),
    }  # fmt: skip
    chosen = kinds[entry.kind]
    if entry.hints.path:  # relative ones come back absolute
        chosen = st.sampled_from(["", os.path.abspath(os.sep + "a folder ü"), "owner/name"])
        if entry.hints.path != "model":
            chosen = st.sampled_from(["", os.path.abspath(os.sep + "a folder ü")])
    return chosen | st.none() if entry.optional and entry.kind != "text" else chosen


@st.composite
def jobs(draw):
    data: dict = {}
    leaves = [
        o for p, o in options().items() if o.kind not in ("table", "tables") and "[]" not in p
    ]
    for entry in draw(st.lists(st.sampled_from(leaves), max_size=25, unique_by=lambda o: o.path)):
        set_at(data, entry.path, draw(values(entry)))
    item_fields = [
        o
        for p, o in options().items()
        if p.startswith("dataset.folders[].") and o.kind not in ("table", "tables")
    ]
    folders = draw(st.lists(st.lists(st.sampled_from(item_fields), max_size=8), max_size=3))
    for i, fields in enumerate(folders):
        set_at(data, f"dataset.folders[{i}].path", os.path.abspath(f"{os.sep}folder {i}"))
        for entry in fields:
            set_at(data, entry.path.replace("[]", f"[{i}]"), draw(values(entry)))
    return data


@settings(max_examples=150, deadline=None)
@given(jobs())
def test_a_job_comes_back_from_its_file_as_it_was(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("job") / "job.toml"
    first = check(data).job
    save_job(path, job_data(first))
    assert check(read_toml(path)).job == first


@settings(max_examples=60, deadline=None)
@given(jobs())
def test_a_preset_comes_back_and_sets_what_the_job_had(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("preset") / "my preset.toml"
    job = check(data).job
    preset = from_job("Mine", job_data(job), "for tests", "6 GB")
    save_preset(preset, path)
    back = read_preset(path)
    assert (back.name, back.description, back.memory) == ("Mine", "for tests", "6 GB")
    assert back.data == preset.data
    again = check(base_data(back)).job
    for name in ("network", "training", "objective", "optimizer", "launch"):
        expected = getattr(job, name).model_copy(
            update={"start_from": None} if name == "network" else {}
        )
        assert getattr(again, name) == expected


def test_a_preset_leaves_out_what_belongs_to_one_job():
    data = job_data(Job())
    set_at(data, "model.path", "/secret/model.safetensors")
    set_at(data, "dataset.folders[0].path", "/secret/pictures")
    set_at(data, "network.rank", 64)
    preset = from_job("x", data)
    assert preset.data == {"model": {"architecture": "sd1"}, "network": {"rank": 64}}
    assert "secret" not in preset_toml(preset)


def test_the_architectures_own_defaults_are_no_change():
    data = base_data(Preset("x", "sd2"))
    assert get_at(data, "dataset.resolution") == ["768"]
    assert from_job("x", data).data == {"model": {"architecture": "sd2"}}


def test_the_file_has_the_schemas_order_and_no_nulls():
    text = to_toml({"network": {"alpha": 1.0, "rank": 4, "conv_dim": None}, "model": {"path": "m"}})
    assert (
        text.index("[model]") < text.index("[network]") < text.index("rank") < text.index("alpha")
    )
    assert "conv_dim" not in text
    assert text.startswith("schema = 1\n")


def test_none_is_written_off_where_the_default_is_a_value(tmp_path):
    save_job(tmp_path / "j.toml", {"samples": {"every_epochs": None}})
    assert 'every_epochs = "off"' in (tmp_path / "j.toml").read_text()
    assert check(read_toml(tmp_path / "j.toml")).job.samples.every_epochs is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"schema = 2\n", "reads up to 1. Update Graft"),
        (b"schema = true\n", "is not a version"),
        (b"[network\n", "not valid TOML"),
        (b"\xff\xfe\x00", "not UTF-8 text (byte 0)"),
        (b"#" * (8 * 1024 * 1024 + 1), "larger than 8 MB"),
    ],
)
def test_a_damaged_file_says_why(tmp_path, content, words):
    path = tmp_path / "job.toml"
    path.write_bytes(content)
    with pytest.raises(JobError) as caught:
        read_toml(path)
    assert words in str(caught.value)
    assert "job.toml" in str(caught.value)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(JobError, match="There is no such file"):
        read_toml(tmp_path / "none.toml")


def test_renames_and_removals_of_past_versions_are_data(monkeypatch):
    monkeypatch.setattr(migration, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(migration, "RENAMED", {2: {"network.width": "network.rank"}})
    monkeypatch.setattr(
        migration, "REMOVED", {2: {"network.magic": "It did nothing; leave it out."}}
    )
    monkeypatch.setattr(
        migration, "_STEPS", {1: lambda tree: {**tree, "launch": {"device": "cpu"}}}
    )
    tree = migration.migrate({"schema": 1, "network": {"width": 4}})
    assert tree == {"network": {"rank": 4}, "launch": {"device": "cpu"}}
    with pytest.raises(JobError, match="It did nothing"):
        migration.migrate({"schema": 1, "network": {"magic": 4}})


def test_sets_find_fields_by_path_key_or_alias():
    data: dict = {}
    sets = [
        "network_dim=8",
        "conv_dim=4",
        "optimizer.learning_rate=2e-4",
        "samples.every_epochs=off",
        "dataset.folders[0].path=/pictures/a b",
        "dataset.folders[0].num_repeats=3",
    ]
    assert apply_sets(data, sets) == []
    assert data == {
        "network": {"rank": 8, "conv_dim": 4},
        "optimizer": {"learning_rate": 2e-4},
        "samples": {"every_epochs": "off"},
        "dataset": {"folders": [{"path": "/pictures/a b", "repeats": 3}]},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed=3", "can be training.seed, samples.seed"),
        ("network.rnk=3", "Did you mean network.rank?"),
        ("nonsense_at_all=1", "is not an option"),
        ("network.rank", "write network.rank=VALUE"),
        ("dataset.folders[3].path=x", "no such item"),
    ],
)
def test_a_wrong_set_says_what_was_meant(text, words):
    assert words in apply_sets({}, [text])[0].message


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "sub" / "file.bin"
    write_whole(path, b"first")
    with pytest.raises(RuntimeError, match="crash"), whole_file(path) as beside:
        beside.write_bytes(b"half")
        raise RuntimeError("crash")
    assert path.read_bytes() == b"first"
    assert os.listdir(path.parent) == ["file.bin"]


def test_relative_paths_are_meant_from_the_files_folder(tmp_path):
    (tmp_path / "model").mkdir()
    path = tmp_path / "job.toml"
    path.write_text(
        '[model]\npath = "model"\nvae = "owner/name"\n[[dataset.folders]]\nimage_dir = "../cats"\n'
        '[output]\ndirectory = "runs"\n'
    )
    data = read_toml(path)
    assert data["model"] == {"path": str(tmp_path / "model"), "vae": "owner/name"}
    assert data["dataset"]["folders"][0]["image_dir"] == str(tmp_path / "../cats")
    assert data["output"]["directory"] == str(tmp_path / "runs")
