"""FLUX.1 from load to the same preview, through the real engine process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from engine.protocol import Phase
from tests.tiny import make_pictures
from tests.tiny_flux import files_beside, make_flux
from tests.whole_run import WholeRun, check_whole_run, whole_run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder, 2, ((64, 64),))
    return folder


def learned(run: WholeRun) -> dict[str, int]:
    """Prefix → how many adapters of it have learned something."""
    counts: dict[str, int] = {}
    with safe_open(run.adapter, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            if name.endswith("lora_up.weight") and bool(file.get_tensor(name).any()):
                prefix = "_".join(name.split("_")[:2])
                counts[prefix] = counts.get(prefix, 0) + 1
    return counts


def test_original_files_train_on_kept_captions_and_draw_alike_again(
    pictures: Path, tmp_path: Path
) -> None:
    """The files apart, as sd-scripts' users have them; the text encoders leave after captions."""
    path = make_flux(tmp_path / "model", "components")
    model: dict[str, Any] = {"architecture": "flux", "path": str(path), "t5_max_tokens": 16}
    run = whole_run(
        model | files_beside(path), pictures, tmp_path, samples={"guidance": 4.0, "cfg": 1.0}
    )
    check_whole_run(run)
    assert learned(run) == {"lora_unet": 26}
    assert "Encoding the captions" in {phase.words for phase in run.of(Phase)}
    with safe_open(run.adapter, "pt") as file:
        metadata = file.metadata()
    assert metadata["ss_base_model_version"] == "flux1"
    assert metadata["modelspec.architecture"] == "flux-1-dev/lora"
    assert metadata["ss_guidance_scale"] == "1.0"
    assert metadata["ss_timestep_sampling"] == "flux_shift"
    assert "modelspec.prediction_type" not in metadata


def test_a_folder_trains_with_both_text_encoders_and_embedders(
    pictures: Path, tmp_path: Path
) -> None:
    """schnell in diffusers' layout; CLIP-L, T5 and embedders carry adapters, padding is masked."""
    path = make_flux(tmp_path / "model", variant="schnell")
    model = {
        "architecture": "flux", "path": str(path), "t5_max_tokens": 16, "t5_attention_mask": True,
    }  # fmt: skip
    network = {"train": "both", "train_t5xxl": True, "in_dims": [2, 2, 2, 2, 2]}
    run = whole_run(model, pictures, tmp_path, dataset={"cache_text": "off"}, network=network)
    check_whole_run(run)
    # six embedder layers, as schnell has no guidance; CLIP's and T5's twelve and fourteen
    assert learned(run) == {"lora_unet": 26 + 6, "lora_te1": 12, "lora_te3": 14}
