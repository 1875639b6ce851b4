"""Files of sd-scripts on our models: outputs as the peer computed them (shared golden README)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.networks import AdapterProblem, attach_file
from engine.networks.network import Network
from engine.networks.shape import shape_of
from engine.plan.ranks import place
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions
from tests.networks.conftest import Golden, golden_cases, golden_file
from tests.networks.golden_case import check_case
from tests.networks.parts import error

Case = Callable[[str], tuple[Path, dict[str, Tensor]]]
PLAIN = golden_cases(
    "lora_r4a2",
    "lora_block25",
    "lora_blocklr_zero",
    "lora_conv",
    "lora_fa",
    "dylora_u2",
    "dylora_u2_extract-0004",
)


def delta_error(got: Tensor, base: Tensor, io: dict[str, Tensor], kind: str, name: str) -> float:
    return error([got - base], [io[f"{kind}.{name}"] - io[f"base.{name}"]])


@pytest.mark.parametrize("name", PLAIN)
def test_outputs_equal_the_peers_and_detach_is_bit_exact(
    name: str, golden: Golden, case: Case
) -> None:
    path, _ = case(name)
    handle = check_case("sd1", golden.components, lambda _, io: golden.run(io), path)
    assert handle.unused == ()


def test_two_files_stack_and_come_off_in_any_order(golden: Golden, case: Case) -> None:
    path, io = case("lora_r4a2")
    other, _ = case("lora_block25")
    base = golden.run(io)
    first = attach_file("sd1", golden.components, path, 0.5)
    second = attach_file("sd1", golden.components, path, 0.5)
    both = golden.run(io)
    for part in ("unet", "te1"):
        assert delta_error(both[part], base[part], io, "lora", part) < 1e-4
    third = attach_file("sd1", golden.components, other, 0.7)
    assert error([golden.run(io)["unet"]], [both["unet"]]) > 1e-3
    first.detach()
    third.detach()
    half = golden.run(io)
    assert delta_error(half["unet"], base["unet"], io, "lora_m0.5", "unet") < 1e-4
    second.detach()
    assert all(
        torch.equal(a, b) for a, b in zip(golden.run(io).values(), base.values(), strict=True)
    )


def test_merge_gives_the_attached_output(golden: Golden, case: Case) -> None:
    path, io = case("lora_r4a2")
    base = golden.run(io)
    attach_file("sd1", golden.components, path).merge()
    merged = golden.run(io)
    for part in ("unet", "te1"):
        assert delta_error(merged[part], base[part], io, "lora", part) < 1e-3
    assert not any("forward" in m.__dict__ for m in golden.unet.modules())


def test_a_component_that_is_absent_is_reported(golden: Golden, case: Case) -> None:
    path, io = case("lora_r4a2")
    base = golden.run(io)
    handle = attach_file("sd1", {"denoiser": golden.unet}, path)
    assert len(handle.used) == 192
    assert {u.reason for u in handle.unused} == {"the text encoder is not given"}
    assert len(handle.unused) == 12
    got = golden.run(io)
    assert torch.equal(got["te1"], base["te1"])
    assert delta_error(got["unet"], base["unet"], io, "lora", "unet") < 1e-4


def test_the_text_encoder_alone(golden: Golden, case: Case) -> None:
    path, io = case("lora_r4a2")
    base = golden.run(io)
    attach_file("sd1", {"text_encoder": golden.text_encoder}, path)
    assert delta_error(golden.run(io)["te1"], base["te1"], io, "lora", "te1") < 1e-4


def test_a_file_of_another_size_is_refused(golden: Golden, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    path = tmp_path / "other.safetensors"
    down, up = torch.ones(4, 1280), torch.ones(1280, 4)
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, path)
    with pytest.raises(AdapterProblem, match=r"for another model"):
        attach_file("sd1", golden.components, path)
    save_file({"lora_unet_no_such.lora_down.weight": down, "lora_unet_no_such.lora_up.weight": up},
              path)  # fmt: skip
    with pytest.raises(AdapterProblem, match="nothing in it fits this model"):
        attach_file("sd1", golden.components, path)
    with pytest.raises(AdapterProblem, match="is no architecture"):
        attach_file("sd9", golden.components, path)


def test_the_golden_structure_is_what_place_gives(golden: Golden) -> None:
    """Names and shapes of a network of ours equal the peer's file (check 26)."""
    from safetensors import safe_open

    sites = sites_of("sd1", shape_of("sd1", golden.components))
    options = NetworkOptions(rank=4, alpha=2)
    network = Network.create(place(options, sites, "sd1"), golden.components, options, 1)
    with safe_open(golden_file("lora_r4a2.safetensors"), "pt") as file:
        theirs = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    assert {key: tuple(t.shape) for key, t in network.weights().items()} == theirs
