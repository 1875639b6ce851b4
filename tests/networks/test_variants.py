"""What is peculiar to each variant: DyLoRA, LoRA-FA, scalars, split parts, noise, norms."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.networks import Network
from engine.networks.adapter import Adapter
from engine.networks.factors import Factors, load_into, tensors_of
from engine.networks.max_norm import norms_of
from engine.networks.metadata import network_args_of
from engine.networks.variants.kinds import Kinds
from engine.plan.site import Placement, Segment, Site
from engine.schema.network import Network as NetworkOptions
from engine.schema.optimizer import Optimizer
from tests.networks.parts import FUSED, Attention, attached, conv_site, error, linear_site
from tests.networks.variant_parts import COLUMNS, ROWS, SITE


def dylora(mode: str = "gate", rank: int = 8, unit: int = 4) -> tuple[Network, nn.Linear]:
    host = nn.Linear(COLUMNS, ROWS, bias=False).requires_grad_(False)
    options = NetworkOptions.model_validate(
        {"kind": "dylora", "unit": unit, "rank": rank, "dylora_mode": mode}
    )
    placement = Placement(SITE, rank, float(rank), group="unet")
    network = Network.create([placement], {"denoiser": nn.ModuleDict({"x": host})}, options, 1)
    nn.init.normal_(network.each_adapter()[0].up)
    network.attach()
    return network, host


@pytest.mark.parametrize("mode", ["gate", "truncate"])
def test_dylora_trains_one_unit_at_a_time(mode: str) -> None:
    """Check 34: units {0–3} and {4–7}, about equally often; the others have no gradient at all."""
    network, host = dylora(mode)
    (group,) = network.parameter_groups(Optimizer())
    assert [tuple(p.shape) for p in group.params] == [(4, 6)] * 2 + [(4, 10)] * 2
    assert all(p.is_contiguous() for p in group.params)
    adapter = network.each_adapter()[0]
    x = torch.randn(3, COLUMNS)
    base = host.weight @ x.t()
    drawn: Counter[tuple[bool, ...]] = Counter()
    for step in range(200):
        network.draw(1, step)
        y = host(x)
        used = 4 if adapter.units is not None and adapter.units.drawn == {0} else 8
        rank = 8 if mode == "gate" else used
        share = (8 / used) ** 0.5 if mode == "gate" else 8 / used
        delta = share * (adapter.up[:, :rank] @ (adapter.down[:rank] @ x.t()))
        assert error([y], [(base + delta).t()]) < 1e-5
        y.sum().backward()
        network.hand_over_gradients()
        drawn[tuple(p.grad is not None for p in group.params)] += 1
        for p in group.params:
            p.grad = None
    assert drawn.keys() == {(True, False, True, False), (False, True, False, True)}
    assert min(drawn.values()) >= 70
    network.eval()
    assert error([host(x)], [(base + adapter.up @ (adapter.down @ x.t())).t()]) < 1e-5


def test_dylora_leaves_undrawn_units_alone() -> None:
    """AdamW's momentum and decay stop for a unit without gradient (adapter-performance 4)."""
    network, host = dylora()
    adapter = network.each_adapter()[0]
    groups = network.parameter_groups(Optimizer())
    optimizer = torch.optim.AdamW(groups[0].params, lr=0.1, weight_decay=0.5, fused=True)
    x = torch.randn(3, COLUMNS)
    for step in range(12):
        before = {"down": adapter.down.detach().clone(), "up": adapter.up.detach().clone()}
        network.draw(1, step)
        assert adapter.units is not None
        first = adapter.units.drawn == {0}
        host(x).square().sum().backward()
        network.hand_over_gradients()
        optimizer.step()
        optimizer.zero_grad()
        still = slice(4, 8) if first else slice(0, 4)
        moved = slice(0, 4) if first else slice(4, 8)
        assert torch.equal(adapter.down[still], before["down"][still])
        assert torch.equal(adapter.up[:, still], before["up"][:, still])
        assert not torch.equal(adapter.down[moved], before["down"][moved])
        assert not torch.equal(adapter.up[:, moved], before["up"][:, moved])


def test_lora_fa_keeps_down_as_it_was_drawn() -> None:
    """Check 36: bit-identical after 3 steps, no gradient, std ≈ √(2/(in + r))."""
    host = nn.Linear(256, ROWS).requires_grad_(False)
    site = linear_site("lora_unet_x", "x", ROWS, 256)
    options = NetworkOptions(kind="lora_fa")
    placement = Placement(site, 32, 8.0, group="unet")
    network = Network.create([placement], {"denoiser": nn.ModuleDict({"x": host})}, options, 1)
    (group,) = network.parameter_groups(Optimizer())
    adapter = network.each_adapter()[0]
    assert [id(p) for p in group.params] == [id(adapter.up)]
    assert adapter.down.std().item() == pytest.approx((2 / (256 + 32)) ** 0.5, rel=0.05)
    before = adapter.down.detach().clone()
    network.attach()
    optimizer = torch.optim.AdamW(group.params, lr=0.1)
    for _ in range(3):
        host(torch.randn(4, 256)).square().sum().backward()
        optimizer.step()
    assert adapter.down.grad is None
    assert torch.equal(adapter.down, before)
    assert adapter.up.abs().sum() > 0
    network.apply_max_norm(1e-3)
    assert torch.equal(adapter.down, before)
    assert norms_of(adapter).item() == pytest.approx(1e-3, rel=1e-4)


def test_a_scalar_starts_at_nothing_and_is_folded_into_the_file() -> None:
    """Check 39: unchanged at first although up ≠ 0; saved up is 0; after loading it is 1."""
    host = nn.Linear(COLUMNS, ROWS).requires_grad_(False)
    adapter = Adapter(Placement(SITE, 4, 2.0), kinds=Kinds(scalar=True))
    adapter.init(1)
    assert adapter.up.abs().max() > 0.1
    x = torch.randn(3, COLUMNS)
    base = host(x)
    attached(nn.ModuleDict({"x": host}), adapter)
    assert torch.equal(host(x), base)
    saved = tensors_of(adapter)
    assert not saved["lora_up.weight"].any()
    assert "scalar" not in saved
    load_into(adapter, Factors(torch.randn(4, 6), torch.randn(10, 4), 2.0))
    assert adapter.scalar is not None
    assert adapter.scalar.item() == 1.0


def split_network(rank: int = 3) -> tuple[Network, Attention]:
    model = Attention().requires_grad_(False)
    placement = Placement(FUSED, rank, 1.5, group="unet", split=3)
    options = NetworkOptions(split_qkv=True)
    return Network.create([placement], {"denoiser": model}, options, 1), model


def test_split_parts_are_saved_as_one_layer_of_the_same_strength() -> None:
    """Check 18: 3r rows, up block-diagonal, alpha 3 times as large; read back split or fused."""
    torch.manual_seed(0)
    network, model = split_network()
    adapter = network.each_adapter()[0]
    nn.init.normal_(adapter.up)
    assert sum(p.numel() for p in adapter.parameters()) == 9 * 6 + 16 * 3
    x = torch.randn(4, 6)
    base = model(x)
    network.attach()
    y = model(x)
    parts = [(0, 8), (8, 12), (12, 16)]
    expected = torch.cat(
        [
            0.5 * x @ adapter.down[3 * i : 3 * i + 3].t() @ adapter.up[a:b].t()
            for i, (a, b) in enumerate(parts)
        ],
        dim=1,
    )
    assert error([y - base], [expected]) < 1e-5
    network.detach()
    saved = network.weights()
    name = FUSED.name
    assert saved[f"{name}.lora_down.weight"].shape == (9, 6)
    assert saved[f"{name}.lora_up.weight"].shape == (16, 9)
    assert saved[f"{name}.alpha"].item() == 4.5
    assert not saved[f"{name}.lora_up.weight"][:8, 3:].any()
    again, _ = split_network()
    again.load_weights(saved)
    assert all(torch.equal(t, saved[key]) for key, t in again.weights().items())
    placement = Placement(FUSED, 9, 9.0, group="unet")
    fused = Network.create([placement], {"denoiser": model}, NetworkOptions(), 1)
    fused.load_weights(saved)
    fused.attach()
    assert error([model(x) - base], [expected]) < 1e-5


def test_a_fused_file_goes_on_split() -> None:
    """Each part keeps the whole of down: nothing is lost at the same rank."""
    torch.manual_seed(0)
    model = Attention().requires_grad_(False)
    fused = Network.create(
        [Placement(FUSED, 3, 2.0, group="unet")], {"denoiser": model}, NetworkOptions(), 1
    )
    nn.init.normal_(fused.each_adapter()[0].up)
    network, _ = split_network()
    network.load_weights(fused.weights())
    assert error([network.each_adapter()[0].delta()], [fused.each_adapter()[0].delta()]) < 1e-5


def test_max_norm_caps_each_part_of_a_split_layer() -> None:
    """Check 33 for split adapters: each real part is measured and scaled by itself."""
    network, _ = split_network()
    adapter = network.each_adapter()[0]
    nn.init.normal_(adapter.up)
    with torch.no_grad():
        adapter.up[:8].mul_(4 / norms_of(adapter)[0])
        adapter.up[8:].mul_(0.1 / norms_of(adapter)[1:].max())
    little = adapter.up[8:].detach().clone()
    report = network.apply_max_norm(1.0)
    assert report.scaled == 1
    assert norms_of(adapter)[0].item() == pytest.approx(1.0, rel=1e-5)
    assert torch.equal(adapter.up[8:], little)


@pytest.mark.parametrize("kinds", [Kinds(tucker=True, scalar=True), Kinds(unit=2)])
def test_max_norm_measures_what_acts(kinds: Kinds) -> None:
    host = nn.Conv2d(COLUMNS, ROWS, 3).requires_grad_(False)
    adapter = Adapter(Placement(conv_site("lora_unet_x", "x", host), 4, 8.0), kinds=kinds)
    adapter.init(1)
    nn.init.normal_(adapter.up)
    if adapter.scalar is not None:
        nn.init.constant_(adapter.scalar, -3.0)
    assert norms_of(adapter).item() == pytest.approx(adapter.delta().norm().item(), rel=1e-5)
    network = Network([adapter], {"denoiser": nn.ModuleDict({"x": host})}, NetworkOptions())
    network.apply_max_norm(1.0)
    assert adapter.delta().norm().item() == pytest.approx(1.0, rel=1e-4)


def test_weight_noise_comes_with_the_first_gradients_and_only_in_training() -> None:
    """GGPO (networks 7): P = N(0,1) ∘ f(σc + βg²), measured without a full-size product."""
    torch.manual_seed(0)
    host = nn.Linear(COLUMNS, ROWS, bias=False).requires_grad_(False)
    options = NetworkOptions(ggpo_sigma=0.3, ggpo_beta=0.1)
    placement = Placement(SITE, 4, 2.0, group="unet")
    network = Network.create([placement], {"denoiser": nn.ModuleDict({"x": host})}, options, 1)
    adapter = network.each_adapter()[0]
    nn.init.normal_(adapter.up)
    network.attach()
    x = torch.randn(50, COLUMNS)
    plain = x @ (host.weight + adapter.delta()).t()
    assert error([host(x)], [plain]) < 1e-5
    host(x).square().sum().backward()
    network.measure_noise(2.0)
    gup, gdown = adapter.up.grad, adapter.down.grad
    assert gup is not None
    assert gdown is not None
    g = 0.5 * (adapter.up @ gdown + gup @ adapter.down).norm(dim=1) / 2
    e = host.weight.norm(dim=1).mean()
    c = (e**2 + (adapter.up @ adapter.down).square().sum(1)).sqrt()
    assert adapter.noise is not None
    expected = (0.3 * c + 0.1 * g**2) / ROWS**0.5
    assert error([adapter.noise.strengths()], [expected]) < 1e-4
    told = {
        "avg_key_norm": (adapter.up @ adapter.down).norm(dim=1).mean().item(),
        "avg_grad_norm": g.mean().item(),
        "avg_combined_norm": c.mean().item(),
    }
    assert network.noise_norms() == pytest.approx(told, rel=1e-4)
    noise = torch.stack([host(torch.eye(COLUMNS)) for _ in range(400)])
    still = torch.eye(COLUMNS) @ (host.weight + adapter.delta()).t()
    deviation = (noise - still).square().mean((0, 1)).sqrt()
    assert error([deviation], [expected]) < 0.1
    network.eval()
    assert error([host(x)], [plain]) < 1e-5
    again = copy.deepcopy(network.state_dict())
    assert {
        "adapters.lora_unet_x.noise.gradient",
        "adapters.lora_unet_x.noise.ready",
    } <= again.keys()


@pytest.mark.parametrize("kind", ["layer", "group", "rms"])
def test_norm_deltas_add_to_weight_and_bias(kind: str) -> None:
    """Check 38: nothing at first; then weight + Δw and bias + Δb; merged the same."""
    torch.manual_seed(0)
    host: nn.Module = {
        "layer": nn.LayerNorm(8), "group": nn.GroupNorm(2, 8), "rms": nn.RMSNorm(8)
    }[kind]  # fmt: skip
    host.requires_grad_(False)
    nn.init.normal_(host.get_parameter("weight"))
    segment = Segment("x", (0, 8), (0, 8))
    site = Site(
        "lora_unet_norm", "denoiser", "norm", 8, 1, (segment,), "norm", norm_bias=kind != "rms"
    )
    placement = Placement(site, 1, 1.0, group="unet")
    model = nn.ModuleDict({"x": host})
    network = Network.create([placement], {"denoiser": model}, NetworkOptions(), 1)
    x = torch.randn(2, 8, 5) if kind == "group" else torch.randn(2, 5, 8)
    base = host(x)
    network.attach()
    assert error([host(x)], [base]) < 1e-6
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    y = host(x)
    y.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    keys = {"w_norm", "b_norm"} if kind != "rms" else {"w_norm"}
    assert {key.partition(".")[2] for key in network.weights()} == keys
    network.merge()
    assert error([host(x)], [y]) < 1e-5
    assert error([host(x)], [base]) > 0.1


def test_a_block_with_variants_compiles_to_one_graph() -> None:
    """DoRA, scalars and norms on a block of diffusers: `fullgraph` raises on any break."""
    from diffusers.models.attention import BasicTransformerBlock
    from torch._dynamo.testing import CompileCounterWithBackend

    torch.manual_seed(0)
    block = BasicTransformerBlock(16, 2, 8, cross_attention_dim=12).requires_grad_(False)
    sites = []
    for name, module in block.named_modules():
        if isinstance(module, nn.Linear):
            sites.append(linear_site(name, name, module.out_features, module.in_features))
        if isinstance(module, nn.LayerNorm):
            segment = Segment(name, (0, 16), (0, 16))
            sites.append(Site(name, "denoiser", "norm", 16, 1, (segment,), "norm"))
    placements = [
        Placement(replace(s, name=s.name.replace(".", "_")), 4, 2.0, group="unet") for s in sites
    ]
    options = NetworkOptions(dora_wd=True, use_scalar=True)
    network = Network.create(placements, {"denoiser": block}, options, 1)
    for adapter in network.each_adapter():
        nn.init.constant_(adapter.scalar, 0.5)  # pyright: ignore[reportArgumentType]
    network.attach()
    x, text = torch.randn(2, 20, 16, requires_grad=True), torch.randn(2, 7, 12)
    inputs = [x, *network.parameters()]
    assert len(inputs) == 1 + 10 * 4 + 3 * 2
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(block, fullgraph=True, backend=counter)
    results = []
    for model in (compiled, block):
        y = model(x, encoder_hidden_states=text)  # pyright: ignore[reportCallIssue]
        results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    assert error(results[0], results[1]) < 1e-4
    assert counter.frame_count == 1


def test_the_file_tells_its_kind_in_the_words_of_sd_scripts() -> None:
    """The module's name, and unit in the arguments even at its default (networks 2.2)."""
    args = network_args_of(NetworkOptions(kind="dylora", use_scalar=True, ggpo_sigma=0.03))
    assert args == {"unit": "4", "use_scalar": "True", "ggpo_sigma": "0.03"}
    assert network_args_of(NetworkOptions(kind="lora_fa")) == {}
