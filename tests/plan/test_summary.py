"""The plan: counts, file size, memory (spec: networks 9.1, 9.2, 9.9; gui 7.8)."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from engine.plan.folders import pictures_of
from engine.plan.memory import denoiser_parameters, estimate, text_parameters
from engine.plan.sites.sd import SD1, SD2
from engine.plan.summary import summarize
from engine.schema.dataset import Folder
from engine.schema.job import Job


def job(**tables) -> Job:
    made = Job()
    for table, values in tables.items():
        for key, value in values.items():
            setattr(getattr(made, table), key, value)
    return made


def test_the_default_adapter_of_sd1_has_264_modules():
    plan = summarize(job(network={"rank": 4}))
    assert (plan.modules, plan.parameters) == (264, 663_552 + 1_695_744)
    assert plan.modules_possible == 72 + 278
    assert {p.name: p.modules for p in plan.parts} == {
        "IN": 72,
        "MID": 12,
        "OUT": 108,
        "CLIP-L": 72,
    }


def test_conv_adds_the_resnets():
    plan = summarize(job(network={"rank": 4, "conv_dim": 4, "train": "denoiser"}))
    assert (plan.modules, plan.parameters) == (278, 4_203_264)


def test_blocks_without_a_rate_are_left_out():
    plan = summarize(
        job(network={"down_lr_weight": "zeros", "up_lr_weight": "linear", "train": "denoiser"})
    )
    assert plan.modules == 120
    assert sum(b.modules for b in plan.blocks) == 120


def test_a_weight_that_cannot_be_read_does_not_hide_the_plan():
    made = job()
    made.network.__dict__["up_lr_weight"] = "sinus"
    assert summarize(made).modules == 264


def test_the_files_size_is_foretold(tmp_path):
    plan = summarize(job(network={"rank": 4}, output={"precision": "fp32"}))
    assert plan.file_bytes == pytest.approx(4 * (663_552 + 1_695_744), rel=0.02)
    assert plan.file_bytes > 4 * plan.parameters


def test_parameters_of_the_published_models():
    assert denoiser_parameters(SD1) == 859_520_964
    assert denoiser_parameters(SD2) == 865_910_724
    assert text_parameters(SD1) == 123_060_480


def part(made: Job, words: str):
    parts = summarize(made).memory.parts
    return next(p for p in parts if words in p.name)


def test_the_memory_of_weights_adapters_and_state_is_exact():
    made = job(training={"precision": "fp32"}, launch={"device": "cpu"}, network={"rank": 4})
    weights = part(made, "U-Net")
    assert weights.low == weights.high == 4 * (859_520_964 + 123_060_480)
    assert part(made, "Adapter").low == 8 * 2_359_296
    assert part(made, "AdamW state").low == 8 * 2_359_296


@pytest.mark.parametrize(
    ("tables", "lighter"),
    [
        ({"training": {"gradient_checkpointing": True, "batch_size": 8}}, True),
        ({"training": {"batch_size": 8, "precision": "fp32"}}, False),
        ({"optimizer": {"name": "Prodigy"}, "training": {"batch_size": 8}}, False),
    ],
)
def test_savers_save_and_spenders_spend(tables, lighter):
    plain = summarize(job(training={"batch_size": 8})).memory
    other = summarize(job(**tables)).memory
    assert (other.high < plain.high) == lighter


def test_the_phase_that_needs_most_counts():
    assert estimate(job(training={"batch_size": 16}), ()).phase in ("training", "caching")
    assert summarize(job(training={"batch_size": 16})).memory.phase == "training"


@pytest.fixture
def folder(tmp_path):
    for i in range(5):
        Image.new("RGB", (600, 600) if i else (2000, 300), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_text("text")
    return tmp_path


def test_steps_and_buckets_come_from_the_pictures(folder):
    made = job(training={"batch_size": 2, "epochs": 3})
    made.dataset.folders = [Folder(path=str(folder), repeats=2)]
    plan = summarize(made, None, pictures_of(made.dataset))
    assert (plan.pictures.found, plan.pictures.unusable, plan.pictures.trained) == (6, 1, 5)
    assert plan.pictures.without_caption == 5
    assert sum(b.samples for b in plan.buckets) == plan.steps.samples_per_epoch == 10
    assert plan.steps.batches_per_epoch == 5  # 8 in one bucket, 2 in the other
    assert plan.steps.total_steps == 15
    assert any("0.png" in note and "cropping" in note for note in plan.notes)


def test_no_step_says_why(folder):
    made = job(training={"batch_size": 8})
    made.dataset.folders = [Folder(path=str(folder))]
    made.dataset.short_batches = "drop"
    plan = summarize(made, None, pictures_of(made.dataset))
    assert plan.steps is None
    assert "short batch" in plan.nothing


def test_the_plan_is_json(folder):
    made = job()
    made.dataset.folders = [Folder(path=str(folder))]
    plan = summarize(made, None, pictures_of(made.dataset))
    back = json.loads(json.dumps(plan.to_json()))
    assert back["modules"] == 264
    assert back["memory"]["low"] <= back["memory"]["high"]
    assert back["ranks"] == {"16": 264}
