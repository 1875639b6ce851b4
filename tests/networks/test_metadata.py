from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from engine.networks.file import read, save
from engine.networks.metadata import (
    MINIMUM,
    BaseModel,
    FolderFacts,
    TrainingFacts,
    build,
    network_args_of,
)
from engine.schema.dataset_folder import Folder
from engine.schema.job import Job
from engine.schema.network import Network
from tests.networks.test_file import pair

REQUIRED = [
    "ss_session_id",
    "ss_training_started_at",
    "ss_training_finished_at",
    "ss_output_name",
    "ss_learning_rate",
    "ss_text_encoder_lr",
    "ss_unet_lr",
    "ss_num_train_images",
    "ss_num_validation_images",
    "ss_num_reg_images",
    "ss_num_batches_per_epoch",
    "ss_num_epochs",
    "ss_max_train_steps",
    "ss_steps",
    "ss_epoch",
    "ss_gradient_checkpointing",
    "ss_gradient_accumulation_steps",
    "ss_lr_warmup_steps",
    "ss_lr_scheduler",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_dropout",
    "ss_mixed_precision",
    "ss_full_fp16",
    "ss_lowram",
    "ss_v2",
    "ss_base_model_version",
    "ss_clip_skip",
    "ss_max_token_length",
    "ss_cache_latents",
    "ss_seed",
    "ss_noise_offset",
    "ss_noise_offset_random_strength",
    "ss_adaptive_noise_scale",
    "ss_multires_noise_iterations",
    "ss_multires_noise_discount",
    "ss_ip_noise_gamma",
    "ss_ip_noise_gamma_random_strength",
    "ss_zero_terminal_snr",
    "ss_min_snr_gamma",
    "ss_debiased_estimation",
    "ss_prior_loss_weight",
    "ss_loss_type",
    "ss_huber_schedule",
    "ss_huber_scale",
    "ss_huber_c",
    "ss_scale_weight_norms",
    "ss_max_grad_norm",
    "ss_training_comment",
    "ss_sd_scripts_commit_hash",
    "ss_optimizer",
    "ss_caption_dropout_rate",
    "ss_caption_dropout_every_n_epochs",
    "ss_caption_tag_dropout_rate",
    "ss_validation_seed",
    "ss_validation_split",
    "ss_max_validation_steps",
    "ss_validate_every_n_epochs",
    "ss_validate_every_n_steps",
    "ss_resize_interpolation",
    "ss_sd_model_name",
    "ss_datasets",
    "ss_tag_frequency",
    "ss_dataset_dirs",
    "modelspec.sai_model_spec",
    "modelspec.architecture",
    "modelspec.implementation",
    "modelspec.title",
    "modelspec.date",
    "modelspec.resolution",
    "modelspec.prediction_type",
    "modelspec.implementation_version",
]


def facts(**changes: Any) -> TrainingFacts:
    values: dict[str, Any] = {
        "version": "0.1.0", "name": "cat", "session_id": 7, "started_at": 1000.5,
        "saved_at": 2000.0, "step": 10, "epoch": 2, "total_steps": 100, "total_epochs": 20,
        "batches_per_epoch": 5, "train_pictures": 12, "prior_pictures": 0,
        "validation_pictures": 2, "resolution": (512, 512), "prediction": "epsilon",
        "precision": "no", "optimizer": "torch.optim.adamw.AdamW(weight_decay=0.01)",
        "base": BaseModel("sd15.safetensors", "6ce0161689", "6ce0"),
        "folders": (
            FolderFacts(Folder(path="/home/someone/secret/10_cat", repeats=10), 6, {"cat": 6}),
            FolderFacts(Folder(path="/elsewhere/10_cat"), 4, {"hat": 1}),
        ),
        "buckets": (((512, 512), 12),),
    }  # fmt: skip
    return TrainingFacts(**{**values, **changes})


def built(job: dict[str, Any] | None = None, **changes: Any) -> dict[str, str]:
    return build(Job.model_validate(job or {}), facts(**changes))


def test_required_keys_are_there_and_all_values_are_text() -> None:
    """Check 44."""
    made = built()
    assert [key for key in REQUIRED if key not in made] == []
    assert all(isinstance(value, str) and value for value in made.values())
    assert made["ss_text_encoder_lr"] == "None"
    assert made["ss_v2"] == "False"
    assert made["ss_learning_rate"] == "0.0001"
    assert made["ss_network_module"] == "networks.lora"
    assert (made["ss_network_dim"], made["ss_network_alpha"]) == ("16", "8.0")
    assert made["ss_sd_model_hash"] == "6ce0161689"
    assert "ss_network_args" not in made


def test_without_a_description_six_keys_and_modelspec_stay(tmp_path: Path) -> None:
    """Check 44: at most 6 ss_ keys, modelspec, and the hashes."""
    job = {"output": {"metadata": {"write": False}}, "network": {"conv_dim": 4}}
    made = built(job)
    assert {key for key in made if key.startswith("ss_")} == set(MINIMUM)
    save(tmp_path / "a.safetensors", pair(), made, "fp32")
    stated = read(tmp_path / "a.safetensors").metadata
    others = {key for key in stated if not key.startswith(("ss_", "modelspec."))}
    assert others == {"sshs_model_hash", "sshs_legacy_hash"}
    assert stated["modelspec.architecture"] == "stable-diffusion-v1/lora"


def test_network_args_are_text_as_a_person_typed_them() -> None:
    network = Network(
        conv_dim=8, conv_alpha=0.5, block_dims=[2] * 25, down_lr_weight="cosine+.25",
        mid_lr_weight=[0.5], rank_dropout=0.1, loraplus_lr_ratio=16,
    )  # fmt: skip
    assert network_args_of(network) == {
        "conv_dim": "8", "conv_alpha": "0.5", "block_dims": ",".join(["2"] * 25),
        "down_lr_weight": "cosine+.25", "mid_lr_weight": "0.5", "rank_dropout": "0.1",
        "loraplus_lr_ratio": "16.0",
    }  # fmt: skip


def test_network_args_tell_of_places() -> None:
    """A rank of 0 says something; what stands at its default does not."""
    network = Network(
        img_mod_dim=0, in_dims=[4, 0, 0, 0, 4], train_double_block_indices="0-3,5",
        network_reg_dims=["single_blocks=0", "double_blocks_0_=8"], train_t5xxl=True,
    )  # fmt: skip
    assert network_args_of(network) == {
        "img_mod_dim": "0", "in_dims": "4,0,0,0,4", "train_double_block_indices": "0-3,5",
        "network_reg_dims": "single_blocks=0,double_blocks_0_=8", "train_t5xxl": "True",
    }  # fmt: skip
    assert network_args_of(Network()) == {}


def test_folders_tell_their_names_and_not_where_they_lie() -> None:
    made = built()
    assert json.loads(made["ss_tag_frequency"]) == {"10_cat": {"cat": 6}, "10_cat (2)": {"hat": 1}}
    counts = json.loads(made["ss_dataset_dirs"])
    assert counts["10_cat"] == {"n_repeats": 10.0, "img_count": 6}
    (dataset,) = json.loads(made["ss_datasets"])
    assert [s["image_dir"] for s in dataset["subsets"]] == ["10_cat", "10_cat (2)"]
    assert dataset["bucket_info"]["buckets"]["0"] == {"resolution": [512, 512], "count": 12}
    assert not any("secret" in value or "elsewhere" in value for value in made.values())


@pytest.mark.parametrize(
    ("architecture", "prediction", "version", "spec"),
    [
        ("sd1", "epsilon", "sd_v1", "stable-diffusion-v1/lora"),
        ("sdxl", "v", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
        ("sd2", "epsilon", "sd_v2", "stable-diffusion-v2-512/lora"),
        ("sd2", "v", "sd_v2_v", "stable-diffusion-v2-768-v/lora"),
    ],
)
def test_the_architecture_is_named(
    architecture: str, prediction: str, version: str, spec: str
) -> None:
    made = built({"model": {"architecture": architecture}}, prediction=prediction)
    assert made["ss_base_model_version"] == version
    assert made["ss_v2"] == str(architecture == "sd2")
    assert made["modelspec.architecture"] == spec
    assert made["modelspec.prediction_type"] == prediction


def test_the_persons_own_words_and_thumbnail_are_in_modelspec(tmp_path: Path) -> None:
    picture = tmp_path / "t.png"
    picture.write_bytes(b"png")
    job = {
        "output": {"metadata": {"title": "Cat", "author": "me", "thumbnail": str(picture)}},
        "dataset": {"trigger_word": "zxc"},
        "model": {"clip_skip": 2},
        "objective": {"timestep_max": 600},
    }
    made = built(job)
    assert made["modelspec.title"] == "Cat"
    assert made["modelspec.author"] == "me"
    assert made["modelspec.trigger_phrase"] == "zxc"
    assert made["modelspec.encoder_layer"] == made["ss_clip_skip"] == "2"
    assert made["modelspec.timestep_range"] == "0,600"
    encoded = base64.b64encode(b"png").decode()
    assert made["modelspec.thumbnail"] == f"data:image/png;base64,{encoded}"
    assert "modelspec.license" not in made
