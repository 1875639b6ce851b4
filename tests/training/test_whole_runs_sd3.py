"""SD3 from load to the same preview, through the real engine process."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from tests.tiny import make_pictures
from tests.tiny_sd3 import make_sd3
from tests.whole_run import check_whole_run, whole_run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder, 2, ((64, 64),))
    return folder


def test_one_file_trains_on_kept_captions_and_draws_alike_again(
    pictures: Path, tmp_path: Path
) -> None:
    """SD3.5-medium in the original layout; encoders fall silent although captions are kept."""
    path = make_sd3(tmp_path / "model", "single_file", variant="3.5-medium")
    model = {"architecture": "sd3", "path": str(path)}
    check_whole_run(
        whole_run(model, pictures, tmp_path, objective={"text_encoder_dropout": [0.5, 0.5, 0.5]})
    )


def test_a_folder_trains_with_all_its_text_encoders(pictures: Path, tmp_path: Path) -> None:
    """SD3-medium in diffusers' layout, with adapters on CLIP-L, OpenCLIP-G and T5."""
    model = {"architecture": "sd3", "path": str(make_sd3(tmp_path / "model"))}
    run = whole_run(
        model,
        pictures,
        tmp_path,
        dataset={"cache_text": "off"},
        network={"train": "both", "train_t5xxl": True},
    )
    check_whole_run(run)
    with safe_open(run.adapter, "pt") as file:
        ups = [name for name in file.keys() if name.endswith("lora_up.weight")]  # noqa: SIM118
        for prefix in ("lora_unet_", "lora_te1_", "lora_te2_", "lora_te3_"):
            own = [file.get_tensor(name) for name in ups if name.startswith(prefix)]
            assert own
            assert any(bool(tensor.any()) for tensor in own), f"{prefix} learned nothing"
        metadata = file.metadata()
    assert metadata["ss_base_model_version"] == "medium"
    assert metadata["modelspec.resolution"] == "64x64"
