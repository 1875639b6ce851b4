"""Presets and configurations of OneTrainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.interop.importing import import_file, import_tree
from engine.interop.reading import ImportProblem
from engine.schema.check import check

FLUX: dict[str, Any] = {
    "training_method": "LORA", "model_type": "FLUX_DEV_1", "base_model_name": "some/flux",
    "learning_rate": 0.0002, "batch_size": 2, "gradient_accumulation_steps": 4,
    "learning_rate_scaler": "GLOBAL", "learning_rate_warmup_steps": 200, "resolution": "768",
    "learning_rate_scheduler": "COSINE", "lora_rank": 32, "lora_alpha": 16.0, "epochs": 20,
    "optimizer": {"optimizer": "ADAMW_8BIT", "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
                  "fused": None},
    "transformer": {"train": True, "weight_dtype": "NFLOAT_4"},
    "text_encoder": {"train": False, "weight_dtype": "BFLOAT_16"},
    "text_encoder_2": {"train": False, "weight_dtype": "INT_8"},
    "train_dtype": "BFLOAT_16", "output_dtype": "BFLOAT_16", "ema": "GPU", "ema_decay": 0.99,
    "timestep_distribution": "LOGIT_NORMAL", "noising_bias": 0.3, "noising_weight": 0.2,
    "timestep_shift": 2.0, "output_model_destination": "models/kitty.safetensors",
    "save_every": 400, "save_every_unit": "STEP", "masked_training": True, "unmasked_weight": 0.2,
    "secrets": {"huggingface_token": "hf_abc"}, "layer_filter": "attn,ff.net",
    "concepts": [
        {"path": "/cats", "type": "STANDARD", "balancing": 2.5, "balancing_strategy": "REPEATS",
         "image": {"enable_random_flip": True, "enable_crop_jitter": True}, "enabled": True,
         "text": {"enable_tag_shuffling": True, "keep_tags_count": 2, "tag_delimiter": ","}},
        {"path": "/val", "type": "VALIDATION"},
    ],
    "samples": [{"enabled": True, "prompt": "a cat", "width": 768, "seed": 3, "cfg_scale": 3.5,
                 "random_seed": False, "noise_scheduler": "EULER"}],
}  # fmt: skip


def test_a_configuration_becomes_a_job() -> None:
    job = check(import_tree(FLUX).data).job
    assert (job.model.architecture, job.model.weights) == ("flux", "nf4")
    assert (job.model.text_encoder_weights, job.network.train) == ("int8", "denoiser")
    assert (job.network.rank, job.network.alpha) == (32, 16.0)
    assert job.optimizer.learning_rate == pytest.approx(0.0002 * 8**0.5)
    assert (job.optimizer.name, job.optimizer.args.betas) == ("AdamW8bit", [0.9, 0.95])
    assert job.optimizer.warmup == 50  # 200 passes, 4 of them a step
    assert (job.output.every_steps, job.output.every_epochs) == (100, None)
    assert (job.output.name, job.training.ema) == ("kitty", 0.99)
    objective = job.objective
    assert (objective.timestep_sampling, objective.weighting) == ("sigma", "logit_normal")
    assert (objective.logit_mean, objective.logit_std, objective.flow_shift) == (0.3, 1.2, 2.0)
    assert (objective.mask_floor, objective.mask_normalize) == (0.2, False)
    cats, held = job.dataset.folders
    assert (cats.path, cats.repeats, cats.flip, cats.keep_tags) == ("/cats", 2.5, 0.5, 2)
    assert (cats.mask, held.role, cats.random_crop) == ("file", "validation", False)
    assert job.network.include_patterns == ["attn", "(img|txt)_mlp"]
    assert job.network.exclude_patterns == [".*"]
    assert (job.samples.prompts[0].prompt, job.samples.prompts[0].seed) == ("a cat", 3)


def test_no_secret_is_repeated() -> None:
    assert "hf_abc" not in import_tree(FLUX).text()


def test_defaults_of_theirs_are_written_out() -> None:
    imported = import_tree({"training_method": "LORA", "model_type": "STABLE_DIFFUSION_15"})
    job = check(imported.data).job
    assert (job.optimizer.learning_rate, job.training.epochs) == (3e-6, 100)
    assert (job.network.train, job.network.alpha, job.network.conv_dim) == ("both", 1.0, 16)
    assert (job.training.precision, job.dataset.cache_latents) == ("fp16", "disk")


def test_concepts_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "concepts.json").write_text(json.dumps([{"path": "/cats", "balancing": 3}]))
    config = {"training_method": "LORA", "model_type": "STABLE_DIFFUSION_XL_10_BASE",
              "concept_file_name": "concepts.json"}  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(config))
    job = check(import_file(tmp_path / "c.json").data).job
    assert [(f.path, f.repeats) for f in job.dataset.folders] == [("/cats", 3.0)]


def test_a_model_that_is_not_trained_here_is_refused() -> None:
    with pytest.raises(ImportProblem, match="QWEN"):
        import_tree({"training_method": "LORA", "model_type": "QWEN"})
