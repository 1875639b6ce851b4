"""Presets of kohya_ss' window."""

from __future__ import annotations

from typing import Any

import pytest

from engine.interop.importing import import_tree
from engine.interop.reading import ImportProblem
from engine.schema.check import check

PRESET: dict[str, Any] = {
    "LoRA_type": "Kohya LoCon", "sdxl": True, "flux1_checkbox": False,
    "pretrained_model_name_or_path": "base.safetensors", "train_data_dir": "/pictures",
    "max_resolution": "1024,1024", "network_dim": 32, "network_alpha": 16, "conv_dim": 8,
    "conv_alpha": 4, "learning_rate": 0.0003, "unet_lr": 0.0002, "text_encoder_lr": 0,
    "optimizer": "Prodigy", "optimizer_args": "decouple=True weight_decay=0.01 d_coef=2",
    "lr_scheduler": "cosine", "lr_warmup": 10, "epoch": 12, "max_train_steps": "0",
    "max_train_epochs": "", "train_batch_size": 2, "cache_latents": True, "xformers": "xformers",
    "save_every_n_epochs": 1, "min_snr_gamma": 5, "noise_offset_type": "Multires",
    "noise_offset": 0.1, "multires_noise_iterations": 6, "multires_noise_discount": 0.3,
    "max_grad_norm": 0, "img_attn_dim": "", "flux1_cache_text_encoder_outputs": True,
    "sample_prompts": "a cat --w 512\na dog", "sample_sampler": "euler_a",
    "caption_extension": ".txt",
    "additional_parameters": "--save_precision bf16 --ip_noise_gamma=0.05", "gpu_ids": "0,1",
    "num_processes": 2, "multi_gpu": True, "huggingface_token": "", "mixed_precision": "bf16",
    "down_lr_weight": "", "use_cp": False, "unit": 1, "clip_skip": "2",
}  # fmt: skip


def test_a_preset_becomes_a_job() -> None:
    job = check(import_tree(PRESET).data).job
    assert (job.model.architecture, job.model.path) == ("sdxl", "base.safetensors")
    assert (job.network.rank, job.network.alpha) == (32, 16.0)
    assert (job.network.conv_dim, job.network.conv_alpha) == (8, 4.0)
    assert (job.network.train, job.network.img_attn_dim) == ("denoiser", None)
    assert (job.optimizer.name, job.optimizer.denoiser_lr) == ("Prodigy", 2e-4)
    assert (job.optimizer.args.decouple, job.optimizer.args.d_coef) == (True, 2.0)
    assert (job.optimizer.schedule, job.optimizer.warmup) == ("cosine", "10%")
    assert job.optimizer.max_grad_norm == 0
    assert (job.training.epochs, job.training.steps) == (12, None)
    assert (job.objective.noise_offset, job.objective.multires_iterations) == (None, 6)
    assert job.objective.input_perturbation == 0.05
    assert (job.output.precision, job.output.every_epochs) == ("bf16", 1)
    assert [p.prompt for p in job.samples.prompts] == ["a cat", "a dog"]
    assert (job.samples.sampler, job.launch.devices) == ("euler_a", "0,1")
    assert job.dataset.cache_text == "off"


def test_every_key_of_the_preset_has_a_line() -> None:
    told = {line.key for line in import_tree(PRESET).lines}
    gone = {key for key in PRESET if key not in told} - {"optimizer_args"}
    assert gone == set()


def test_a_secret_is_hidden_and_a_length_in_tokens_is_not() -> None:
    told = import_tree(PRESET | {"huggingface_token": "hf_abc", "max_token_length": 150}).text()
    assert "hf_abc" not in told
    assert "max_token_length = 150" in told


def test_zero_that_the_window_would_have_dropped_is_noted() -> None:
    assert any("max_grad_norm" in note for note in import_tree(PRESET).notes)


@pytest.mark.parametrize("kind", ["LyCORIS/LoHa", "LyCORIS/LoKr", "LyCORIS/iA3", "Flux1 OFT"])
def test_other_kinds_are_refused_and_it_is_lora(kind: str) -> None:
    imported = import_tree(PRESET | {"LoRA_type": kind})
    refused = next(line for line in imported.of("refused") if line.key == "LoRA_type")
    assert refused.value == kind
    assert check(imported.data).job.network.kind == "lora"


def test_a_flux_preset_takes_its_own_panel() -> None:
    flux = PRESET | {
        "sdxl": False, "flux1_checkbox": True, "LoRA_type": "Flux1", "clip_l": "c.safetensors",
        "t5xxl": "t.safetensors", "ae": "a.safetensors", "guidance_scale": 1, "img_attn_dim": 4,
        "timestep_sampling": "sigmoid", "model_prediction_type": "raw", "split_qkv": True,
    }  # fmt: skip
    job = check(import_tree(flux).data).job
    assert (job.model.architecture, job.model.text_encoder_2) == ("flux", "t.safetensors")
    assert (job.network.img_attn_dim, job.network.split_qkv) == (4, True)
    assert (job.objective.guidance, job.objective.timestep_sampling) == (1.0, "sigmoid")
    assert (job.network.conv_dim, job.dataset.cache_text) == (None, "memory")


def test_a_preset_of_another_tool_is_refused() -> None:
    with pytest.raises(ImportProblem, match="no LoRA"):
        import_tree({"train_batch_size": 1, "sdxl": True, "max_resolution": "512,512"})
