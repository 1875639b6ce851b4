"""SDXL from load to the same preview, through the real engine process, in both layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.networks.file import read
from tests.tiny import make_pictures
from tests.tiny_sdxl import make_sdxl
from tests.whole_run import check_whole_run, whole_run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder, 2, ((64, 64),))
    return folder


def parts_of(adapter: Path) -> dict[str, int]:
    """How many adapters a file has for each model, by the first words of their names."""
    prefixes = ("lora_te1_text_model_", "lora_te2_text_model_", "lora_unet_")
    names = read(adapter).factors
    return {p: sum(name.startswith(p) for name in names) for p in prefixes}


def test_a_folder_trains_its_unet_on_kept_captions(pictures: Path, tmp_path: Path) -> None:
    """v-prediction with zero terminal SNR, as the folder's scheduler says."""
    path = make_sdxl(tmp_path / "model", prediction="v", zero_terminal_snr=True)
    model = {"architecture": "sdxl", "path": str(path)}
    run = whole_run(model, pictures, tmp_path, samples={"steps": 1})
    check_whole_run(run)
    assert list(parts_of(run.adapter).values()) == [0, 0, 722]
    metadata = read(run.adapter).metadata
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert metadata["modelspec.prediction_type"] == "v"


def test_one_text_encoder_learns_while_the_others_words_are_kept(
    pictures: Path, tmp_path: Path
) -> None:
    """The other's adapters are in the file too, and do nothing."""
    path = make_sdxl(tmp_path / "model")
    run = whole_run(
        {"architecture": "sdxl", "path": str(path)},
        pictures,
        tmp_path,
        network={"train": "text_encoder"},
        optimizer={"text_encoder_lr": [0.0, 1e-2]},
        samples={"steps": 1},
    )
    check_whole_run(run)
    ups = {n: bool(t.any()) for n, t in load_file(run.adapter).items() if "lora_up" in n}
    assert {n for n, learned in ups.items() if learned} == {n for n in ups if "te2" in n}
    assert len(ups) == 36


def test_a_file_trains_both_text_encoders(pictures: Path, tmp_path: Path) -> None:
    """One checkpoint in the original layout; 3×3 layers too, captions of two windows."""
    path = make_sdxl(tmp_path / "model", "single_file")
    run = whole_run(
        {"architecture": "sdxl", "path": str(path), "max_tokens": 150},
        pictures,
        tmp_path,
        dataset={"cache_text": "off"},
        network={"train": "both", "conv_dim": 2},
        samples={"steps": 1, "cfg": 1.0},
    )
    check_whole_run(run)
    # 3 layers of 6 in each tiny encoder; the widths' one change gives its U-Net fewer shortcuts
    first, second, unet = parts_of(run.adapter).values()
    assert (first, second) == (18, 18)
    assert unet > 722 + 38
