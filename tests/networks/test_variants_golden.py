"""Files of LyCORIS, as it computed them itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.networks import attach_file
from tests.networks.conftest import Golden, golden_cases
from tests.networks.parts import error

Case = Callable[[str], tuple[Path, dict[str, Tensor]]]
LYCORIS = golden_cases(
    "lyco_locon_dora", "lyco_locon_norm", "lyco_locon_scalar", "lyco_locon_tucker"
)


def delta_error(got: Tensor, base: Tensor, io: dict[str, Tensor], kind: str, name: str) -> float:
    return error([got - base], [io[f"{kind}.{name}"] - io[f"base.{name}"]])


@pytest.mark.parametrize("name", LYCORIS)
def test_files_of_lycoris_act_as_there(name: str, golden: Golden, case: Case) -> None:
    """DoRA, norms, scalars, Tucker; at 1 and 0.5; merged; and off again, bit for bit."""
    path, io = case(name)
    base = golden.run(io)
    handle = attach_file("sd1", golden.components, path)
    assert handle.unused == ()
    full = golden.run(io)
    handle.set_weight(0.5)
    half = golden.run(io)
    handle.detach()
    off = golden.run(io)
    attach_file("sd1", golden.components, path).merge()
    merged = golden.run(io)
    for part in ("unet", "te1"):
        assert delta_error(full[part], base[part], io, "lora", part) < 1e-4
        assert delta_error(half[part], base[part], io, "lora_m0.5", part) < 1e-4
        assert delta_error(merged[part], base[part], io, "lora", part) < 1e-3
        assert torch.equal(off[part], base[part])


@pytest.mark.parametrize("name", LYCORIS[:2])
def test_a_second_file_acts_beside_a_variant(name: str, golden: Golden, case: Case) -> None:
    """What two files add is summed host by host, DoRA's against the base model."""
    path, io = case(name)
    one = attach_file("sd1", golden.components, path)
    alone = golden.run(io)
    two = attach_file("sd1", golden.components, path, 0.5)
    both = golden.run(io)
    assert error([both["te1"]], [alone["te1"]]) > 1e-3
    two.detach()
    assert error([golden.run(io)["te1"]], [alone["te1"]]) < 1e-6
    one.detach()
