"""Adapters on HunyuanImage-2.1: files of sd-scripts, and merging into the original layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_hunyuanimage import HunyuanImageTransformer2DModel
from safetensors.torch import save_file
from torch import Tensor

from engine.architectures.hunyuan_image.files import load_denoiser
from engine.networks import attach_file
from engine.networks.shape import shape_of
from engine.networks.spellings import in_comfyui_names
from engine.plan.sites import sites_of
from tests.networks.golden_case import check_case
from tests.networks.parts import error
from tests.tiny_hunyuan_image import original_denoiser, tiny_hunyuan_image

SHARED = Path(__file__).parents[3] / "shared" / "golden" / "hunyuan"
RANK, ALPHA = 4, 2.0


def inputs(channels: int, text: int, glyphs: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "in.x": draw(2, channels, 4, 3),
        "in.t": torch.tensor([750.0, 120.0]),
        "in.txt": draw(2, 6, text),
        "in.txt_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
        "in.byt5": draw(2, 3, glyphs),
        "in.byt5_mask": torch.tensor([[1, 1, 0], [0, 0, 0]]),
    }


@torch.no_grad()
def run(denoiser: HunyuanImageTransformer2DModel, io: Mapping[str, Tensor]) -> Tensor:
    return denoiser(
        io["in.x"], io["in.t"], io["in.txt"], io["in.txt_mask"],
        encoder_hidden_states_2=io["in.byt5"], encoder_attention_mask_2=io["in.byt5_mask"],
        return_dict=False,
    )[0]  # fmt: skip


@pytest.fixture
def tiny() -> HunyuanImageTransformer2DModel:
    return tiny_hunyuan_image().denoiser.requires_grad_(False)


@pytest.fixture
def adapter(tiny: HunyuanImageTransformer2DModel) -> dict[str, Tensor]:
    """A file's tensors for every site of the tiny model, as sd-scripts spells them."""
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for site in sites_of("hunyuan_image", shape_of("hunyuan_image", {"denoiser": tiny})):
        if site.kind == "norm":
            continue
        down = torch.randn(RANK, site.columns, generator=generator) / site.columns**0.5
        tensors[f"{site.name}.lora_down.weight"] = down
        up = torch.randn(site.rows, RANK, generator=generator) / 4
        tensors[f"{site.name}.lora_up.weight"] = up
        tensors[f"{site.name}.alpha"] = torch.tensor(ALPHA)
    return tensors


def test_an_attached_file_is_the_original_model_with_the_product_added(
    tiny: HunyuanImageTransformer2DModel, adapter: dict[str, Tensor], tmp_path: Path
) -> None:
    """Names and rows of every fused layer, held against the original layout (networks 3.7)."""
    save_file(adapter, tmp_path / "adapter.safetensors")
    merged = original_denoiser(tiny.state_dict(), "fused")
    for name in {key.split(".")[0] for key in adapter}:
        layer = next(
            key for key in merged
            if f"lora_unet_{key.removesuffix('.weight').replace('.', '_')}" == name
        )  # fmt: skip
        product = adapter[f"{name}.lora_up.weight"] @ adapter[f"{name}.lora_down.weight"]
        merged[layer] = merged[layer] + ALPHA / RANK * product
    save_file(merged, tmp_path / "merged.safetensors")
    expected = load_denoiser(tmp_path / "merged.safetensors", torch.float32, "model.path")
    io = inputs(4, 128, 24)
    base, wanted = run(tiny, io), run(expected.requires_grad_(False), io)
    handle = attach_file("hunyuan_image", {"denoiser": tiny}, tmp_path / "adapter.safetensors")
    assert (len(handle.used), handle.unused) == (28, ())  # the last layer beside the 26
    assert error([run(tiny, io) - base], [wanted - base]) < 1e-4
    handle.detach()
    assert torch.equal(run(tiny, io), base)


def test_comfyuis_names_do_the_same(
    tiny: HunyuanImageTransformer2DModel, adapter: dict[str, Tensor], tmp_path: Path
) -> None:
    """networks 9, check 43, on a file: written in ComfyUI's names, and read again."""
    sites = sites_of("hunyuan_image", shape_of("hunyuan_image", {"denoiser": tiny}))
    renamed = in_comfyui_names(adapter, sites)
    changed = adapter.keys() - renamed.keys()
    assert len(changed) == 3 * (2 * 6 + 2 * 1)
    io = inputs(4, 128, 24)
    outputs = []
    for name, tensors in (("ours", adapter), ("comfyui", renamed)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        handle = attach_file("hunyuan_image", {"denoiser": tiny}, tmp_path / f"{name}.safetensors")
        assert handle.unused == ()
        outputs.append(run(tiny, io))
        handle.detach()
    assert torch.equal(*outputs)


if SHARED.exists():  # its base model is too large to be kept beside the tests

    def test_outputs_equal_the_peers_and_detach_is_bit_exact() -> None:
        """networks 9, checks 23 and 26: sd-scripts' own file, deltas at weight 1 and 0.5."""
        folder = SHARED / "diffusers" / "transformer"
        denoiser = HunyuanImageTransformer2DModel.from_pretrained(folder)
        denoiser.float().requires_grad_(False).eval()
        handle = check_case(
            "hunyuan_image",
            {"denoiser": denoiser},
            lambda _, io: {"dit": run(denoiser, io)},
            SHARED / "all.safetensors",
        )
        assert (len(handle.used), handle.unused) == (26, ())
