"""The whole plan, in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.plan.detect import ModelFacts
from engine.plan.order import Order
from engine.plan.steps import run_length
from engine.plan.summary import summarize
from engine.schema.job import Job
from tests.plan.pictures import job, pictures


def test_modules_parameters_and_blocks() -> None:
    """Acceptance networks 1: 264 adapters at rank 4, with their parts."""
    plan = summarize(Job.model_validate({"network": {"rank": 4, "alpha": 1.0}}))
    assert (plan.modules, plan.modules_of, plan.parameters) == (264, 350, 663_552 + 1_695_744)
    assert [(p.component, p.modules, p.parameters) for p in plan.parts] == [
        ("text_encoder", 72, 663_552), ("denoiser", 192, 1_695_744),
    ]  # fmt: skip
    assert len(plan.blocks) == 25
    assert sum(b.parameters for b in plan.blocks) == 1_695_744
    assert (plan.blocks[12].name, plan.blocks[12].modules, plan.blocks[12].rank) == ("MID", 12, 4)
    assert plan.pictures is None


def test_file_size_is_near_the_truth(tmp_path: Path) -> None:
    """Within 2 % of a file with these tensors."""
    import torch
    from safetensors.torch import save_file

    from engine.plan.ranks import place
    from engine.plan.sites import sites_of

    spec = Job.model_validate({"network": {"rank": 2}, "output": {"precision": "fp16"}})
    tensors = {}
    for p in place(spec.network, sites_of("sd1"), "sd1"):
        down = (p.rank, p.site.columns, *p.site.kernel)
        tensors[f"{p.site.name}.lora_down.weight"] = torch.zeros(down, dtype=torch.float16)
        up = (p.site.rows, p.rank)
        tensors[f"{p.site.name}.lora_up.weight"] = torch.zeros(up, dtype=torch.float16)
        tensors[f"{p.site.name}.alpha"] = torch.tensor(p.alpha)
    save_file(tensors, tmp_path / "a.safetensors")
    size = (tmp_path / "a.safetensors").stat().st_size
    assert summarize(spec).file_bytes == pytest.approx(size, rel=0.02)


def test_pictures_buckets_and_steps() -> None:
    """Acceptance 12: the plan has the numbers that the loop gets."""
    found = pictures(*[(512, 512)] * 7, *[(900, 600)] * 4, *[(600, 900)] * 2)
    spec = job({"repeats": 3}, training={"batch_size": 4, "epochs": 5})
    plan = summarize(spec, None, found)
    order = Order(spec, found)
    length = run_length(spec.training, order)
    assert plan.pictures is not None
    assert plan.pictures.total_steps == length.total_steps
    assert plan.pictures.steps_per_epoch == len(order.epoch(1).steps) == 6 + 3 + 2
    assert plan.pictures.samples_per_epoch == 39
    assert [(b.size, b.pictures, b.samples) for b in plan.pictures.buckets] == [
        ((384, 640), 2, 6), ((512, 512), 7, 21), ((640, 384), 4, 12),
    ]  # fmt: skip
    assert plan.pictures.buckets[1].crop_loss == 0
    assert json.loads(json.dumps(plan.to_json()))["memory"]["low"] == plan.memory.low


def test_notes_name_the_pictures() -> None:
    found = [*pictures((6000, 500), (60, 300)), *pictures((512, 512), folder=0, name="b", twin="t"),
             *pictures((512, 512), name="c", twin="t")]  # fmt: skip
    notes = "\n".join(summarize(job(), None, found).notes)
    assert "1 picture loses more than 20% to cropping: a/000.png" in notes
    assert "1 picture is smaller than 256 px on a side: a/001.png" in notes
    assert "4 pictures have no caption" in notes
    assert "1 picture is in the set more than once: b/000.png, c/000.png" in notes
    small = summarize(job(dataset={"resolution": ["128"]})).notes
    assert small == ("The shortest side (256) is above the resolution 128; 64 is used there.",)


def test_no_pictures_are_told() -> None:
    plan = summarize(job(), None, [])
    assert plan.pictures is not None
    assert "no pictures" in plan.pictures.problem
    assert plan.pictures.total_steps == 0


def test_memory_answers_to_the_options() -> None:
    """More of what costs memory is more, and each saver saves."""
    base = summarize(job()).memory
    assert base.low < base.high
    assert 2e9 < base.low < base.high < 8e9  # SD 1.x at 512 px in bf16
    more = {
        "batch": job(training={"batch_size": 4}),
        "fp32": job(training={"precision": "fp32"}),
        "size": job(dataset={"resolution": ["768"]}),
        "rank": job(network={"rank": 128}),
    }
    for name, spec in more.items():
        assert summarize(spec).memory.high > base.high, name
    checkpointed = job(training={"gradient_checkpointing": True, "batch_size": 4})
    assert summarize(checkpointed).memory.high < summarize(more["batch"]).memory.high
    parts = {p.name: p.low for p in base.parts}
    trained = summarize(job()).parameters
    assert parts["adapters"] == parts["gradients"] == 4 * trained
    assert parts["optimizer"] == 8 * trained
    # the published 860 M and 123 M parameters, within 1 %
    assert parts["picture model"] / 2 == pytest.approx(860e6, rel=0.01)
    assert parts["text encoder"] / 2 == pytest.approx(123e6, rel=0.01)


def test_wrong_lr_weights_do_not_hide_the_rest() -> None:
    """A word that is no shape is told at its field; the plan still has numbers."""
    spec = Job.model_validate({"network": {"down_lr_weight": "sin"}})
    assert summarize(spec).modules == 264


def test_a_folder_without_weights_counts_as_published(tmp_path: Path) -> None:
    """As the hub's cache has it where only the configs were fetched."""
    for part in ("transformer", "vae", "text_encoder"):
        (tmp_path / part).mkdir()
    data = {"model": {"architecture": "hunyuan_image", "weights": "bf16"}}
    published = summarize(Job.model_validate(data)).memory
    facts = ModelFacts("hunyuan_image", layout="diffusers", path=tmp_path)
    assert summarize(Job.model_validate(data), facts).memory == published


def test_encoders_of_no_site_are_packed_too() -> None:
    """Qwen2.5-VL and ByT5: 6.3 of their 6.8 billion numbers take 8 bits, the rest 16."""
    data = {"model": {"architecture": "hunyuan_image", "text_encoder_weights": "int8"}}
    parts = {p.name: p.high for p in summarize(Job.model_validate(data)).memory.parts}
    assert parts["text encoder"] == pytest.approx(6.276e9 + 2 * 0.547e9, rel=0.01)


def test_blocks_that_wait_elsewhere_are_not_counted() -> None:
    """HunyuanImage: 40 single blocks of 193 million numbers each, of which two are on their way."""
    data = {"model": {"architecture": "hunyuan_image", "weights": "bf16"}}
    whole = {p.name: p.high for p in summarize(Job.model_validate(data)).memory.parts}
    swapping = Job.model_validate(data | {"training": {"blocks_to_swap": 40}})
    parts = {p.name: p.high for p in summarize(swapping).memory.parts}
    block = parts["blocks on their way"] / 2
    assert block == pytest.approx(2 * 193e6, rel=0.02)
    assert whole["picture model"] - parts["picture model"] == pytest.approx(40 * block)
    assert "blocks on their way" not in whole
