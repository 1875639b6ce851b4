from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from engine.networks.adapter import Adapter
from engine.networks.dropout import Dropouts
from engine.plan.site import Placement
from tests.networks.parts import (
    FUSED,
    SWAPPED,
    Attention,
    attached,
    conv_site,
    error,
    filled,
    linear_site,
)


def test_first_values_follow_seed_and_name_alone() -> None:
    """Kaiming-uniform with a = √5: ±1/√fan_in; up is zero (spec: networks 1.4)."""
    conv = conv_site("lora_unet_x", "x", nn.Conv2d(32, 16, 3))
    adapter = Adapter(Placement(conv, 8, 4.0))
    adapter.init(7)
    bound = 1 / math.sqrt(32 * 9)
    assert adapter.down.shape == (8, 32, 3, 3)
    assert adapter.up.shape == (16, 8, 1, 1)
    assert adapter.down.abs().max() <= bound
    assert adapter.down.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert not adapter.up.any()
    again, other = (Adapter(Placement(conv, 8, 4.0)) for _ in range(2))
    again.init(7)
    other.init(8)
    assert torch.equal(again.down, adapter.down)
    assert not torch.equal(other.down, adapter.down)


def test_fused_site_equals_one_fused_linear() -> None:
    """Check 41: the gradient of the shared down is the sum of all parts' contributions."""
    torch.manual_seed(0)
    model = Attention().double().requires_grad_(False)
    adapter = filled(FUSED)
    attached(model, adapter)
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.cat([model.to_q.weight, model.to_k.weight, model.to_v.weight])
    bias = torch.cat([model.to_q.bias, model.to_k.bias, model.to_v.bias])
    expected = F.linear(x, weight, bias) + 0.5 * F.linear(F.linear(x, adapter.down), adapter.up)
    y = model(x)
    g = torch.randn_like(y)
    inputs = [x, adapter.down, adapter.up]
    got, wanted = torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, inputs, g)
    assert error([y, *got], [expected, *wanted]) < 1e-14


def test_swapped_halves_follow_the_files_rows() -> None:
    """Two segments on one module: its first rows are the file's last (spec: networks 1.9)."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"linear": nn.Linear(6, 8)}).double().requires_grad_(False)
    adapter = filled(SWAPPED)
    host = model["linear"]
    x = torch.randn(3, 6, dtype=torch.float64)
    base = host(x)
    attached(model, adapter)
    delta = 0.5 * x @ adapter.down.t() @ adapter.up.t()
    expected = base + torch.cat([delta[:, 4:], delta[:, :4]], dim=1)
    assert error([host(x)], [expected]) < 1e-14


def only_adapter(adapter: Adapter) -> Attention:
    """A host that gives 0, so that its output is the adapter's alone."""
    model = Attention(bias=False).requires_grad_(False)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    attached(model, adapter)
    nn.init.ones_(adapter.up)
    return model


@pytest.mark.parametrize("dropouts", [Dropouts(rank=0.5), Dropouts(neuron=0.5)])
def test_parts_of_a_fused_adapter_share_their_masks(dropouts: Dropouts) -> None:
    """Check 30, with W = 0 and B = 1: q, k and v give the same number everywhere."""
    torch.manual_seed(0)
    adapter = filled(FUSED, dropouts=dropouts, dtype=torch.float32)
    model = only_adapter(adapter)
    y = model(torch.randn(2, 5, 6))
    assert torch.allclose(y, y[..., :1].expand_as(y), atol=1e-6)
    draws = [model(torch.ones(2, 5, 6)) for _ in range(8)]
    assert any(not torch.equal(draws[0], other) for other in draws[1:])


def test_a_recomputation_that_stops_early_does_not_shift_the_next_draw() -> None:
    adapter = filled(FUSED, dropouts=Dropouts(neuron=0.5), dtype=torch.float32)
    model = only_adapter(adapter)
    x = torch.ones(2, 5, 6)
    model.to_q(x)  # k and v are never called
    y = model(x)
    assert torch.allclose(y, y[..., :1].expand_as(y), atol=1e-6)


def test_rank_dropout_keeps_one_mask_for_all_tokens_and_the_mean() -> None:
    torch.manual_seed(0)
    host = nn.Linear(6, 3, bias=False).requires_grad_(False)
    model = nn.ModuleDict({"x": host})
    site = linear_site("lora_unet_x", "x", 3, 6)
    adapter = filled(site, rank=4, alpha=4, dropouts=Dropouts(rank=0.25), dtype=torch.float32)
    x = torch.randn(2, 5, 6)
    base = host(x)
    attached(model, adapter)
    h = x @ adapter.down.t()
    means = torch.zeros_like(base)
    for _ in range(2000):
        means += (host(x) - base) / 2000
    expected = h @ adapter.up.t()
    assert error([means], [expected]) < 0.05
    delta = (host(x) - base) @ torch.linalg.pinv(adapter.up.t())
    assert delta.shape == h.shape


@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 6)])
def test_rank_dropout_on_vectors_and_tokens_uses_a_mask_per_sample(shape: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    model = nn.ModuleDict({"x": nn.Linear(6, 4, bias=False).requires_grad_(False)})
    nn.init.zeros_(model["x"].weight)  # pyright: ignore[reportArgumentType]
    dropouts = Dropouts(rank=0.5)
    site = linear_site("lora_unet_x", "x", 4, 6)
    adapter = filled(site, rank=4, alpha=4, dropouts=dropouts, dtype=torch.float32)
    with torch.no_grad():
        adapter.up.copy_(torch.eye(4))
    attached(model, adapter)
    y = model["x"](torch.ones(shape)).reshape(2, -1, 4)
    hidden = adapter.down.sum(1)
    factors = (y / hidden).round(decimals=4)
    assert set(factors.flatten().tolist()) == {0.0, 2.0}  # 1 / (1 − 0.5)
    assert torch.equal(factors, factors[:, :1].expand_as(factors))


def test_module_dropout_gives_the_host_alone_and_eval_none_of_it() -> None:
    """Check 30: module_dropout .999 returns the host output; eval mode is deterministic."""
    torch.manual_seed(0)
    host = nn.Linear(6, 4).requires_grad_(False)
    model = nn.ModuleDict({"x": host})
    x = torch.randn(3, 6)
    base = host(x)
    dropouts = Dropouts(neuron=0.5, rank=0.5, module=0.999)
    adapter = filled(linear_site("lora_unet_x", "x", 4, 6), dropouts=dropouts, dtype=torch.float32)
    attached(model, adapter)
    assert torch.equal(host(x), base)
    adapter.eval()
    assert torch.equal(host(x), host(x))
    assert error([host(x)], [base + 0.5 * x @ adapter.down.t() @ adapter.up.t()]) < 1e-6


def test_conv_dropout_draws_over_channels_and_pixels() -> None:
    torch.manual_seed(0)
    host = nn.Conv2d(6, 4, 3, stride=2, padding=1).requires_grad_(False)
    model = nn.ModuleDict({"x": host})
    x = torch.randn(2, 6, 9, 9)
    base = host(x)
    dropouts = Dropouts(neuron=0.3, rank=0.3)
    adapter = filled(conv_site("lora_unet_x", "x", host), dropouts=dropouts, dtype=torch.float32)
    attached(model, adapter)
    first, second = host(x) - base, host(x) - base
    assert first.shape == (2, 4, 5, 5)
    assert not torch.equal(first, second)


def test_unknown_hosts_are_left_to_compute_themselves() -> None:
    class Halved(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).relu() / 2

    torch.manual_seed(0)
    host = Halved(6, 4).requires_grad_(False)
    model = nn.ModuleDict({"x": host})
    x = torch.randn(3, 6, requires_grad=True)
    base = host(x)
    adapter = filled(linear_site("lora_unet_x", "x", 4, 6), dtype=torch.float32)
    attached(model, adapter)
    assert error([host(x)], [base + 0.5 * x @ adapter.down.t() @ adapter.up.t()]) < 1e-6
    host(x).sum().backward()
    assert adapter.down.grad is not None


def test_a_trained_host_still_gets_its_gradient() -> None:
    host = nn.Linear(6, 4)
    model = nn.ModuleDict({"x": host})
    attached(model, filled(linear_site("lora_unet_x", "x", 4, 6), dtype=torch.float32))
    host(torch.randn(3, 6)).sum().backward()
    assert host.weight.grad is not None
    assert host.weight.grad.abs().sum() > 0


def test_two_adapters_on_one_host_add_up() -> None:
    torch.manual_seed(0)
    host = nn.Linear(6, 4).double().requires_grad_(False)
    model = nn.ModuleDict({"x": host})
    site = linear_site("lora_unet_x", "x", 4, 6)
    one, two = filled(site, rank=2), filled(site, rank=3, alpha=9.0)
    x = torch.randn(3, 6, dtype=torch.float64)
    base = host(x)
    forwards = [*attached(model, one), *attached(model, two)]
    expected = base + x @ one.down.t() @ one.up.t() + 3 * x @ two.down.t() @ two.up.t()
    assert error([host(x)], [expected]) < 1e-14
    forwards[0].remove(one)
    assert error([host(x)], [base + 3 * x @ two.down.t() @ two.up.t()]) < 1e-14
    forwards[1].remove(two)
    assert "forward" not in host.__dict__
    assert torch.equal(host(x), base)


def transformer_block() -> tuple[BasicTransformerBlock, list[Adapter]]:
    torch.manual_seed(0)
    block = BasicTransformerBlock(32, 2, 16, cross_attention_dim=24).requires_grad_(False)
    adapters = []
    for name, module in block.named_modules():
        if isinstance(module, nn.Linear):
            site = linear_site(f"lora_unet_{name}", name, module.out_features, module.in_features)
            adapter = filled(site, dtype=torch.float32)
            attached(block, adapter)
            adapters.append(adapter)
    assert len(adapters) == 10
    return block, adapters


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("half", [False, True])
def test_checkpointing_recomputes_the_same_numbers(dropout: float, half: bool) -> None:
    block, adapters = transformer_block()
    for adapter in adapters:
        adapter.dropouts = Dropouts(neuron=dropout, rank=dropout, module=dropout)
    parameters = [p for a in adapters for p in a.parameters()]
    x, text = torch.randn(2, 64, 32, requires_grad=True), torch.randn(2, 7, 24)

    def run(saving: bool) -> list[torch.Tensor]:
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            if saving:
                y = checkpoint(block, x, use_reentrant=False, encoder_hidden_states=text)
            else:
                y = block(x, encoder_hidden_states=text)
        assert isinstance(y, torch.Tensor)
        gradients = torch.autograd.grad(y.float().sum(), [x, *parameters], allow_unused=True)
        return [y, *(g for g in gradients if g is not None)]

    plain, saved = run(False), run(True)
    assert all(torch.equal(a, b) for a, b in zip(plain, saved, strict=True))


def test_a_block_of_diffusers_compiles_to_one_graph() -> None:
    """With 10 adapters on it, `fullgraph` raises on any break (adapter-performance 7)."""
    from torch._dynamo.testing import CompileCounterWithBackend

    block, adapters = transformer_block()
    parameters = [p for a in adapters for p in a.parameters()]
    x, text = torch.randn(2, 64, 32, requires_grad=True), torch.randn(2, 7, 24)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(block, fullgraph=True, backend=counter)

    def run(model: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        y = model(x, encoder_hidden_states=text)
        return [y, *torch.autograd.grad(y.square().sum(), [x, *parameters])]

    assert error(run(compiled), run(block)) < 1e-5
    assert counter.frame_count == 1
