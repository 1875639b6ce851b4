"""A job of what a file's metadata says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import check
from engine.schema.file_settings import OWN, STATED, settings_in, stated
from engine.schema.options import get_at, options

SD_SCRIPTS = {
    "ss_base_model_version": "sd_v1",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "16",
    "ss_network_alpha": "8.0",
    "ss_network_args": json.dumps({"conv_dim": "4", "block_dims": ",".join(["2"] * 25),
                                   "dropout": None, "algo": "lora"}),
    "ss_unet_lr": "0.0001",
    "ss_text_encoder_lr": "[1e-05]",
    "ss_optimizer": "prodigyopt.prodigy.Prodigy(weight_decay=0.01,betas=(0.9, 0.99),odd=3)",
    "ss_lr_scheduler": "cosine",
    "ss_max_train_steps": "1200",
    "ss_num_epochs": "12",
    "ss_batch_size_per_device": "2",
    "ss_resolution": "(512, 768)",
    "ss_mixed_precision": "no",
    "ss_clip_skip": "2",
    "ss_min_snr_gamma": "5.0",
    "ss_noise_offset": "None",
    "ss_gradient_checkpointing": "True",
    "ss_dataset_dirs": json.dumps({"10_cat": {"n_repeats": 10, "img_count": 12}}),
    "ss_reg_dataset_dirs": json.dumps({"1_dog": {"n_repeats": 1, "img_count": 30}}),
}  # fmt: skip


def test_the_entries_of_sd_scripts_become_fields() -> None:
    found = settings_in(SD_SCRIPTS, trained="denoiser")
    assert found is not None
    wanted = {
        "model.architecture": "sd1", "network.rank": 16, "network.alpha": 8.0,
        "network.conv_dim": 4, "network.block_dims": [2] * 25, "network.train": "denoiser",
        "optimizer.denoiser_lr": 1e-4, "optimizer.text_encoder_lr": [1e-5],
        "optimizer.name": "Prodigy", "optimizer.args.weight_decay": 0.01,
        "optimizer.args.betas": [0.9, 0.99], "optimizer.schedule": "cosine",
        "training.steps": 1200, "training.epochs": None, "training.batch_size": 2,
        "training.precision": "fp32", "training.gradient_checkpointing": True,
        "dataset.resolution": ["512x768"], "model.clip_skip": 2, "objective.min_snr_gamma": 5.0,
    }  # fmt: skip
    for path, value in wanted.items():
        assert get_at(found.data, path) == value, path
    assert "noise_offset" not in found.data["objective"]
    folders = found.data["dataset"]["folders"]
    assert folders == [
        {"path": "", "repeats": 10},
        {"path": "", "role": "regularization"},
    ]
    said = "\n".join(found.notes)
    for word in ("algo", "odd=3", "10_cat (12 pictures)", "1_dog"):
        assert word in said
    assert not [p for p in check(found.data).errors if "path" not in p.path]


def test_what_an_architecture_lacks_is_left_out_and_told() -> None:
    found = settings_in(SD_SCRIPTS | {"ss_base_model_version": "flux1"})
    assert found is not None
    assert get_at(found.data, "model.architecture") == "flux"
    assert "conv_dim" not in found.data["network"]
    assert any("conv_dim = 4 is left out" in note for note in found.notes)


def test_the_layers_speak_before_the_metadata() -> None:
    found = settings_in(SD_SCRIPTS, "sdxl")
    assert found is not None
    assert get_at(found.data, "model.architecture") == "sdxl"


def test_sd_scripts_counts_noise_from_the_other_end() -> None:
    """training-sd-flux 0.6: the same mean is less noise on FLUX, and more on SD3."""
    levels = {"ss_network_dim": "4", "ss_logit_mean": "1.0", "ss_timestep_sampling": "sigma"}
    means = {
        (version, by): get_at(
            settings_in(levels | {"ss_base_model_version": version,
                                  "ss_sd_scripts_commit_hash": by}).data,  # pyright: ignore
            "objective.logit_mean",
        )
        for version in ("flux1", "medium", "lumina2") for by in ("abcdef", "graft 0.1")
    }  # fmt: skip
    assert means == {
        ("flux1", "abcdef"): -1, ("flux1", "graft 0.1"): 1, ("medium", "abcdef"): 1,
        ("medium", "graft 0.1"): 1, ("lumina2", "abcdef"): -1, ("lumina2", "graft 0.1"): 1,
    }  # fmt: skip


def test_our_own_job_comes_back_without_the_places_of_another_machine() -> None:
    job = {
        "model": {"architecture": "sdxl", "path": "base.safetensors"},
        "dataset": {"folders": [{"path": "cats", "repeats": 3.0}], "resolution": ["1024"]},
        "network": {"rank": 12}, "output": {"name": "cat", "directory": "runs"},
    }  # fmt: skip
    found = settings_in({OWN: json.dumps(job), "ss_network_dim": "99"})
    assert found is not None
    assert found.data["network"] == {"rank": 12}
    assert found.data["dataset"]["folders"] == [{"path": "", "repeats": 3.0}]
    assert found.data["output"] == {}
    assert "path" not in found.data["model"]
    assert any("base.safetensors" in note for note in found.notes)
    hub = job | {"model": {"architecture": "sdxl", "path": "stabilityai/sdxl-base"}}
    kept = settings_in({OWN: json.dumps(hub)})
    assert kept is not None
    assert kept.data["model"]["path"] == "stabilityai/sdxl-base"


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_a_whole_job_comes_back_as_it_was(architecture: str) -> None:
    folder = {"path": "/pictures/cats", "repeats": 4, "shuffle_tags": True}
    job = check({
        "model": {"architecture": architecture, "path": "/models/x.safetensors"},
        "dataset": {"folders": [folder]},
        "network": {"rank": 12, "max_norm": 1.0, "kind": "dylora", "unit": 4},
        "optimizer": {"name": "Prodigy", "args": {"d_coef": 0.8}},
        "samples": {"prompts": [{"prompt": "a cat"}]},
        "launch": {"cpu_threads": 3},
    }).job  # fmt: skip
    found = settings_in({OWN: json.dumps(job.model_dump())}, architecture, "both")
    assert found is not None
    back = check(found.data).job.model_dump()
    wanted = job.model_dump()
    wanted["model"]["path"] = wanted["dataset"]["folders"][0]["path"] = ""
    wanted["launch"] = back["launch"]
    assert back == wanted
    assert back["launch"]["cpu_threads"] is None


def test_a_broken_job_falls_back_to_single_entries() -> None:
    found = settings_in(SD_SCRIPTS | {OWN: '{"network": '})
    assert found is not None
    assert get_at(found.data, "network.rank") == 16
    assert "cannot be read" in found.notes[0]


def test_a_file_that_says_nothing_has_no_settings() -> None:
    assert settings_in({"format": "pt", "ss_network_dim": "None"}) is None


def test_every_field_named_is_one_and_every_word_is_said() -> None:
    assert all(path in options() for _, _, path in STATED if path)
    said = dict(stated(SD_SCRIPTS))
    assert said["rank"] == "16"
    assert said["clip skip"] == "2"
    assert "noise offset" not in said


_KEYS = st.sampled_from([key for key, _, _ in STATED] + [
    OWN, "ss_datasets", "ss_dataset_dirs", "ss_resolution", "ss_base_model_version",
])  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["network", "rank", "model", "subsets", "x"]), inner,
                      max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_KEYS, st.text(max_size=20) | _JSON.map(json.dumps), max_size=6))
def test_no_metadata_breaks_it(metadata: dict[str, str]) -> None:
    found = settings_in(metadata)
    if found is not None:
        wrong = [p.path for p in check(found.data).errors]
        assert all(path.startswith(("model.", "dataset.folders")) for path in wrong)
