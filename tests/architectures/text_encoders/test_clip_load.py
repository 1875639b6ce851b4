"""CLIP encoders out of folders, files of their own and whole checkpoints (training-sd-flux 1.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.checkpoint import open_checkpoint
from engine.architectures.text_encoders.clip_load import (
    CLIP_L,
    CLIP_L_IDENTITY,
    OPEN_CLIP_G,
    ClipKind,
    clip_in_checkpoint,
    load_clip,
)
from engine.architectures.text_encoders.clip_windows import Windows, encode_hidden
from tests.tiny_ldm import open_clip_state_dict
from tests.tiny_sdxl import TinySdxl, tiny_sdxl

FIELD = "model.text_encoder"


@pytest.fixture(scope="module")
def tiny() -> TinySdxl:
    return tiny_sdxl()


def written(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
    return path


def loaded(kind: ClipKind, path: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    return load_clip(kind, path, dtype, FIELD)


def assert_same(ours: nn.Module, theirs: nn.Module, *, but: str = "-") -> None:
    own, expected = ours.state_dict(), theirs.state_dict()
    assert own.keys() - {but} == expected.keys() - {but}
    assert [n for n in expected if n != but and not torch.equal(own[n], expected[n])] == []


@pytest.mark.parametrize("prefix", ["text_model.", "", "transformer.text_model."])
def test_component_files_load_with_each_prefix(tmp_path: Path, tiny: TinySdxl, prefix: str) -> None:
    """training-sd-flux 9, check 7: every parameter, `position_ids` and the projection ignored."""
    tensors = {prefix + n: t for n, t in tiny.clip_l.state_dict().items()}
    tensors[f"{prefix}embeddings.position_ids"] = torch.arange(77)[None]
    tensors["text_projection.weight"] = torch.ones(32, 32)
    tensors["logit_scale"] = torch.ones(())
    path = written(tmp_path / "clip_l.safetensors", tensors)
    assert_same(loaded(CLIP_L, path), tiny.clip_l)


def test_the_identity_projects_whatever_the_file_says(tmp_path: Path, tiny: TinySdxl) -> None:
    """training-sd-flux 1.4: SD3's CLIP-L."""
    tensors = {f"text_model.{n}": t for n, t in tiny.clip_l.state_dict().items()}
    for extra in ({}, {"text_projection.weight": torch.ones(32, 32)}):
        path = written(tmp_path / "clip_l.safetensors", tensors | extra)
        model: Any = loaded(CLIP_L_IDENTITY, path)
        assert torch.equal(model.text_projection.weight, torch.eye(32))
        ids = torch.tensor([[[512, 5, 513, 513]]])
        windows = Windows(ids, torch.ones(1, 1, 4))
        plain = encode_hidden(loaded(CLIP_L, path), windows)
        projected = encode_hidden(model, windows)
        assert torch.allclose(projected.pooled, plain.pooled, atol=1e-6)
        assert torch.equal(projected.states, plain.states)


@pytest.mark.parametrize("layout", ["transformers", "openclip"])
def test_the_second_encoder_loads_in_both_layouts(
    tmp_path: Path, tiny: TinySdxl, layout: str
) -> None:
    """training-sd-flux 9, check 2: OpenCLIP's projection is stored transposed."""
    state = tiny.clip_g.state_dict()
    tensors = dict(state) if layout == "transformers" else open_clip_state_dict(state, "")
    path = written(tmp_path / "clip_g.safetensors", tensors)
    assert_same(loaded(OPEN_CLIP_G, path), tiny.clip_g)
    halved = loaded(OPEN_CLIP_G, path, torch.bfloat16)
    assert {p.dtype for p in halved.parameters()} == {torch.bfloat16}


def test_eight_bit_files_are_cast(tmp_path: Path, tiny: TinySdxl) -> None:
    state = {f"text_model.{n}": t for n, t in tiny.clip_l.state_dict().items()}
    small = {n: t.to(torch.float8_e4m3fn) for n, t in state.items()}
    model: Any = loaded(CLIP_L, written(tmp_path / "clip_l_fp8.safetensors", small))
    name = "encoder.layers.0.mlp.fc1.weight"
    expected = tiny.clip_l.get_parameter(name).to(torch.float8_e4m3fn).float()
    assert torch.equal(model.get_parameter(name), expected)


def test_a_folder_loads_by_its_own_name_and_by_its_models(tmp_path: Path, tiny: TinySdxl) -> None:
    tiny.clip_l.save_pretrained(tmp_path / "text_encoder")
    for folder in (tmp_path / "text_encoder", tmp_path):
        assert_same(loaded(CLIP_L, folder), tiny.clip_l)
    identity: Any = loaded(CLIP_L_IDENTITY, tmp_path)
    assert torch.equal(identity.text_projection.weight, torch.eye(32))


def test_what_lies_below_a_prefix_is_found(tmp_path: Path, tiny: TinySdxl) -> None:
    below = "text_encoders.clip_g.transformer."
    tensors = {below + n: t for n, t in tiny.clip_g.state_dict().items()}
    path = written(tmp_path / "all.safetensors", tensors | {"other.weight": torch.ones(1)})
    checkpoint = open_checkpoint(path)
    model = clip_in_checkpoint(OPEN_CLIP_G, checkpoint, torch.float32, ("absent.", below))
    assert_same(model, tiny.clip_g)


WRONG = [
    ({"encoder.block.0.layer.0.SelfAttention.q.weight": (1, 1)}, "a T5 text encoder"),
    ({"double_blocks.0.img_mod.lin.weight": (1, 1)}, "a picture model"),
    ({"model.layers.0.self_attn.q_proj.weight": (1, 1)}, "another language model"),
    ({"text_model.embeddings.token_embedding.weight": (8, 1280)}, "OpenCLIP-G"),
    ({"token_embedding.weight": (8, 1024)}, "OpenCLIP-H"),
    ({"something.weight": (1, 1)}, "holds no text encoder CLIP-L"),
]


@pytest.mark.parametrize(("shapes", "words"), WRONG)
def test_another_file_is_called_by_its_name(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], words: str
) -> None:
    path = written(tmp_path / "wrong.safetensors", {n: torch.zeros(s) for n, s in shapes.items()})
    with pytest.raises(ModelProblem, match=words) as caught:
        loaded(CLIP_L, path)
    assert "wrong.safetensors" in caught.value.message
    assert "CLIP-L" in caught.value.mend
    assert caught.value.field == FIELD


def test_a_t5_folder_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ModelProblem, match="is a t5 model, but the text encoder CLIP-L"):
        loaded(CLIP_L, tmp_path)


def test_a_missing_projection_is_not_made_up(tmp_path: Path, tiny: TinySdxl) -> None:
    """training-sd-flux 1.4: the library would draw it at random."""
    tensors = dict(tiny.clip_g.state_dict())
    del tensors["text_projection.weight"]
    path = written(tmp_path / "clip_g.safetensors", tensors)
    with pytest.raises(ModelProblem, match=r"not whole.*text_projection.weight") as caught:
        loaded(OPEN_CLIP_G, path)
    assert caught.value.field == FIELD
    tiny.clip_g.text_model.save_pretrained(tmp_path / "folder")
    with pytest.raises(ModelProblem, match=r"text_projection|not whole|could not be loaded"):
        loaded(OPEN_CLIP_G, tmp_path / "folder")


def test_tensors_that_the_encoder_lacks_are_named(tmp_path: Path, tiny: TinySdxl) -> None:
    tensors = {f"text_model.{n}": t for n, t in tiny.clip_l.state_dict().items()}
    extra = {"text_model.encoder.layers.0.mlp.fc3.weight": torch.ones(1)}
    path = written(tmp_path / "odd.safetensors", tensors | extra)
    with pytest.raises(ModelProblem, match="1 tensors more than its architecture"):
        loaded(CLIP_L, path)


def test_masked_padding_leaves_the_caption_alone(tiny: TinySdxl) -> None:
    """training-sd-flux 2: a mask changes nothing before the padding, only the pad positions."""
    ids = torch.tensor([[[512, 5, 6, 513, 0, 0]]])
    windows = Windows(ids, torch.ones(1, 1, 6))
    with torch.no_grad():
        plain = encode_hidden(tiny.clip_g, windows)
        masked = encode_hidden(tiny.clip_g, windows, mask_padding=True)
    assert torch.allclose(plain.states[:, :4], masked.states[:, :4], atol=1e-6)
    assert not torch.allclose(plain.states[:, 4:], masked.states[:, 4:], atol=1e-6)
    assert torch.allclose(plain.pooled, masked.pooled, atol=1e-6)
