"""HunyuanImage-2.1 through the real engine process, from a folder and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from engine.protocol import Failure, Finished, Step
from tests.tiny import make_pictures
from tests.tiny_hunyuan_image import component_files, make_hunyuan_image
from tests.whole_run import check_whole_run, draw_again, whole_run


def pictures(folder: Path) -> Path:
    """Four pictures; one caption says what is written in it."""
    make_pictures(folder, 4)
    (folder / "picture00.txt").write_text('a sign that says "Open", round')
    return folder


def test_a_folder_trains_with_the_captions_kept(tmp_path: Path) -> None:
    path = make_hunyuan_image(tmp_path / "model")
    run = whole_run(
        {"architecture": "hunyuan_image", "path": str(path)},
        pictures(tmp_path / "pictures"),
        tmp_path,
        dataset={"cache_text": "disk", "cache_directory": str(tmp_path / "cache")},
        training={"blocks_to_swap": 2},
    )
    check_whole_run(run)
    file = load_file(run.adapter)
    assert len(file) == 3 * (2 * 10 + 2 * 3)
    assert "lora_unet_double_blocks_0_img_mlp_fc1.lora_up.weight" in file


def test_files_train_in_bf16_and_comfyuis_names_come_back(tmp_path: Path) -> None:
    """The denoiser in ComfyUI's spelling, its blocks in eight bits, captions encoded each step."""
    path = make_hunyuan_image(tmp_path / "model", "comfyui", dtype=torch.bfloat16)
    model: dict[str, Any] = {"architecture": "hunyuan_image", "path": str(path), "weights": "int8"}
    run = whole_run(
        model | component_files(path),
        pictures(tmp_path / "pictures"),
        tmp_path,
        training={"precision": "bf16"},
        dataset={"cache_text": "off"},
        output={"layout": "comfyui"},
    )
    assert run.of(Failure) == []
    assert run.of(Finished)[-1].reason == "done"
    assert all(np.isfinite(step.loss) and step.grad_norm > 0 for step in run.of(Step))
    names = {key.split(".")[0] for key in load_file(run.adapter)}
    assert "lora_unet_double_blocks_0_img_mlp_0" in names
    assert not any("mlp_fc" in name or "linear_" in name for name in names)
    before, after = run.pictures()
    again = draw_again(run, torch.bfloat16)
    assert np.abs(again.astype(int) - after).max() <= np.abs(before.astype(int) - after).max() / 4
