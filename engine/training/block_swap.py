"""Blocks whose weights wait in the computer's memory and come to the card when they are needed.

Diffusers' group offload serves inference only; this one knows the backward pass (spec:
training-sd-flux 5.3). It needs gradient checkpointing: a block's forward then keeps nothing, and is
run once more inside the backward pass, in reverse order. Weights are frozen, so leaving costs
nothing: the copy in the computer's memory is the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class BlockSwap:
    """Keeps the last `count` blocks away from the device, fetching each and the one after it."""

    def __init__(self, blocks: Sequence[nn.Module], count: int, device: torch.device) -> None:
        """Send the blocks away, and listen to their forwards and backwards.

        Args:
            blocks: all blocks in the order they are run; their own tensors only, no adapters'.
            count: how many of them stay away, from the end.
            device: where they are computed.
        """
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._away = [_Away(block, device) for block in blocks[len(blocks) - count :]]
        self._handles: list[Any] = []
        for place, away in enumerate(self._away):
            away.leave()
            hook = self._before(place)
            self._handles.append(
                away.block.register_forward_pre_hook(hook, with_kwargs=True, prepend=True)
            )
            self._handles.append(
                away.block.register_forward_hook(self._after(place), always_call=True)
            )

    @property
    def here(self) -> int:
        """How many of the swapped blocks are on the device now."""
        return sum(away.here for away in self._away)

    def close(self) -> None:
        """Bring all blocks to the device to stay."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for away in self._away:
            away.come(None)
            away.wait(None)

    def _before(self, place: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            again = _in_backward()
            neighbor = place - 1 if again else place + 1
            for other, away in enumerate(self._away):
                if other not in (place, neighbor):
                    away.leave()  # whose inputs need no gradient was not told that it is done
            self._away[place].come(self._stream)
            self._away[place].wait(self._stream)
            if 0 <= neighbor < len(self._away):
                self._away[neighbor].come(self._stream)
            if again or not torch.is_grad_enabled():
                return None
            return _watched(args, kwargs, self._away[place].leave)

        return hook

    def _after(self, place: int) -> Any:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            if not _in_backward():
                self._away[place].leave()

        return hook


def _in_backward() -> bool:
    """Say whether autograd is going backwards now: then a forward is a recomputation."""
    return torch._C._current_graph_task_id() != -1


class _Away:
    """One block's own tensors: at home in the computer's memory, on the device for a while."""

    def __init__(self, block: nn.Module, device: torch.device) -> None:
        self.block, self.device = block, device
        pinned = device.type == "cuda"
        tensors = [*block.parameters(), *block.buffers()]
        self._tensors = tensors
        self._home = [t.data.cpu().pin_memory() if pinned else t.data.clone() for t in tensors]
        self.here = True
        self._arrived: Any = None

    def come(self, stream: Any) -> None:
        """Begin to copy the weights to the device; on a stream of their own if there is one."""
        if self.here:
            return
        self.here = True
        if stream is None:
            for tensor, home in zip(self._tensors, self._home, strict=True):
                tensor.data = home.to(self.device, copy=True)
            return
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for tensor, home in zip(self._tensors, self._home, strict=True):
                tensor.data = home.to(self.device, non_blocking=True)
            self._arrived = stream.record_event()

    def wait(self, stream: Any) -> None:
        """Let the device wait until the copy is whole."""
        if stream is None or self._arrived is None:
            return
        now = torch.cuda.current_stream(self.device)
        now.wait_event(self._arrived)
        for tensor in self._tensors:
            tensor.data.record_stream(now)
        self._arrived = None

    def leave(self) -> None:
        """Give the device's memory back."""
        if not self.here:
            return
        self.here = False
        for tensor, home in zip(self._tensors, self._home, strict=True):
            tensor.data = home


def _watched(args: tuple[Any, ...], kwargs: dict[str, Any], done: Any) -> Any:
    """Put the inputs that need gradients through a Function that tells when all have theirs.

    Then the block's own backward is over, and its weights may leave.
    """
    learning = [v for v in (*args, *kwargs.values()) if _learns(v)]
    if not learning:
        return None
    passed: Any = iter(_Tell.apply(done, *learning))
    args = tuple(next(passed) if _learns(v) else v for v in args)
    return args, {name: next(passed) if _learns(v) else v for name, v in kwargs.items()}


def _learns(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


class _Tell(torch.autograd.Function):
    """Hands tensors through; its backward runs once all their gradients are there."""

    @staticmethod
    def forward(ctx: Any, done: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.done = done
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        ctx.done()
        return (None, *gradients)
