"""Lumina-Image 2 and Anima from load to the same preview, through the real engine process."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.tiny import make_pictures
from tests.tiny_anima import make_anima
from tests.tiny_lumina2 import make_lumina2
from tests.whole_run import check_whole_run, whole_run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder, 2, ((64, 64),))
    return folder


@pytest.mark.parametrize("layout", ["diffusers", "components"])
def test_lumina2_trains_and_draws_alike_again(
    layout: Literal["diffusers", "components"], pictures: Path, tmp_path: Path
) -> None:
    """training-dit 7, check 25: from a folder, and from separate files."""
    made = tmp_path / "model"
    model = {"architecture": "lumina2", "path": str(make_lumina2(made, layout))}
    if layout == "components":
        model["text_encoder"] = str(made / "gemma.safetensors")
        model["vae"] = str(made / "ae.safetensors")
    check_whole_run(whole_run(model, pictures, tmp_path))


@pytest.mark.parametrize("layout", ["diffusers", "components"])
def test_anima_trains_and_draws_alike_again(
    layout: Literal["diffusers", "components"], pictures: Path, tmp_path: Path
) -> None:
    """training-dit 7, check 25: from a folder, and from separate files."""
    made = tmp_path / "model"
    model = {"architecture": "anima", "path": str(make_anima(made, layout))}
    if layout == "components":
        model["text_encoder"] = str(made / "qwen.safetensors")
        model["vae"] = str(made / "vae.safetensors")
    check_whole_run(whole_run(model, pictures, tmp_path))
