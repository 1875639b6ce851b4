"""Frozen weights in eight bits (spec: training-dit 7, check 26)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from engine.architectures.running.frozen import FORMS, Form, FrozenLinear, blocks_of, pack_block
from engine.networks.functions import adapted_linear

ERRORS: dict[Form, float] = {"int8": 0.0074, "fp8_scaled": 0.0262, "fp8": 0.0329}
"""Relative error of the output for normal weights, at a deviation of 0.02."""


def linear(inputs: int = 256, outputs: int = 512, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    made = nn.Linear(inputs, outputs)
    nn.init.normal_(made.weight, std=0.02)
    return made.requires_grad_(False)


def relative(found: Any, wanted: Any) -> float:
    return ((found.float() - wanted.float()).norm() / wanted.float().norm()).item()


@pytest.mark.parametrize("form", FORMS)
def test_the_error_is_the_measured_one(form: Form) -> None:
    host = linear(512, 512)
    x = torch.randn(64, 512)
    wanted = host(x) - host.bias
    found = FrozenLinear(host, form)(x) - host.bias
    assert relative(found, wanted) == pytest.approx(ERRORS[form], rel=0.1)


@pytest.mark.parametrize("form", FORMS)
def test_it_computes_with_the_weight_it_says_it_has(form: Form) -> None:
    packed = FrozenLinear(linear(), form)
    x = torch.randn(3, 5, 256, requires_grad=True)
    wanted = nn.functional.linear(x, packed.dequantized(), packed.bias)
    assert torch.allclose(packed(x), wanted, atol=1e-5)
    (gradient,) = torch.autograd.grad(packed(x).square().sum(), x)
    (exact,) = torch.autograd.grad(wanted.square().sum(), x)
    assert relative(gradient, exact) < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_the_backward_pass_keeps_eight_bits_and_no_more(form: Form) -> None:
    packed = FrozenLinear(linear(), form)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        packed(torch.randn(4, 256, requires_grad=True))
    assert all(t.element_size() == 1 for t in kept if t.numel() > 512)
    assert sum(t.numel() for t in kept) <= 512 * 256 + 512


def test_it_follows_autocast() -> None:
    packed = FrozenLinear(linear(), "int8")
    x = torch.randn(4, 256, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = packed(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


def test_another_weight_takes_its_place() -> None:
    packed = FrozenLinear(linear(), "int8")
    other = linear(seed=1).weight
    packed.set_weight(other)
    assert relative(packed.dequantized(), other) < 0.02
    assert packed.weight.dtype == torch.int8


class Blocks(nn.Module):
    """Like a denoiser: an embedder, a list of blocks, a last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.x_embedder = linear(8, 16)
        self.layers = nn.ModuleList(
            nn.Sequential(linear(16, 32), nn.GELU(), linear(32, 16)) for _ in range(3)
        )
        self.proj_out = linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.x_embedder(x)
        for block in self.layers:
            x = x + block(x)
        return self.proj_out(x)


def test_only_blocks_are_packed() -> None:
    model = Blocks()
    for block in blocks_of(model):
        pack_block(block, torch.device("cpu"), lambda found: FrozenLinear(found, "int8"))
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    assert kinds["x_embedder"] == kinds["proj_out"] == "Linear"
    assert kinds["layers.2.0"] == kinds["layers.2.2"] == "FrozenLinear"


def test_an_adapter_beside_it_learns_as_beside_its_dequantized_weight() -> None:
    from engine.networks.adapter import Adapter
    from engine.networks.hosts import put_on
    from engine.plan.site import Placement, Segment, Site

    packed = FrozenLinear(linear(), "int8")
    rows = Segment("x", (0, 512), (0, 512))
    site = Site("lora_unet_x", "denoiser", "linear", 512, 256, (rows,), "attention")
    adapter = Adapter(Placement(site, 4, 4.0))
    adapter.init(1)
    nn.init.normal_(adapter.up)
    x = torch.randn(6, 256)
    put_on(packed, adapter, 0)
    found = packed(x)
    wanted = adapted_linear(
        x, packed.dequantized(), packed.bias, adapter.down, adapter.up, adapter.scale
    )
    assert torch.allclose(found, wanted, atol=1e-4)
    learned = torch.autograd.grad(found.square().sum(), [adapter.down, adapter.up])
    exact = torch.autograd.grad(wanted.square().sum(), [adapter.down, adapter.up])
    for gradient, true in zip(learned, exact, strict=True):
        assert relative(gradient, true) < 1e-4
