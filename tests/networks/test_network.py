from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from engine.networks import AdapterProblem, Network, start_network
from engine.networks.file import save
from engine.networks.max_norm import norm_of
from engine.networks.shape import shape_of
from engine.plan.ranks import place
from engine.plan.site import Placement
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions
from engine.schema.optimizer import Optimizer
from tests.networks.conftest import Golden
from tests.networks.parts import FUSED, Attention, conv_site, error, linear_site


@lru_cache
def real_size(architecture: str) -> dict[str, nn.Module]:
    """The published models without memory for their weights."""
    second = architecture == "sd2"
    with init_empty_weights():
        unet = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280),
            cross_attention_dim=1024 if second else 768,
            attention_head_dim=(5, 10, 20, 20) if second else 8,  # pyright: ignore[reportArgumentType]
            use_linear_projection=second,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=1024 if second else 768,
                intermediate_size=4096 if second else 3072,
                num_hidden_layers=23 if second else 12,
                num_attention_heads=16 if second else 12,
            )
        )
    return {"denoiser": unet, "text_encoder": text}


def made(architecture: str, **options: object) -> tuple[dict[str, int], dict[str, int]]:
    """Adapters and parameters of each component of a network of rank 4, alpha 1."""
    components = real_size(architecture)
    sites = sites_of(architecture, shape_of(architecture, components))
    network_options = NetworkOptions.model_validate({"rank": 4, "alpha": 1, **options})
    placements = place(network_options, sites, architecture)
    network = Network.create(placements, components, network_options, 1)
    counts: dict[str, int] = {}
    parameters: dict[str, int] = {}
    for adapter in network.each_adapter():
        component = adapter.site.component
        counts[component] = counts.get(component, 0) + 1
        size = sum(p.numel() for p in adapter.parameters())
        parameters[component] = parameters.get(component, 0) + size
    return counts, parameters


def test_counts_of_sd1_and_no_memory_between_networks() -> None:
    """Checks 1, 2 and 3."""
    counts, parameters = made("sd1", conv_dim=4)
    assert counts == {"text_encoder": 72, "denoiser": 278}
    assert parameters == {"text_encoder": 663_552, "denoiser": 4_203_264}
    counts, parameters = made("sd1")
    assert counts == {"text_encoder": 72, "denoiser": 192}
    assert parameters == {"text_encoder": 663_552, "denoiser": 1_695_744}


def test_counts_of_sd2() -> None:
    """Check 4."""
    assert made("sd2") == (
        {"text_encoder": 138, "denoiser": 192},
        {"text_encoder": 1_695_744, "denoiser": 1_728_512},
    )
    counts, parameters = made("sd2", conv_dim=4, train="denoiser")
    assert (counts, parameters) == ({"denoiser": 278}, {"denoiser": 4_236_032})


def test_counts_by_block() -> None:
    """Checks 6, 7 and 9: block lists, single blocks, learning-rate weights of zero."""
    fours = [4] * 25
    assert made("sd1", train="denoiser", block_dims=fours)[0] == {"denoiser": 192}
    both = made("sd1", train="denoiser", block_dims=fours, conv_block_dims=fours)
    assert both[0] == {"denoiser": 278}
    counted = []
    for k in range(25):
        only = [4 * (i == k) for i in range(25)]
        try:
            counts, _ = made("sd1", train="denoiser", block_dims=only, conv_block_dims=only)
        except AdapterProblem:
            counts = {"denoiser": 0}
        counted.append(counts["denoiser"])
    assert counted == [
        0, 15, 15, 1, 16, 15, 1, 16, 15, 1, 3, 3, 18, 4, 4, 5, 16, 16, 17, 16, 16, 17, 16, 16, 16,
    ]  # fmt: skip
    lr = made("sd1", train="denoiser", down_lr_weight="zeros", up_lr_weight="linear")
    assert lr[0] == {"denoiser": 120}


def small(golden: Golden, seed: int = 1, **options: object) -> Network:
    network_options = NetworkOptions.model_validate({"rank": 4, "alpha": 1, **options})
    sites = sites_of("sd1", shape_of("sd1", golden.components))
    placements = place(network_options, sites, "sd1")
    return Network.create(placements, golden.components, network_options, seed)


def test_state_has_three_tensors_an_adapter(golden: Golden) -> None:
    """Check 1, at toy size: 12 + 192 adapters, 612 keys; alpha is a float."""
    weights = small(golden).weights()
    assert len(weights) == 3 * (12 + 192)
    alphas = [t for key, t in weights.items() if key.endswith(".alpha")]
    assert all(a.dtype == torch.float32 and a.dim() == 0 and a.item() == 1 for a in alphas)


def test_alpha_and_scale(golden: Golden) -> None:
    """Check 29: alpha 0 means scale 1; alpha 1, rank 4 is 0.25."""
    assert {a.scale for a in small(golden, alpha=0).each_adapter()} == {1.0}
    assert {a.scale for a in small(golden, alpha=1).each_adapter()} == {0.25}


def test_first_values_do_not_depend_on_what_else_is_trained(golden: Golden) -> None:
    few = small(golden, train="text_encoder").weights()
    many = small(golden, conv_dim=2).weights()
    assert all(torch.equal(many[key], tensor) for key, tensor in few.items())


def test_a_new_network_changes_nothing(golden: Golden) -> None:
    torch.manual_seed(0)
    x, t, text = torch.randn(1, 4, 16, 16), torch.tensor([10]), torch.randn(1, 77, 32)
    network = small(golden, conv_dim=2)
    with torch.no_grad():
        base = golden.unet(x, t, text).sample
        network.attach()
        network.attach()  # once is enough
        assert error([golden.unet(x, t, text).sample], [base]) < 1e-6
        network.detach()
        assert torch.equal(golden.unet(x, t, text).sample, base)
    assert not any("forward" in m.__dict__ for m in golden.unet.modules())
    hosts = {id(p) for p in golden.unet.parameters()}
    assert not hosts & {id(p) for p in network.parameters()}


def test_weights_come_back_bit_for_bit(golden: Golden) -> None:
    network = small(golden)
    for adapter in network.each_adapter():
        nn.init.normal_(adapter.up)
    saved = network.weights()
    other = small(golden, seed=2)
    report = other.load_weights(saved)
    assert (report.missing, report.unexpected, report.cut) == ((), (), ())
    assert all(torch.equal(t, saved[key]) for key, t in other.weights().items())


def test_loading_keeps_the_strength_when_alpha_or_rank_differ() -> None:
    """Quirk Q30: the delta stays; a cut rank keeps the strongest directions."""
    torch.manual_seed(0)
    model = Attention().requires_grad_(False)
    components: dict[str, nn.Module] = {"denoiser": model}

    def network(rank: int, alpha: float) -> Network:
        placement = Placement(FUSED, rank, alpha, group="unet")
        return Network.create([placement], components, NetworkOptions(), 3)

    first = network(4, 2.0)
    nn.init.normal_(first.each_adapter()[0].up)
    delta = first.each_adapter()[0].delta()
    for rank, alpha in ((4, 8.0), (6, 1.0), (6, 6.0)):
        second = network(rank, alpha)
        report = second.load_weights(first.weights())
        assert report.kept == 1.0
        assert error([second.each_adapter()[0].delta()], [delta]) < 1e-6
        assert second.each_adapter()[0].alpha == alpha
    cut = network(3, 3.0)
    report = cut.load_weights(first.weights())
    assert report.cut == (FUSED.name,)
    u, sigma, v = torch.linalg.svd(delta)
    best = u[:, :3] @ torch.diag(sigma[:3]) @ v[:3]
    assert error([cut.each_adapter()[0].delta()], [best]) < 1e-5
    share = (sigma[:3].square().sum() / sigma.square().sum()).item()
    assert report.kept == pytest.approx(share, abs=1e-6)


def test_loading_accepts_missing_and_whole_number_alphas() -> None:
    """Check 29: a missing alpha is scale 1, int64 is read; half an adapter is an error."""
    model = nn.ModuleDict({"x": nn.Linear(6, 4)})
    site = linear_site("lora_unet_x", "x", 4, 6)
    network = Network.create([Placement(site, 2, 2.0)], {"denoiser": model}, NetworkOptions(), 1)
    down, up = torch.randn(2, 6), torch.randn(4, 2)
    keys = {"lora_unet_x.lora_down.weight": down, "lora_unet_x.lora_up.weight": up}
    network.load_weights(keys)
    assert torch.equal(network.each_adapter()[0].up, up)
    network.load_weights({**keys, "lora_unet_x.alpha": torch.tensor(1)})
    assert torch.equal(network.each_adapter()[0].up, up / 2)
    report = network.load_weights({**keys, "lora_unet_y.alpha": torch.tensor(1)})
    assert report.unexpected == ("lora_unet_y.alpha",)
    with pytest.raises(AdapterProblem, match="only one of its two matrices"):
        network.load_weights({"lora_unet_x.lora_up.weight": up})


def test_linear_and_conv_spellings_of_a_projection_are_both_read() -> None:
    """SD 2.x: a file trained on a single checkpoint has 4-D proj_in (networks 1.2)."""
    model = nn.ModuleDict({"x": nn.Linear(6, 4), "y": nn.Conv2d(6, 4, 1)})
    host = model["y"]
    assert isinstance(host, nn.Conv2d)
    sites = [linear_site("lora_unet_x", "x", 4, 6), conv_site("lora_unet_y", "y", host)]
    placements = [Placement(site, 2, 2.0) for site in sites]
    network = Network.create(placements, {"denoiser": model}, NetworkOptions(), 1)
    down, up = torch.randn(2, 6), torch.randn(4, 2)
    network.load_weights(
        {
            "lora_unet_x.lora_down.weight": down[:, :, None, None],
            "lora_unet_x.lora_up.weight": up[:, :, None, None],
            "lora_unet_y.lora_down.weight": down,
            "lora_unet_y.lora_up.weight": up,
        }
    )
    flat, conv = network.each_adapter()
    assert torch.equal(flat.down, down)
    assert torch.equal(conv.up, up[:, :, None, None])


def test_groups_have_own_rates_and_clean_names(golden: Golden) -> None:
    groups = small(golden).parameter_groups(Optimizer(text_encoder_lr=[5e-5]))
    assert [(g.name, g.lr) for g in groups] == [("textencoder", 5e-5), ("unet", 1e-4)]
    assert [len(g.params) for g in groups] == [24, 384]


def test_loraplus_groups(golden: Golden) -> None:
    """Check 31: ratio 16 at 1e-4 gives 1e-4 and 1.6e-3; the second holds only up factors."""
    network = small(golden, train="denoiser", loraplus_lr_ratio=16)
    groups = network.parameter_groups(Optimizer())
    assert [g.name for g in groups] == ["unet", "unet plus"]
    assert [g.lr for g in groups] == pytest.approx([1e-4, 1.6e-3])
    ups = {id(a.up) for a in network.each_adapter()}
    assert {id(p) for p in groups[1].params} == ups
    assert not {id(p) for p in groups[0].params} & ups
    network = small(golden, loraplus_lr_ratio=16, loraplus_text_encoder_lr_ratio=4)
    rates = {g.name: g.lr for g in network.parameter_groups(Optimizer())}
    assert rates["textencoder plus"] == pytest.approx(4e-4)
    assert rates["unet plus"] == pytest.approx(1.6e-3)


def test_block_weights_make_groups_and_zero_rates_train_nothing(golden: Golden) -> None:
    network = small(golden, down_lr_weight=[0, 1, 0.5], up_lr_weight="zeros")
    groups = network.parameter_groups(Optimizer(text_encoder_lr=[0]))
    rates = {g.name: g.lr for g in groups}
    assert rates["unet_block1"] == pytest.approx(1e-4)
    assert rates["unet_block2"] == pytest.approx(5e-5)
    assert "textencoder" not in rates
    asking = {a.site.component for a in network.each_adapter() if a.down.requires_grad}
    assert asking == {"denoiser"}


@pytest.mark.parametrize("kernel", [0, 2, 3])
def test_max_norm_scales_what_is_above_it(kernel: int) -> None:
    """Check 33, for Linear, 2×2 and 3×3: a norm of 4 becomes 1 by halving both; 0.1 stays."""
    torch.manual_seed(0)
    if kernel:
        hosts = [nn.Conv2d(6, 4, kernel) for _ in range(2)]
        sites = [conv_site(f"lora_unet_{i}", f"h{i}", h) for i, h in enumerate(hosts)]
    else:
        hosts = [nn.Linear(6, 4) for _ in range(2)]
        sites = [linear_site(f"lora_unet_{i}", f"h{i}", 4, 6) for i in range(2)]
    model = nn.ModuleDict({f"h{i}": h for i, h in enumerate(hosts)})
    placements = [Placement(site, 3, 6.0) for site in sites]
    network = Network.create(placements, {"denoiser": model}, NetworkOptions(), 1)
    large, little = network.each_adapter()
    for adapter, norm in ((large, 4.0), (little, 0.1)):
        nn.init.normal_(adapter.up)
        with torch.no_grad():
            adapter.up.mul_(norm / adapter.delta().norm())
        assert norm_of(adapter).item() == pytest.approx(adapter.delta().norm().item(), rel=1e-5)
    before = large.down.clone(), large.up.clone(), little.down.clone()
    report = network.apply_max_norm(1.0)
    assert report.scaled == 1
    assert report.max == pytest.approx(1.0, rel=1e-5)
    assert report.mean == pytest.approx((1.0 + 0.5) / 2, rel=1e-5)  # floored at half the limit
    assert large.delta().norm().item() == pytest.approx(1.0, rel=1e-5)
    assert error([large.down, large.up], [before[0] / 2, before[1] / 2]) < 1e-5
    assert torch.equal(little.down, before[2])


def test_max_norm_of_a_fused_adapter_is_that_of_the_whole() -> None:
    model = Attention()
    placement = Placement(FUSED, 4, 2.0)
    network = Network.create([placement], {"denoiser": model}, NetworkOptions(), 1)
    adapter = network.each_adapter()[0]
    nn.init.normal_(adapter.up, std=20)
    network.apply_max_norm(1.0)
    assert adapter.delta().norm().item() == pytest.approx(1.0, rel=1e-5)


def test_a_model_of_other_sizes_is_refused() -> None:
    model = nn.ModuleDict({"x": nn.Linear(6, 4)})
    wrong = linear_site("lora_unet_x", "x", 8, 6)
    with pytest.raises(AdapterProblem, match=r"module x has a weight of \(4, 6\)"):
        Network.create([Placement(wrong, 2, 2.0)], {"denoiser": model}, NetworkOptions(), 1)
    absent = linear_site("lora_unet_z", "z", 4, 6)
    with pytest.raises(AdapterProblem, match="no module z"):
        Network.create([Placement(absent, 2, 2.0)], {"denoiser": model}, NetworkOptions(), 1)
    with pytest.raises(AdapterProblem, match="text encoder"):
        text = Placement(sites_of("sd1")[0], 2, 2.0)
        Network.create([text], {"denoiser": model}, NetworkOptions(), 1)
    with pytest.raises(AdapterProblem, match="train no layer"):
        Network.create([], {"denoiser": model}, NetworkOptions(), 1)


def test_starting_from_a_file(golden: Golden, tmp_path: Path) -> None:
    first = small(golden, train="denoiser")
    for adapter in first.each_adapter():
        nn.init.normal_(adapter.up, std=0.1)
    path = tmp_path / "first.safetensors"
    save(path, first.weights(), {}, "fp32")
    sites = sites_of("sd1", shape_of("sd1", golden.components))
    options = NetworkOptions(rank=6, alpha=6, start_from=str(path))
    network, notes = start_network(options, "sd1", sites, golden.components, 5)
    assert notes == ("12 layers are not in the file and start from nothing.",)
    deltas = {a.site.name: a.delta() for a in first.each_adapter()}
    for adapter in network.each_adapter():
        assert adapter.rank == 6
        if adapter.site.name in deltas:
            assert error([adapter.delta()], [deltas[adapter.site.name]]) < 1e-5
    options = NetworkOptions(rank=6, alpha=6, start_from=str(path), rank_from_file=True)
    network, notes = start_network(options, "sd1", sites, golden.components, 5)
    assert notes == ()
    assert len(network.each_adapter()) == 192
    assert {(a.rank, a.alpha) for a in network.each_adapter()} == {(4, 1.0)}
    options = NetworkOptions(rank=2, alpha=2, start_from=str(path), train="denoiser")
    network, notes = start_network(options, "sd1", sites, golden.components, 5)
    assert "higher rank in 192 layers" in notes[0]


def test_training_moves_both_factors_and_nothing_else(golden: Golden) -> None:
    torch.manual_seed(0)
    network = small(golden, conv_dim=2, train="denoiser")
    network.attach()
    groups = network.parameter_groups(Optimizer(learning_rate=1e-2))
    optimizer = torch.optim.AdamW([{"params": g.params, "lr": g.lr} for g in groups])
    x, t, text = torch.randn(2, 4, 16, 16), torch.tensor([10, 500]), torch.randn(2, 77, 32)
    frozen = [p.clone() for p in golden.unet.parameters()]
    before = network.weights()
    losses = []
    for _ in range(3):
        loss = golden.unet(x, t, text).sample.sub(1).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
    after = network.weights()
    moved = [k for k, v in after.items() if not torch.equal(v, before[k])]
    assert len(moved) == 2 * len(network.each_adapter())
    assert all(torch.equal(a, b) for a, b in zip(frozen, golden.unet.parameters(), strict=True))
    assert not math.isnan(losses[-1])
