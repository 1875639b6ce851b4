"""Captions for HunyuanImage-2.1: what is cut out of which encoder (training-dit 3.3)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import ByT5Tokenizer, Qwen2_5_VLForConditionalGeneration

from engine.architectures.hunyuan_image.encoders import load_glyph_encoder, load_language_part
from engine.architectures.hunyuan_image.text import AFTER, BEFORE, HunyuanText, glyph_text
from engine.architectures.text_encoders.qwen_tokenizer import load_qwen_tokenizer
from tests.tiny_hunyuan_image import make_hunyuan_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hunyuan_image(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def text(folder: Path) -> HunyuanText:
    return HunyuanText(
        load_language_part(folder / "text_encoder", torch.float32, "model.path"),
        load_qwen_tokenizer(folder / "tokenizer"),
        load_glyph_encoder(folder / "text_encoder_2", torch.float32, "model.path"),
        ByT5Tokenizer(),
    )


@pytest.mark.parametrize(
    ("caption", "glyphs"),
    [
        ('a sign "Open" and “关门”', 'Text "Open". Text "关门". '),
        ("it's a dog's toy", None),
        ('x "a" "b"', 'Text "a". Text "b". '),
        ("plain", None),
        ("it's a \"Hi\" dog's", 'Text "Hi". '),
        ('“later”, ‘before it’ and "first"', 'Text "first". Text "before it". Text "later". '),
    ],
)
def test_what_is_quoted_is_written(caption: str, glyphs: str | None) -> None:
    """training-dit 7, check 14."""
    assert glyph_text(caption) == glyphs


def test_the_shipped_tokenizer_frames_captions_as_published() -> None:
    """training-dit 7, check 15; the ids of one text are known too (training-dit 4.3)."""
    tokenizer = load_qwen_tokenizer()
    assert len(tokenizer(BEFORE).input_ids) == 34
    for caption, left in (("", 1), ("a cat", 3)):
        assert len(tokenizer(BEFORE + caption + AFTER).input_ids) - 34 == left
    assert tokenizer("1girl, solo").input_ids == [16, 28552, 11, 13529]
    assert (tokenizer.pad_token_id, tokenizer.padding_side) == (151643, "right")


def test_glyphs_are_bytes(text: HunyuanText) -> None:
    """training-dit 7, check 16."""
    ids = text.glyph_tokenizer('Text "Hi". ').input_ids
    assert (len(ids), ids[0], ids[-1]) == (12, 87, 1)
    assert next(text.glyph_encoder.parameters()).shape[0] == 1510


@torch.no_grad()
def test_states_are_the_whole_models_third_last(folder: Path, text: HunyuanText) -> None:
    """training-dit 7, check 17: 3 of 5 layers, nothing of vision or output, bit for bit."""
    caption = "a red fox"
    states = text.encode([caption])["states"]
    ids = text.tokenizer(BEFORE + caption + AFTER, return_tensors="pt").input_ids
    whole = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "text_encoder")
    output = whole.eval()(input_ids=ids, output_hidden_states=True)
    assert output.hidden_states is not None
    assert torch.equal(states, output.hidden_states[-3][:, text.dropped :])
    names = {name for name, _ in text.encoder.named_parameters()}
    assert max(int(name.split(".")[1]) for name in names if name.startswith("layers.")) == 2
    assert not [n for n in names if "visual" in n or "lm_head" in n or n.startswith("norm")]


def test_captions_of_any_length_are_encoded_together_as_alone(text: HunyuanText) -> None:
    captions = ["", 'a sign "Open"', "a cat on a mat"]
    together = text.encode(captions)
    assert together["states_mask"].sum(1).tolist() == [1, 14, 15]
    assert together["glyphs_mask"].sum(1).tolist() == [0, 14, 0]
    for i, caption in enumerate(captions):
        alone = text.encode([caption])
        for name in ("states", "glyphs"):
            kept = together[name][i][together[f"{name}_mask"][i]]
            assert torch.allclose(kept, alone[name][0][alone[f"{name}_mask"][0]], atol=1e-5)
    assert not any(tensor.requires_grad for tensor in together.values())
    assert bool((together["glyphs"][0] == 0).all())


def test_long_captions_are_cut(text: HunyuanText) -> None:
    encoded = text.encode([f'"{"x" * 200}" {"y" * 2000}'])
    assert encoded["states"].shape[1] == 1024
    assert encoded["glyphs"].shape[1] == 128
