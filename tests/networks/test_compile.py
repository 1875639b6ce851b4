"""torch.compile: each kind of block is one graph with every variant, and blocks share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from tests.networks.cells import Base, cells, options_of, training
from tests.networks.parts import error


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def repeated_blocks(base: Base) -> list[nn.Module]:
    """The blocks that a run compiles, as they are without it."""
    base.model.compile_blocks()
    modules = base.model.components["denoiser"].modules()
    found = [m for m in modules if m._compiled_call_impl is not None]
    for block in found:
        block._compiled_call_impl = None
    return found


def fed_to(block: nn.Module, base: Base) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the block is called with in a forward of its model."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    note = block.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    base.shown()
    note.remove()
    return calls[0]


def all_tensors(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [t for t in output if t is not None]


@pytest.mark.parametrize(("architecture", "variant"), cells())
def test_a_block_is_one_graph(
    architecture: str, variant: str, base: Callable[[str], Base], request: Any
) -> None:
    """`fullgraph` raises on any break; the outputs are those without compiling."""
    here = base(architecture)
    run = training(here, options_of(architecture, variant))
    request.addfinalizer(run.network.detach)
    run.step(0)  # from here on the factors add something, and GGPO has its norms
    kinds = {type(block): block for block in reversed(repeated_blocks(here))}
    for block in kinds.values():
        args, kwargs = fed_to(block, here)
        counter = CompileCounterWithBackend("eager")
        outputs = []
        for call in (torch.compile(block, fullgraph=True, backend=counter), block):
            torch.manual_seed(1)
            outputs.append(all_tensors(call(*args, **kwargs)))
        assert error(outputs[0], outputs[1]) < 1e-6
        assert outputs[0][0].requires_grad
        assert counter.frame_count == 1


@pytest.mark.parametrize(
    ("architecture", "variant", "count"),
    [("sd1", "lora", 16), ("sd1", "norm_tucker_scalar_dora", 16), ("sdxl", "lora", 70)],
)
def test_blocks_of_a_kind_share_a_graph(
    architecture: str, variant: str, count: int, base: Callable[[str], Base], request: Any
) -> None:
    """The blocks have up to three sizes of picture, and everything else in common."""
    here = base(architecture)
    run = training(here, options_of(architecture, variant))
    request.addfinalizer(run.network.detach)
    blocks = repeated_blocks(here)
    counter = CompileCounterWithBackend("eager")
    for block in blocks:
        block.compile(fullgraph=True, backend=counter)
        request.addfinalizer(lambda block=block: setattr(block, "_compiled_call_impl", None))
    run.step(0)
    assert len(blocks) == count
    assert counter.frame_count == 3
