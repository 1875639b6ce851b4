"""What is asked of every file that a peer wrote: its effect, at two weights, and none after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.networks import Handle, attach_file
from tests.networks.parts import error

Components = dict[str, nn.Module]
Outputs = dict[str, Tensor]
Run = Callable[[Components, Mapping[str, Tensor]], Outputs]
WITHIN = 1e-4
"""Relative error that a delta may have: 2e-3 is what matching means; all come out below 4e-5."""


def check_case(
    architecture: str,
    components: Components,
    run: Run,
    path: Path,
    *,
    changed: set[str] | None = None,
) -> Handle:
    """Hold a file's effect against the outputs recorded beside it (`NAME.io.safetensors`).

    At weight 1 and 0.5 the delta is the peer's, at weight 0 and once it is off nothing is left, bit
    for bit.

    Args:
        architecture: its id.
        components: the base, by role, in float32.
        run: the outputs of the base by name, for the recorded inputs.
        path: the adapter file.
        changed: the outputs it acts on, the others stay bit for bit; None: on all of them.

    Returns:
        The handle, detached again.
    """
    io = load_file(path.with_name(f"{path.stem}.io.safetensors"))
    io = {n: t.float() if t.is_floating_point() else t for n, t in io.items()}
    base = run(components, io)
    for part, output in base.items():
        assert error([output], [io[f"base.{part}"]]) < 1e-5, part
    handle = attach_file(architecture, components, path)
    for kind, weight in (("lora", 1.0), ("lora_m0.5", 0.5)):
        handle.set_weight(weight)
        for part, output in run(components, io).items():
            if changed is not None and part not in changed:
                assert torch.equal(output, base[part])
                continue
            expected = io[f"{kind}.{part}"] - io[f"base.{part}"]
            assert error([output - base[part]], [expected]) < WITHIN, (kind, part)
    handle.set_weight(0.0)
    assert all(torch.equal(base[part], output) for part, output in run(components, io).items())
    handle.detach()
    assert all(torch.equal(base[part], output) for part, output in run(components, io).items())
    return handle
