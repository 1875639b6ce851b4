"""T5 out of every kind of file, and how captions are fed to it (spec: training-sd-flux 1.4, 2)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import T5EncoderModel

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.checkpoint import open_checkpoint
from engine.architectures.running.frozen import Form, FrozenLinear, blocks_of, pack_block
from engine.architectures.text_encoders.t5 import INSIDE, encode_t5, load_t5, load_t5_tokenizer
from tests.tiny_flux import tiny_t5

FIELD = "model.text_encoder_2"
TOKENIZER = load_t5_tokenizer(None, Path("nowhere"), "tokenizer_2")


@pytest.fixture(scope="module")
def t5() -> T5EncoderModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return tiny_t5().eval()


def tensors_of(t5: T5EncoderModel) -> dict[str, Tensor]:
    tied = "encoder.embed_tokens.weight"
    return {name: tensor for name, tensor in t5.state_dict().items() if name != tied}


def load_named(path: Path, dtype: torch.dtype = torch.float32) -> T5EncoderModel:
    return load_t5(
        str(path), Path("nowhere"), None, "text_encoder_2", dtype, offline=True, field=FIELD
    )


def distance(ours: T5EncoderModel, theirs: T5EncoderModel) -> float:
    """The largest relative error of a weight, by its norm."""
    pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


def test_the_shipped_tokenizer_is_t5s() -> None:
    """training-sd-flux 1.5: ids of a caption; 32,100 entries."""
    assert TOKENIZER("a photo of a cat").input_ids == [3, 9, 1202, 13, 3, 9, 1712, 1]
    assert len(TOKENIZER) == 32100


def test_every_source_gives_the_same_encoder(t5: T5EncoderModel, tmp_path: Path) -> None:
    """training-sd-flux 9, check 7: without embed_tokens it is tied, and none lies on meta."""
    t5.save_pretrained(tmp_path / "folder")
    tensors = tensors_of(t5)
    save_file(tensors, tmp_path / "bare.safetensors")
    save_file({f"transformer.{n}": t for n, t in tensors.items()}, tmp_path / "old.safetensors")
    whole = tmp_path / "whole.safetensors"
    save_file({INSIDE + n: t for n, t in tensors.items()} | {"vae.x": torch.zeros(1)}, whole)
    inside = load_t5(
        None, whole, open_checkpoint(whole), "", torch.float32, offline=True, field=FIELD
    )
    names = ("folder", "bare.safetensors", "old.safetensors")
    for loaded in (*(load_named(tmp_path / name) for name in names), inside):
        assert distance(loaded, t5) == 0
        assert loaded.encoder.embed_tokens.weight is loaded.shared.weight
        assert loaded.config.dropout_rate == 0.0
        assert not loaded.training
        assert not any(p.is_meta for p in loaded.parameters())


def test_eight_bits_are_read_with_their_scales(t5: T5EncoderModel, tmp_path: Path) -> None:
    """Eight-bit floats with 3 bits of mantissa are off by under 3 %, with a scale beside or not."""
    fp8 = torch.float8_e4m3fn
    tensors = tensors_of(t5)
    save_file({n: t.to(fp8) for n, t in tensors.items()}, tmp_path / "plain.safetensors")
    for ending in ("scale_weight", "weight_scale"):
        scaled: dict[str, Tensor] = {"scaled_fp8": torch.zeros(2, dtype=fp8)}
        for name, tensor in tensors.items():
            if tensor.ndim == 2 and ".layer." in name and "bias" not in name:
                scale = tensor.abs().max() / 448
                stem = name.removesuffix("weight")
                scaled |= {name: (tensor / scale).to(fp8), stem + ending: scale}
                scaled[f"{stem}scale_input"] = torch.ones(())
            else:
                scaled[name] = tensor
        save_file(scaled, tmp_path / f"{ending}.safetensors")
    for name in ("plain", "scale_weight", "weight_scale"):
        loaded = load_named(tmp_path / f"{name}.safetensors", torch.bfloat16)
        assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
        assert 0.01 < distance(loaded.float(), t5) < 0.03


def test_scales_of_another_kind_are_refused(t5: T5EncoderModel, tmp_path: Path) -> None:
    name = "encoder.block.0.layer.0.SelfAttention.q.weight"
    tensors = tensors_of(t5)
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    tensors[f"{name}_scale"] = torch.ones(4, 2)
    save_file(tensors, tmp_path / "blocks.safetensors")
    with pytest.raises(ModelProblem, match="quantized in a way"):
        load_named(tmp_path / "blocks.safetensors")


def test_half_precision_keeps_what_overflows(t5: T5EncoderModel, tmp_path: Path) -> None:
    save_file(tensors_of(t5), tmp_path / "t5.safetensors")
    loaded = load_named(tmp_path / "t5.safetensors", torch.float16)
    wide = {n for n, p in loaded.named_parameters() if p.dtype == torch.float32}
    assert wide == {f"encoder.block.{i}.layer.1.DenseReluDense.wo.weight" for i in range(2)}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"text_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(2, 2)}, "a CLIP text encoder"),
        ({"double_blocks.0.img_attn.qkv.weight": torch.zeros(2, 2)}, "FLUX's picture model"),
        ({"something": torch.zeros(1)}, "holds no T5"),
    ],
)
def test_another_model_is_called_by_its_name(
    tensors: dict[str, Tensor], words: str, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelProblem, match=words) as problem:
        load_named(tmp_path / "x.safetensors")
    assert problem.value.field == FIELD
    assert "t5xxl" in problem.value.mend


def test_files_that_are_not_whole_are_told(t5: T5EncoderModel, tmp_path: Path) -> None:
    tensors = tensors_of(t5)
    del tensors["encoder.block.1.layer.0.SelfAttention.k.weight"]
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelProblem, match=r"not whole.*block\.1") as problem:
        load_named(tmp_path / "x.safetensors")
    assert problem.value.field == FIELD


def test_captions_are_padded_and_the_mask_hides_it(t5: T5EncoderModel) -> None:
    states, mask = encode_t5(t5, TOKENIZER, ["a cat", ""], 12, masked=False)
    assert states.shape == (2, 12, 32)
    assert mask.sum(dim=1).tolist() == [4, 1]
    longer, _ = encode_t5(t5, TOKENIZER, ["a cat"], 24, masked=False)
    assert not torch.allclose(states[0, :4], longer[0, :4], atol=1e-4)
    alone, _ = encode_t5(t5, TOKENIZER, ["a cat"], 12, masked=True)
    longer, _ = encode_t5(t5, TOKENIZER, ["a cat"], 24, masked=True)
    assert torch.allclose(alone[0, :4], longer[0, :4], atol=1e-5)


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip_text_model"}')
    with pytest.raises(ModelProblem, match="clip_text_model, not T5"):
        load_named(tmp_path)
    with pytest.raises(ModelProblem, match="no tokenizer") as problem:
        load_t5_tokenizer(str(tmp_path), Path("nowhere"), "tokenizer_2")
    assert problem.value.field == "model.tokenizer_2"


def test_a_tokenizer_of_the_models_own_is_used(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path / "tokenizer_2")
    own: Any = load_t5_tokenizer(None, tmp_path, "tokenizer_2")
    assert own("a cat").input_ids == TOKENIZER("a cat").input_ids
    assert own.name_or_path == str(tmp_path / "tokenizer_2")


@pytest.mark.parametrize(("form", "worst"), [("int8", 0.02), ("fp8_scaled", 0.06), ("fp8", 0.09)])
def test_it_works_with_its_weights_kept_in_eight_bits(
    t5: T5EncoderModel, form: Form, worst: float
) -> None:
    """The library feeds a layer in the dtype of its weight, which no product of fp8 could take."""
    expected, _ = encode_t5(t5, TOKENIZER, ["a cat"], 12, masked=False)
    packed = copy.deepcopy(t5)
    for block in blocks_of(packed):
        pack_block(block, torch.device("cpu"), lambda linear: FrozenLinear(linear, form))
    states, _ = encode_t5(packed, TOKENIZER, ["a cat"], 12, masked=False)
    assert states.dtype == torch.float32
    assert 0 < float((states - expected).norm() / expected.norm()) < worst
