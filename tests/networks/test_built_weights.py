"""Variants on a layer against its whole weight built by autograd: Tucker, scalar, DoRA."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks import AdapterProblem, Network
from engine.networks.factors import tensors_of
from engine.networks.variants import dora_functions
from engine.networks.variants.kinds import Kinds
from engine.plan.site import Placement, Site
from engine.schema.network import Network as NetworkOptions
from tests.networks.parts import FUSED, SWAPPED, Attention, attached, conv_site, error
from tests.networks.variant_parts import COLUMNS, ROWS, SITE, built, compared, variant

ALL = [
    Kinds(scalar=True),
    Kinds(dora="output"),
    Kinds(dora="input"),
    Kinds(dora="output", scalar=True),
    Kinds(dora="output", frozen_down=True),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [2, 300])
@pytest.mark.parametrize("kinds", ALL)
def test_linear_variants_equal_a_built_weight(kinds: Kinds, rows: int, bias: bool) -> None:
    """Few rows are added in place, many go through a merged weight (check 40)."""
    torch.manual_seed(0)
    host = nn.Linear(COLUMNS, ROWS, bias=bias).double().requires_grad_(False)
    adapter = variant(SITE, host, kinds)
    x = torch.randn(rows, COLUMNS, dtype=torch.float64, requires_grad=True)
    assert compared(host, adapter, built(host, adapter), x) < 1e-12


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("side", [3, 24])
@pytest.mark.parametrize(
    "kinds", [*ALL, Kinds(tucker=True), Kinds(tucker=True, scalar=True, dora="output")]
)
def test_conv_variants_equal_a_built_weight(kinds: Kinds, side: int, kernel: int) -> None:
    """Tucker is for kernels larger than 1×1 alone; it combines with scalar and DoRA."""
    torch.manual_seed(0)
    host = nn.Conv2d(COLUMNS, ROWS, kernel, stride=kernel // 2 + 1, padding=kernel // 2).double()
    host.requires_grad_(False)
    adapter = variant(conv_site("lora_unet_x", "x", host), host, kinds)
    assert (adapter.mid is not None) == (kinds.tucker and kernel == 3)
    x = torch.randn(2, COLUMNS, side, side, dtype=torch.float64, requires_grad=True)
    assert compared(host, adapter, built(host, adapter), x) < 1e-12


def test_both_ways_of_dora_were_taken() -> None:
    """The sizes above lie on both sides of the bounds."""
    assert dora_functions.work_of(2, COLUMNS, ROWS) < dora_functions.MERGE_ROWS
    assert dora_functions.work_of(300, COLUMNS, ROWS) >= dora_functions.MERGE_ROWS
    assert dora_functions.work_of(2 * 3 * 3, COLUMNS * 9, ROWS) < dora_functions.MERGE_CONV
    assert dora_functions.work_of(2 * 12 * 12, COLUMNS * 9, ROWS) >= dora_functions.MERGE_CONV


@pytest.mark.parametrize("site", [FUSED, SWAPPED])
def test_dora_by_output_on_parts_equals_the_fused_layer(site: Site) -> None:
    """Check 40: split q/k/v results equal the fused computation, swapped halves too."""
    torch.manual_seed(0)
    attention, swapped = Attention(), nn.ModuleDict({"linear": nn.Linear(6, 8)})
    model = attention if site is FUSED else swapped
    model.double().requires_grad_(False)
    if site is FUSED:
        order = list(range(16))
        hosts = [attention.to_q, attention.to_k, attention.to_v]
    else:
        order = [*range(4, 8), *range(4)]  # the file's rows in the order of the module's
        hosts = [swapped.get_submodule("linear")]
    weight = torch.cat([host.get_parameter("weight") for host in hosts])[order]
    bias = torch.cat([host.get_parameter("bias") for host in hosts])[order]
    adapter = variant(site, attention if site is FUSED else hosts[0], Kinds(dora="output"))
    assert adapter.dora_scale is not None
    nn.init.normal_(adapter.dora_scale, mean=1.0)
    v = weight + 0.5 * adapter.up @ adapter.down
    expected_weight = adapter.dora_scale * v / v.norm(dim=1, keepdim=True)
    x = torch.randn(5, 6, dtype=torch.float64)
    expected = F.linear(x, expected_weight, bias)
    own = [adapter.merged(i, host.get_parameter("weight")) for i, host in enumerate(hosts)]
    merged = torch.cat(own).double()[order]
    attached(model, adapter)
    y = torch.cat([host(x) for host in hosts], dim=1)[:, order]
    assert error([y, merged], [expected, expected_weight]) < 1e-5


def test_dora_starts_as_the_base_with_its_norms() -> None:
    """Check 40: dora_scale = ‖W‖ in the shapes (out, 1), (1, in) and those of convolutions."""
    host, conv = nn.Linear(COLUMNS, ROWS), nn.Conv2d(COLUMNS, ROWS, 3)
    model = nn.ModuleDict({"x": host, "y": conv}).requires_grad_(False)
    sites = [SITE, conv_site("lora_unet_y", "y", conv)]
    for by_output, shapes in ((True, ((10, 1), (10, 1, 1, 1))), (False, ((1, 6), (1, 6, 1, 1)))):
        options = NetworkOptions(dora_wd=True, wd_on_output=by_output)
        placements = [Placement(site, 4, 2.0, group="unet") for site in sites]
        network = Network.create(placements, {"denoiser": model}, options, 1)
        first = network.each_adapter()[0]
        scales = [a.dora_scale for a in network.each_adapter() if a.dora_scale is not None]
        assert tuple(tuple(s.shape) for s in scales) == shapes
        norms = host.weight.norm(dim=1 if by_output else 0)
        assert torch.allclose(scales[0].flatten(), norms)
        assert tensors_of(first)["dora_scale"].shape == shapes[0]
        x = torch.randn(3, COLUMNS)
        base = host(x)
        network.attach()
        assert error([host(x)], [base]) < 1e-6
        network.detach()


def test_dora_in_half_precision_starts_as_the_base_too() -> None:
    """Magnitudes and norms keep their digits when the factors are cast."""
    host = nn.Linear(COLUMNS, ROWS).requires_grad_(False)
    options = NetworkOptions(dora_wd=True)
    placement = Placement(SITE, 4, 2.0, group="unet")
    network = Network.create([placement], {"denoiser": nn.ModuleDict({"x": host})}, options, 1)
    network.to(torch.bfloat16)
    (adapter,) = network.each_adapter()
    assert adapter.down.dtype == torch.bfloat16
    assert adapter.dora_scale is not None
    assert adapter.dora_scale.dtype == torch.float32
    x = torch.randn(3, COLUMNS)
    base = host(x)
    network.attach()
    assert error([host(x)], [base]) < 1e-6


class Packed(nn.Module):
    """A host whose weight cannot be read, as quantizers make them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.inner, self.bias = [linear], linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.inner[0](x)


def test_dora_over_a_packed_weight_needs_only_the_hosts_products() -> None:
    torch.manual_seed(0)
    host = nn.Linear(COLUMNS, ROWS).double().requires_grad_(False)
    packed = Packed(host)
    ours, theirs = (variant(SITE, h, Kinds(dora="output")) for h in (host, packed))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, COLUMNS, dtype=torch.float64, requires_grad=True)
    results = []
    for module, adapter in ((host, ours), (packed, theirs)):
        model = nn.ModuleDict({"x": module})
        forwards = attached(model, adapter)
        y = module(x)
        results.append([y, *torch.autograd.grad(y.square().sum(), [x, *adapter.parameters()])])
        forwards[0].remove(adapter)
    assert error(results[1], results[0]) < 1e-10
    with pytest.raises(AdapterProblem, match="wd_on_output"):
        variant(SITE, packed, Kinds(dora="input"))
