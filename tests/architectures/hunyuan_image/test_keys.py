"""Files of HunyuanImage-2.1 at full size, as names and shapes: every tensor finds its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl_hunyuanimage import AutoencoderKLHunyuanImage
from diffusers.models.transformers.transformer_hunyuanimage import HunyuanImageTransformer2DModel
from torch import Tensor

from engine.architectures.hunyuan_image.files import CONFIGS
from engine.architectures.hunyuan_image.keys import convert_denoiser, convert_vae
from tests.tiny_hunyuan_image import Spelling, original_denoiser, original_vae

Shapes = dict[str, tuple[int, ...]]
RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "names.json").read_text("utf-8"))


def recorded(part: str) -> Shapes:
    """The published file's tensors; `*` stands for the number of a block."""
    shapes: Shapes = {}
    for name, shape in RECORDED[part].items():
        start = name.split(".*.")[0]
        for block in range(RECORDED["blocks"][start] if "*" in name else 1):
            shapes[name.replace("*", str(block))] = tuple(shape)
    return shapes


def empty(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def published(cls: Any, part: str) -> dict[str, Tensor]:
    with init_empty_weights():
        return cls.from_config(
            json.loads((CONFIGS / part / "config.json").read_text())
        ).state_dict()


@pytest.fixture(scope="module")
def library() -> dict[str, Tensor]:
    """The library's denoiser at its full size, without memory."""
    return published(HunyuanImageTransformer2DModel, "transformer")


def test_the_published_denoiser_becomes_the_librarys(library: dict[str, Tensor]) -> None:
    """training-dit 7, check 7: 856 → 1,264 names, with equal shapes."""
    file = recorded("denoiser")
    assert len(file) == 856
    converted = shapes_of(convert_denoiser(empty(file)))
    assert len(converted) == 1264
    assert converted == shapes_of(library)


@pytest.mark.parametrize("spelling", get_args(Spelling))
def test_every_spelling_becomes_the_librarys(library: dict[str, Tensor], spelling: Any) -> None:
    """training-dit 7, check 7, spellings (a), (b) and (c)."""
    file = original_denoiser(library, spelling)
    if spelling == "fused":
        assert shapes_of(file) == recorded("denoiser")
    if spelling == "comfyui":
        assert len(file) == 856
        assert "double_blocks.19.txt_attn.norm.key_norm.scale" in file
    assert shapes_of(convert_denoiser(file)) == shapes_of(library)


def test_the_last_modulation_is_swapped_and_fused_layers_are_cut() -> None:
    """training-dit 3.2: (shift, scale) becomes (scale, shift); q, k, v and mlp are rows."""
    rows = torch.arange(10.0)[:, None].expand(10, 2)
    file = {
        "img_in.proj.weight": torch.zeros(2, 1, 1, 1),
        "double_blocks.0.img_attn_q.weight": torch.zeros(2, 2),
        "final_layer.adaLN_modulation.1.weight": rows[:4],
        "final_layer.adaLN_modulation.1.bias": rows[:4, 0],
        "single_blocks.0.linear1.weight": rows,
    }
    converted = convert_denoiser(file)
    assert converted["norm_out.linear.weight"][:, 0].tolist() == [2, 3, 0, 1]
    assert converted["norm_out.linear.bias"].tolist() == [2, 3, 0, 1]
    here = "single_transformer_blocks.0"
    assert converted[f"{here}.attn.to_k.weight"][:, 0].tolist() == [2, 3]
    assert converted[f"{here}.proj_mlp.weight"][:, 0].tolist() == [6, 7, 8, 9]
    assert torch.equal(  # the library's own names stay as they are, also this one
        convert_denoiser({"norm_out.linear.bias": rows[:4, 0]})["norm_out.linear.bias"], rows[:4, 0]
    )


def test_unknown_tensors_keep_their_names() -> None:
    """So that they are found and told of when the model is put together."""
    assert list(convert_denoiser(empty({"double_blocks.0.new.weight": (1,)}))) == [
        "double_blocks.0.new.weight"
    ]


def test_the_published_vae_becomes_the_librarys() -> None:
    """training-dit 3.2: the whole set of names and shapes."""
    library = published(AutoencoderKLHunyuanImage, "vae")
    file = recorded("vae")
    assert shapes_of(convert_vae(empty(file), 2)) == shapes_of(library)
    assert shapes_of(original_vae(library)) == file


def test_the_authors_vae_is_one_of_videos_with_one_frame() -> None:
    name = "decoder.up.0.block.1.conv1.weight"
    converted = convert_vae({name: torch.ones(4, 4, 1, 3, 3)}, 2)
    assert shapes_of(converted) == {"decoder.up_blocks.1.conv1.weight": (4, 4, 3, 3)}
