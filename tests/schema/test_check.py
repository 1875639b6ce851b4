"""Checking a job: everything wrong at once, each at its field, in words."""

from __future__ import annotations

import pytest

from engine.schema.check import check, require
from engine.schema.problem import JobError


def runnable(**tables):
    data = {"model": {"path": "m"}, "dataset": {"folders": [{"path": "p"}]}}
    for table, values in tables.items():
        data.setdefault(table, {}).update(values)
    return data


def errors(data):
    return {p.path: p.message for p in check(data).errors}


def test_a_job_with_model_and_pictures_has_no_errors():
    assert errors(runnable()) == {}


def test_all_errors_come_at_once_each_with_its_field():
    found = errors(
        {
            "network": {"netwrok_dim": 3, "rank": "abc", "block_dims": "4,4"},
            "training": {"epochs": 0},
            "dataset": {"folders": [{"path": "", "repeats": -1}]},
        }
    )
    assert set(found) == {
        "network.netwrok_dim", "network.rank", "network.block_dims", "training.epochs",
        "dataset.folders[0].repeats", "dataset.folders[0].path", "model.path",
    }  # fmt: skip
    assert "Did you mean network_dim (Rank)?" in found["network.netwrok_dim"]
    assert found["training.epochs"] == "Epochs must be at least 1; it is 0."


def test_block_lists_of_the_wrong_length_name_25():
    """spec: networks 9.6"""
    message = errors(runnable(network={"block_dims": "4,4"}))["network.block_dims"]
    assert "needs 25 numbers for SD 1.x; this list has 2" in message
    assert errors(runnable(network={"block_dims": [4] * 25})) == {}
    assert (
        "below 0" in errors(runnable(network={"block_dims": [-1] + [4] * 24}))["network.block_dims"]
    )


def test_a_wrong_value_is_replaced_by_its_default_and_the_rest_kept():
    checked = check(runnable(network={"rank": "many", "alpha": 3}))
    assert checked.job.network.rank == 16
    assert checked.job.network.alpha == 3.0


@pytest.mark.parametrize("word", ["off", "none", "Off", ""])
def test_off_means_none_for_an_optional_number(word):
    checked = check(runnable(training={"validate_every_epochs": word}))
    assert checked.errors == ()
    assert checked.job.training.validate_every_epochs is None


def test_an_alias_is_understood_and_clashes_with_its_field():
    assert check(runnable(network={"network_dim": 4})).job.network.rank == 4
    assert (
        "another name of 'rank'"
        in errors(runnable(network={"rank": 4, "network_dim": 8}))["network.network_dim"]
    )


def test_a_key_of_another_table_says_where_it_belongs():
    assert errors({**runnable(), "rank": 4})["rank"].endswith("it belongs to [network].")


@pytest.mark.parametrize(
    ("tables", "path", "words"),
    [
        ({"network": {"loraplus_lr_ratio": 16}, "optimizer": {"name": "Prodigy"}},
         "network.loraplus_lr_ratio", "LoRA+ cannot be used with Prodigy"),
        ({"optimizer": {"name": "Prodigy", "text_encoder_lr": 0.5, "learning_rate": 1.0}},
         "optimizer.text_encoder_lr", "needs one learning rate"),
        ({"optimizer": {"name": "Prodigy"}, "network": {"up_lr_weight": "sine"}},
         "network.up_lr_weight", "needs one learning"),
        ({"optimizer": {"name": "AdmaW"}}, "optimizer.name", "Did you mean AdamW?"),
        ({"optimizer": {"name": "AdamWScheduleFree", "schedule": "cosine"}},
         "optimizer.schedule", "choose constant"),
        ({"optimizer": {"warmup": 1.0}}, "optimizer.warmup", "1 step or 100 %"),
        ({"optimizer": {"warmup": "120%"}}, "optimizer.warmup", "between 0% and 100%"),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate", "nothing is learned"),
        ({"optimizer": {"schedule": "piecewise_constant", "step_rules": "x"}},
         "optimizer.step_rules", "1:500,0.1:800,0.01"),
        ({"objective": {"timestep_min": 500, "timestep_max": 400}},
         "objective.timestep_max", "must be above"),
        ({"model": {"prediction": "epsilon"}, "objective": {"zero_terminal_snr": True}},
         "objective.zero_terminal_snr", "v-prediction"),
        ({"network": {"down_lr_weight": "sinus"}}, "network.down_lr_weight", "is no shape"),
        ({"network": {"mid_lr_weight": [1, 2]}}, "network.mid_lr_weight", "has 1 blocks"),
        ({"output": {"name": "a/b"}}, "output.name", "file name"),
        ({"output": {"trackers": "mlflow"}}, "output.trackers", "tensorboard"),
        ({"launch": {"device": "gpu"}}, "launch.device", "no device"),
        ({"dataset": {"resolution": "big"}}, "dataset.resolution", "is not a size"),
        ({"dataset": {"bucket_min": 512, "bucket_max": 256}}, "dataset.bucket_max", "below"),
        ({"dataset": {"cache_text": "disk"}}, "dataset.cache_text", "text encoder"),
        ({"dataset": {"background": "white"}}, "dataset.background", "#ffffff"),
        ({"model": {"path": "m", "clip_skip": 13}}, "model.clip_skip", "at most 12"),
        ({"network": {"dropout": 1}}, "network.dropout", "below 1"),
    ],
)  # fmt: skip
def test_rules_speak_at_the_field_that_should_change(tables, path, words):
    data = runnable()
    for table, values in tables.items():
        data.setdefault(table, {}).update(values)
    assert words in errors(data)[path]


def test_color_jitter_needs_pictures_anew():
    data = runnable()
    data["dataset"]["folders"][0]["color_jitter"] = 0.5
    assert "dataset.folders[0].color_jitter" in errors(data)
    data["dataset"]["cache_latents"] = "off"
    assert errors(data) == {}


def test_a_fix_mends_its_problem():
    data = runnable(network={"loraplus_lr_ratio": 16}, optimizer={"name": "Prodigy"})
    problem = next(p for p in check(data).errors if p.path == "network.loraplus_lr_ratio")
    for path, value in problem.fix:
        table, key = path.split(".")
        data[table][key] = value
    assert errors(data) == {}


def test_warnings_do_not_block():
    checked = check(runnable(network={"rank": 4, "alpha": 64}))
    assert checked.errors == ()
    assert any(p.path == "network.alpha" and "× 16" in p.message for p in checked.problems)


def test_require_raises_with_every_problem_errors_first():
    with pytest.raises(JobError) as caught:
        require({"network": {"rank": 0, "alpha": 64}}, "job.toml")
    assert caught.value.problems[0].severity == "error"
    assert {p.path for p in caught.value.problems} >= {"network.rank", "model.path"}
    assert "job.toml" in str(caught.value)


def test_random_crop_needs_pictures_anew():
    data = runnable()
    data["dataset"]["folders"][0]["random_crop"] = True
    assert "dataset.folders[0].random_crop" in errors(data)
    data["dataset"]["cache_latents"] = "off"
    assert errors(data) == {}
