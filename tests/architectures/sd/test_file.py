from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.checkpoint import open_checkpoint
from engine.architectures.sd.file import config_folder, unet_in_checkpoint
from engine.architectures.sd.load import TEXT_PREFIXES
from engine.architectures.text_encoders.clip_load import CLIP_L, OPEN_CLIP_H, clip_in_checkpoint
from engine.architectures.vae.load import vae_in_checkpoint
from tests.architectures.conftest import Make
from tests.tiny import Layout, tiny_modules

CONFIGS = {name: config_folder(name, "epsilon") for name in ("sd1", "sd2")}


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    """Every tensor is there and bit-equal, and none is without storage."""
    own, expected = ours.state_dict(), theirs.state_dict()
    assert own.keys() == expected.keys()
    assert [n for n in own if own[n].is_meta or not torch.equal(own[n], expected[n])] == []


@pytest.mark.parametrize("architecture", ["sd1", "sd2"])
@pytest.mark.parametrize("layout", ["single_file", "ckpt"])
def test_a_file_gives_the_very_modules_it_was_made_of(
    tiny: Make, layout: Layout, architecture: str
) -> None:
    """training-sd-flux 9, checks 2, 5 and 7 (position_ids and old key names ignored)."""
    checkpoint = open_checkpoint(tiny(layout, architecture=architecture))
    configs = CONFIGS[architecture]
    expected = tiny_modules(architecture, vocabulary=49408)
    assert_same(unet_in_checkpoint(checkpoint, configs, torch.float32), expected.unet)
    assert_same(vae_in_checkpoint(checkpoint, configs, torch.float32), expected.vae)
    kind = {"sd1": CLIP_L, "sd2": OPEN_CLIP_H}[architecture]
    text = clip_in_checkpoint(kind, checkpoint, torch.float32, TEXT_PREFIXES)
    assert_same(text, expected.text_encoder)


def rewritten(path: Path, target: Path, change: Any) -> Path:
    save_file(change(load_file(path)), target)
    return target


def test_text_keys_without_text_model_are_understood(tiny: Make, tmp_path: Path) -> None:
    def strip(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name.replace("transformer.text_model.", "transformer."): t
                for name, t in tensors.items()}  # fmt: skip

    path = rewritten(tiny("single_file"), tmp_path / "nai.safetensors", strip)
    text = clip_in_checkpoint(CLIP_L, open_checkpoint(path), torch.float32, TEXT_PREFIXES)
    assert_same(text, tiny_modules(vocabulary=49408).text_encoder)


def test_weights_are_cast_and_ema_copies_are_left_out(tiny: Make, tmp_path: Path) -> None:
    def add_ema(tensors: dict[str, Any]) -> dict[str, Any]:
        copies = {f"model_ema.x{i}": torch.zeros(1) for i in range(120)}
        halves = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
        return halves | copies

    path = rewritten(tiny("single_file"), tmp_path / "ema.safetensors", add_ema)
    unet = unet_in_checkpoint(open_checkpoint(path), CONFIGS["sd1"], torch.bfloat16)
    assert {p.dtype for p in unet.parameters()} == {torch.bfloat16}
    expected = tiny_modules().unet.conv_in.weight.half().bfloat16()
    assert torch.equal(unet.conv_in.weight, expected)


@pytest.mark.parametrize("prefix", ["", "vae.", "first_stage_model."])
def test_vae_files_load_with_each_prefix(tiny: Make, tmp_path: Path, prefix: str) -> None:
    def only_vae(tensors: dict[str, Any]) -> dict[str, Any]:
        stem = "first_stage_model."
        return {prefix + n.removeprefix(stem): t for n, t in tensors.items() if n.startswith(stem)}

    path = rewritten(tiny("single_file"), tmp_path / "vae.safetensors", only_vae)
    vae = vae_in_checkpoint(open_checkpoint(path), CONFIGS["sd1"], torch.float32)
    assert_same(vae, tiny_modules(vocabulary=49408).vae)


def test_a_vae_file_in_the_libraries_layout_loads(tiny: Make) -> None:
    path = tiny("diffusers") / "vae" / "diffusion_pytorch_model.safetensors"
    vae = vae_in_checkpoint(open_checkpoint(path), CONFIGS["sd1"], torch.float32)
    assert_same(vae, tiny_modules().vae)


def test_a_missing_tensor_is_named(tiny: Make, tmp_path: Path) -> None:
    """training-sd-flux 1.2: nothing may stay without weights."""
    lost = "model.diffusion_model.middle_block.1.proj_in.weight"

    def lose(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor for name, tensor in tensors.items() if name != lost}

    path = rewritten(tiny("single_file"), tmp_path / "lost.safetensors", lose)
    with pytest.raises(ModelProblem, match=r"mid_block.attentions.0.proj_in.weight"):
        unet_in_checkpoint(open_checkpoint(path), CONFIGS["sd1"], torch.float32)


def test_a_tensor_too_many_is_named(tiny: Make, tmp_path: Path) -> None:
    extra = "model.diffusion_model.input_blocks.1.2.norm.weight"
    path = rewritten(
        tiny("single_file"), tmp_path / "extra.safetensors", lambda t: t | {extra: torch.ones(4)}
    )
    with pytest.raises(ModelProblem, match="1 tensors more than its architecture") as caught:
        unet_in_checkpoint(open_checkpoint(path), CONFIGS["sd1"], torch.float32)
    assert "input_blocks.1.2.norm.weight" in caught.value.message


class Foreign:
    """Stands for the training framework's objects in old checkpoints."""


def test_a_pickle_with_foreign_objects_is_refused(tmp_path: Path) -> None:
    """training-sd-flux 9, check 5."""
    path = tmp_path / "old.ckpt"
    torch.save({"state_dict": {"a": torch.ones(1)}, "callbacks": Foreign()}, path)
    with pytest.raises(ModelProblem, match="could run code") as caught:
        open_checkpoint(path)
    assert "safetensors" in caught.value.mend


def test_an_old_unzipped_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "legacy.ckpt"
    torch.save({"a": torch.arange(3.0)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(open_checkpoint(path).read({"a": "b"})["b"], torch.arange(3.0))


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1, 2], protocol=2)])
def test_a_broken_pickle_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(ModelProblem, match=r"broken\.ckpt"):
        open_checkpoint(path)


@pytest.mark.parametrize("cut", [4, 100, -4000])
def test_a_truncated_file_is_refused(tiny: Make, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(tiny("single_file").read_bytes()[:cut])
    with pytest.raises(ModelProblem, match=r"cut\.safetensors"):
        open_checkpoint(path)


def test_formats_are_read_as_they_are(tmp_path: Path) -> None:
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64]
    tensors = {f"t{i}": torch.arange(6).reshape(2, 3).to(d) for i, d in enumerate(dtypes)}
    tensors["scalar"] = torch.tensor(2.5)
    path = tmp_path / "formats.safetensors"
    save_file(tensors, path)
    names = {name: name for name in tensors}
    for dtype, given in zip(dtypes, open_checkpoint(path).read(names).values(), strict=False):
        assert given.dtype == dtype
        assert given.float().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert open_checkpoint(path).read(names, torch.bfloat16)["scalar"].item() == 2.5
