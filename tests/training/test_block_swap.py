"""Blocks that wait in main memory, and checkpoints that do (spec: training-sd-flux 5.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.training.block_swap import BlockSwap
from engine.training.checkpointing import offload_checkpoints

WIDTH = 16


class Block(nn.Module):
    """Two streams, as a joint block has; notes how many blocks are here when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.requires_grad_(False)
        self.learned = [torch.randn(WIDTH, WIDTH, requires_grad=True)]  # an adapter, not a child

    def forward(self, x: Tensor, *, y: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.tanh(self.first(x) + x @ self.learned[0])
        return x + joined, y + torch.tanh(self.second(y) * joined)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block() for _ in range(6))
        self.gradient_checkpointing = True
        self._gradient_checkpointing_func: Any = lambda block, x, y: checkpoint(
            block, x, y=y, use_reentrant=False
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x * 0.5
        for block in self.blocks:
            x, y = self._gradient_checkpointing_func(block, x, y)
        return (x * y).sum()


def gradients(model: Model) -> list[Tensor]:
    learned = [block.learned[0] for block in model.blocks if isinstance(block, Block)]
    torch.manual_seed(1)
    loss = model(torch.randn(3, WIDTH))
    return list(torch.autograd.grad(loss, learned))


def test_swapping_changes_no_gradient_and_keeps_two_blocks_here() -> None:
    wanted = gradients(Model())
    model = Model()
    swap = BlockSwap(list(model.blocks), 4, torch.device("cpu"))
    assert swap.here == 0
    seen: list[int] = []
    for block in model.blocks:
        assert isinstance(block, Block)
        block.second.register_forward_hook(lambda *_: seen.append(swap.here))
    found = gradients(model)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert len(seen) == 12  # once forwards, once again in the backward pass
    assert max(seen) == 2
    with torch.no_grad():
        model(torch.randn(3, WIDTH))
    assert swap.here <= 1
    swap.close()
    assert swap.here == 4


def test_a_block_has_its_weights_whenever_it_runs() -> None:
    model = Model()
    swap = BlockSwap(list(model.blocks), 4, torch.device("cpu"))
    here: list[bool] = []
    for place, block in enumerate(list(model.blocks)[2:]):
        assert isinstance(block, Block)
        block.first.register_forward_pre_hook(lambda *_, at=place: here.append(swap._away[at].here))
    gradients(model)
    assert len(here) == 8
    assert all(here)


def test_checkpoints_in_main_memory_change_no_gradient() -> None:
    wanted = gradients(Model())
    model = Model()
    assert offload_checkpoints(model) == 1
    packed: list[int] = []
    plain = torch.autograd.graph.save_on_cpu

    class Counted(plain):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            packed.append(1)

    torch.autograd.graph.save_on_cpu = Counted
    try:
        found = gradients(model)
    finally:
        torch.autograd.graph.save_on_cpu = plain
    assert len(packed) == 6
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
