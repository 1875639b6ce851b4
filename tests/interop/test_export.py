"""Jobs for sd-scripts, and back again: the same job for what both have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.interop.importing import import_text
from engine.interop.sd_scripts_export import export_job
from engine.schema.architectures import ARCHITECTURES, FLOW, UNET
from engine.schema.check import check
from engine.schema.job_file import read_toml
from engine.schema.options import get_at

PRESETS = Path(__file__).parents[2] / "resources" / "presets"
COMMON: dict[str, Any] = {
    "dataset.resolution": ["512", "768x1024"], "dataset.bucket_max": 2048,
    "dataset.cache_latents": "disk", "dataset.upscale": False, "dataset.validation_share": 0.1,
    "network.rank": 8, "network.alpha": 4.0, "network.dropout": 0.1, "network.max_norm": 1.0,
    "network.train": "denoiser", "network.loraplus_lr_ratio": 4.0,
    "training.epochs": 7, "training.batch_size": 2, "training.gradient_accumulation": 3,
    "training.precision": "bf16", "training.gradient_checkpointing": True, "training.seed": 9,
    "training.adapter_precision": "bf16", "optimizer.name": "AdamW8bit",
    "optimizer.learning_rate": 2e-4, "optimizer.denoiser_lr": 1e-4, "optimizer.warmup": 50,
    "optimizer.schedule": "cosine_with_restarts", "optimizer.cycles": 3,
    "optimizer.max_grad_norm": 0.5, "optimizer.args.weight_decay": 0.05,
    "optimizer.args.betas": [0.9, 0.95], "objective.loss": "huber", "objective.huber_c": 0.2,
    "objective.timestep_min": 100, "objective.input_perturbation": 0.05,
    "output.name": "kitty", "output.directory": "/out", "output.every_epochs": 2,
    "output.keep_last": 3, "output.precision": "fp16", "output.metadata.author": "me",
    "samples.every_epochs": 2, "samples.at_start": False, "output.trackers": ["wandb"],
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "sd1": {"network.conv_dim": 4, "network.conv_alpha": 2.0, "network.block_dims": [4] * 25,
            "model.clip_skip": 2, "model.max_tokens": 150, "objective.min_snr_gamma": 5.0,
            "objective.noise_offset": 0.05},
    "sd2": {"model.prediction": "v", "objective.zero_terminal_snr": True},
    "sdxl": {"network.dora_wd": True, "dataset.cache_text": "disk", "network.conv_dim": 8},
    "flux": {"network.img_attn_dim": 0, "network.train_blocks": "double", "model.weights": "fp8",
             "network.train_double_block_indices": "0-3", "network.split_qkv": True,
             "objective.timestep_sampling": "sigma", "objective.weighting": "logit_normal",
             "objective.logit_mean": 0.4, "objective.flow_shift": 2.5, "model.vae": "/ae",
             "model.text_encoder": "/c", "model.text_encoder_2": "/t", "objective.guidance": 2.0,
             "model.t5_max_tokens": 256, "training.blocks_to_swap": 6},
    "sd3": {"network.x_attn_dim": 4, "objective.weighting": "logit_normal",
            "objective.prediction_scaling": "x0", "objective.logit_mean": 0.4,
            "objective.text_encoder_dropout": [0.1, 0.0, 0.2], "model.text_encoder_3": "/t",
            "model.clip_attention_mask": True},
    "lumina2": {"network.attn_dim": 4, "objective.timestep_sampling": "nextdit_shift",
                "model.max_tokens": 200, "model.system_prompt": "Draw.",
                "model.text_encoder": "/g"},
    "hunyuan_image": {"network.single_dim": 4, "model.text_encoder_2": "/b",
                      "model.weights": "fp8_scaled", "objective.flow_shift": 4.0},
    "anima": {"network.exclude_patterns": ["^(?:.*mlp.*)$"], "model.text_conditioner": "/l",
              "network.network_reg_dims": ["^(?:.*self_attn.*)$=8"], "model.attention": "flash",
              "objective.weighting": "sigma_sqrt", "network.train_llm_adapter": True,
              "dataset.cache_text": "off"},
}  # fmt: skip


def job_of(architecture: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "model": {"architecture": architecture, "path": "/models/base.safetensors"},
        "dataset": {"folders": [
            {"path": "/cats", "repeats": 3.0, "shuffle_tags": True, "keep_tags": 1, "flip": 0.5,
             "caption_extension": ".txt", "fallback_caption": "cat"},
            {"path": "/reg", "role": "regularization", "loss_weight": 0.5, "mask": "alpha"},
        ]},
        "samples": {"prompts": [{"prompt": "a cat", "width": 640, "seed": 3}]},
        "objective": {"mask_normalize": False},
    }  # fmt: skip
    values = COMMON | OWN[architecture]
    if architecture not in UNET:
        values = values | {"objective.loss": "l2"}
    for path, value in values.items():
        table = data
        *parents, last = path.split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return data


def test_kept_captions_beside_a_trained_clip_are_not_of_sd_scripts() -> None:
    """Its SDXL trainer keeps captions only where it trains no text encoder."""
    data = job_of("sdxl")
    assert "dataset.cache_text" not in dict(export_job(data).lacks)
    data["network"]["train"] = "both"
    data["optimizer"]["text_encoder_lr"] = [1e-5, 0.0]
    exported = export_job(data)
    assert "dataset.cache_text" in dict(exported.lacks)
    assert "--cache_text_encoder_outputs" not in exported.files["train.sh"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_job_comes_back_as_it_went(architecture: str, tmp_path: Path) -> None:
    data = job_of(architecture)
    assert not check(data).errors
    exported = export_job(data)
    assert exported.lacks == ()
    for name, text in exported.files.items():
        (tmp_path / name).write_text(text)
    for script in ("train.sh", "train.bat"):
        imported = import_text(exported.files[script], "", tmp_path)
        assert not imported.unknown
        before, after = check(data).job.model_dump(), check(imported.data).job.model_dump()
        different = {
            path: (get_at(before, path), get_at(after, path))
            for path in (*COMMON, *OWN[architecture])
            if get_at(before, path) != get_at(after, path)
        }
        if architecture in FLOW:  # which have no Huber loss here
            different.pop("objective.huber_c", None)
        assert different == {}
        assert before["dataset"]["folders"] == after["dataset"]["folders"]
        assert after["samples"]["prompts"][0]["width"] == 640
        assert after["objective"]["mask_normalize"] is False


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_can_be_written_and_is_read_without_unknown_words(path: Path) -> None:
    data = read_toml(path)
    data.pop("preset")
    imported = import_text(export_job(data).files["train.sh"])
    assert imported.unknown == ()
    assert not [line for line in imported.of("refused") if line.key != "dataset_config"]
    before, after = check(data).job, check(imported.data).job
    assert (before.model.architecture, before.network.rank) == (
        after.model.architecture, after.network.rank,
    )  # fmt: skip
    assert before.optimizer.learning_rate == after.optimizer.learning_rate


def test_what_sd_scripts_lacks_is_told() -> None:
    data = job_of("flux")
    data["model"]["weights"] = "nf4"
    data["training"] |= {"ema": 0.99, "deterministic": True}
    data["optimizer"]["schedule"] = "rex"
    data["dataset"]["folders"][0] |= {"repeats": 2.5, "recursive": True}
    lacks = dict(export_job(data).lacks)
    assert {"model.weights", "training.ema", "training.deterministic", "optimizer.schedule",
            "dataset.folders[0].repeats", "dataset.folders[0].recursive"} == set(lacks)  # fmt: skip


def test_words_with_blanks_and_signs_are_quoted_for_both_shells() -> None:
    data = job_of("sd1")
    data["model"]["path"] = "/models/my $base 100%.safetensors"
    data["output"]["metadata"] = {"comment": 'say "hi"'}
    exported = export_job(data)
    assert "'/models/my $base 100%.safetensors'" in exported.files["train.sh"]
    assert '"/models/my $base 100%%.safetensors"' in exported.files["train.bat"]
    assert exported.files["train.bat"].count("^\r\n") == exported.files["train.sh"].count("\\\n")
