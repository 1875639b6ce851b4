"""LoHa, LoKr and full differences are read as the LoRA they equal; peft's own are the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, get_peft_model
from torch import Tensor, nn

from engine.networks.file import read, save
from engine.networks.lycoris_kinds import factors_of
from engine.plan.header import FileProblem
from tests.tiny import tiny_modules


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(24, 36)
        self.conv = nn.Conv2d(8, 12, 3, padding=1)


CONFIGS = {
    "loha": LoHaConfig(r=3, alpha=2, target_modules=["linear", "conv"], init_weights=False),
    "loha_core": LoHaConfig(
        r=3, alpha=2, target_modules=["conv"], init_weights=False, use_effective_conv2d=True
    ),
    "lokr": LoKrConfig(r=2, alpha=3, target_modules=["linear", "conv"], init_weights=False),
    "lokr_both": LoKrConfig(
        r=1, alpha=3, target_modules=["linear"], init_weights=False, decompose_both=True
    ),
    "lokr_core": LoKrConfig(
        r=2, alpha=3, target_modules=["conv"], init_weights=False, use_effective_conv2d=True
    ),
    "lokr_whole": LoKrConfig(r=500, alpha=500, target_modules=["linear"], init_weights=False),
}


def tensors_of(layer: Any) -> dict[str, Tensor]:
    """A peft layer's own tensors, by the endings that files have."""
    names = [n for n in layer.adapter_layer_names if n.startswith(("hada", "lokr"))]
    return {n: getattr(layer, n)["default"].detach() for n in names if getattr(layer, n)}


@pytest.mark.parametrize("kind", CONFIGS)
def test_its_change_is_the_librarys(kind: str) -> None:
    torch.manual_seed(1)
    config: Any = CONFIGS[kind]
    model: Any = get_peft_model(Layers(), config)  # pyright: ignore[reportArgumentType]
    for name in config.target_modules:
        layer = getattr(model.base_model.model, name)
        tensors = tensors_of(layer)
        factors = factors_of(tensors, float(config.alpha))
        assert factors is not None
        wanted = layer.get_delta_weight("default").detach()
        if {"lokr_w1", "lokr_w2"} <= tensors.keys():
            wanted = wanted / layer.scaling["default"]  # LyCORIS takes two whole matrices as is
        found = factors.scale * (factors.up @ factors.down)
        assert torch.allclose(found, wanted.flatten(1), atol=1e-5), name


def test_a_full_difference_is_itself() -> None:
    diff = torch.randn(6, 4, 3, 3)
    factors = factors_of({"diff": diff}, 0.0)
    assert factors is not None
    assert torch.equal(factors.scale * (factors.up @ factors.down), diff.flatten(1))
    assert factors.rank == 6


def test_plain_lora_is_none_of_them() -> None:
    assert factors_of({"lora_mid.weight": torch.zeros(1)}, 1.0) is None


def test_a_loha_file_acts_on_a_model_and_is_told_by_name(tmp_path: Path) -> None:
    from engine.networks import attach_file

    torch.manual_seed(2)
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    conv = "lora_unet_down_blocks_0_resnets_0_conv1"
    tensors = {f"{name}.alpha": torch.tensor(2.0), f"{conv}.alpha": torch.tensor(2.0)}
    for adapter, inputs in ((name, 32), (conv, 32 * 9)):
        for side in "12":
            tensors[f"{adapter}.hada_w{side}_a"] = 0.3 * torch.randn(32, 2)
            tensors[f"{adapter}.hada_w{side}_b"] = 0.3 * torch.randn(2, inputs)
    path = tmp_path / "loha.safetensors"
    save(path, tensors, {}, "fp32")
    assert read(path).variants == ("LoHa",)
    unet = tiny_modules().unet
    weights = {n: p.clone() for n, p in unet.named_parameters()}
    handle = attach_file("sd1", {"denoiser": unet}, path, 0.5)
    assert set(handle.used) == {name, conv}
    handle.merge()
    for adapter, module in (
        (name, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"),
        (conv, "down_blocks.0.resnets.0.conv1.weight"),
    ):
        one, other = (
            tensors[f"{adapter}.hada_w{s}_a"] @ tensors[f"{adapter}.hada_w{s}_b"] for s in "12"
        )
        moved = unet.get_parameter(module) - weights[module]
        assert torch.allclose(moved.flatten(1), 0.5 * one * other, atol=1e-6)


def test_half_of_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save(path, {"lora_unet_x.hada_w1_a": torch.ones(4, 2)}, {}, "fp32")
    with pytest.raises(FileProblem, match="tensors of lora_unet_x do not go together"):
        read(path)
