"""Options of places and rates through a whole training: files, curves and errors tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.protocol import Step
from engine.schema.problem import JobError
from engine.training.failures import failure_of
from tests.tiny_sets import MAKERS
from tests.training.conftest import Train


@pytest.fixture
def job_on(job_data: dict[str, Any], tmp_path: Path) -> Any:
    """Make the job for a tiny set of an architecture: two steps."""

    def make(architecture: str, **tables: dict[str, Any]) -> dict[str, Any]:
        path = MAKERS[architecture](tmp_path / architecture)
        data = {**job_data, "model": {"architecture": architecture, "path": str(path)}}
        data["training"] = {**job_data["training"], "epochs": None, "steps": 2}
        for table, values in tables.items():
            data[table] = {**data.get(table, {}), **values}
        return data

    return make


def ranks_in(file: Path) -> dict[str, int]:
    return {
        key.removesuffix(".lora_down.weight").removeprefix("lora_"): tensor.shape[0]
        for key, tensor in load_file(file).items()
        if key.endswith("lora_down.weight")
    }


def test_flux_by_family_block_and_pattern(job_on: Any, train_here: Train) -> None:
    data = job_on(
        "flux",
        network={
            "train": "both", "train_t5xxl": True, "img_mod_dim": 0, "txt_attn_dim": 2,
            "in_dims": [3, 0, 0, 0, 0], "train_single_block_indices": "1",
            "network_reg_dims": "double_blocks_1_img_attn=6",
            "network_reg_lrs": "double_blocks_1_img_attn=5e-4, te3_.*wo=0",
        },
        optimizer={"text_encoder_lr": [1e-5, 2e-5]},
        dataset={"cache_text": "off"},
    )  # fmt: skip
    trained = train_here(data)
    found = ranks_in(trained.run.checkpoints / "cat.safetensors")
    assert found["unet_double_blocks_0_img_attn_qkv"] == 4
    assert found["unet_double_blocks_1_img_attn_qkv"] == 6
    assert found["unet_double_blocks_0_txt_attn_proj"] == 2
    assert found["unet_img_in"] == 3
    assert not any("img_mod" in name or "single_blocks_0" in name for name in found)
    assert not any(name.endswith("_wo") for name in found)
    assert any(name.startswith("te3_") for name in found)
    rates = trained.of(Step)[-1].learning_rates
    assert rates == pytest.approx(
        {"textencoder1": 1e-5, "textencoder2": 2e-5, "unet_reg_lr_0": 5e-4, "unet": 1e-3}
    )
    moved = load_file(trained.run.checkpoints / "cat.safetensors")
    ups = [tensor for key, tensor in moved.items() if key.endswith("lora_up.weight")]
    assert all(up.abs().max() > 0 for up in ups)


def test_sd3_trains_one_text_encoder_of_three(job_on: Any, train_here: Train) -> None:
    """Networks 9, check 32: the rates [0, b, 0] train CLIP-G alone."""
    data = job_on(
        "sd3",
        network={"train": "text_encoder"},
        optimizer={"text_encoder_lr": [0, 1e-3, 0]},
        dataset={"cache_text": "off"},
    )
    trained = train_here(data)
    assert trained.of(Step)[-1].learning_rates == {"textencoder2": 1e-3}
    tensors = load_file(trained.run.checkpoints / "cat.safetensors")
    moved = {key[:8] for key, t in tensors.items() if key.endswith("up.weight") and t.any()}
    assert moved == {"lora_te2"}


def test_animas_llm_adapter_learns(job_on: Any, train_here: Train) -> None:
    """From kept captions: it runs inside the step (training-dit 4.3)."""
    data = job_on(
        "anima",
        network={
            "train": "denoiser", "train_llm_adapter": True,
            "exclude_patterns": ".*", "include_patterns": r"^llm_adapter\.",
        },
        dataset={"cache_text": "memory"},
    )  # fmt: skip
    trained = train_here(data)
    tensors = load_file(trained.run.checkpoints / "cat.safetensors")
    assert tensors
    assert all(key.startswith("lora_unet_llm_adapter_blocks_") for key in tensors)
    ups = [t for key, t in tensors.items() if key.endswith("lora_up.weight")]
    assert sum(bool(torch.any(up != 0)) for up in ups) == len(ups)
    assert trained.of(Step)[-1].learning_rates == {"unet": 1e-3}


def test_a_block_that_the_model_at_hand_lacks_is_told_at_its_field(
    job_on: Any, train_here: Train
) -> None:
    """The schema knows the published depths; this model has two blocks of each kind."""
    data = job_on("flux", network={"train": "denoiser", "train_double_block_indices": "0,5"})
    with pytest.raises(JobError) as caught:
        train_here(data)
    failure = failure_of(caught.value, None)
    assert failure.field == "network.train_double_block_indices"
    assert failure.message == ("Double blocks: there is no block 5; they are numbered 0 to 1.")


def test_options_that_leave_nothing_are_told_before_the_model_is_read(
    job_on: Any, train_here: Train
) -> None:
    told: list[str] = []

    def watch(event: Any, _: Any) -> None:
        told.append(getattr(event, "words", ""))

    data = job_on("flux", network={"train": "denoiser", "exclude_patterns": ".*"})
    with pytest.raises(JobError, match="train no layer at all"):
        train_here(data, on_event=watch)
    assert not any(word in words for words in told for word in ("Loading", "Encoding"))
