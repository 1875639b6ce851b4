"""Files of LyCORIS, as it computed them itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from engine.networks import attach_file
from tests.networks.conftest import Golden, golden_cases
from tests.networks.golden_case import check_case
from tests.networks.parts import error

Case = Callable[[str], tuple[Path, dict[str, Tensor]]]
LYCORIS = golden_cases(
    "lyco_locon_dora", "lyco_locon_norm", "lyco_locon_scalar", "lyco_locon_tucker"
)


@pytest.mark.parametrize("name", LYCORIS)
def test_files_of_lycoris_act_as_there(name: str, golden: Golden, case: Case) -> None:
    """DoRA, norms, scalars, Tucker; at 1 and 0.5; merged; and off again, bit for bit."""
    path, io = case(name)
    base = golden.run(io)
    handle = check_case("sd1", golden.components, lambda _, io: golden.run(io), path)
    assert handle.unused == ()
    attach_file("sd1", golden.components, path).merge()
    merged = golden.run(io)
    for part in ("unet", "te1"):
        expected = io[f"lora.{part}"] - io[f"base.{part}"]
        assert error([merged[part] - base[part]], [expected]) < 1e-3


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
