"""Gradient checkpoints that wait in the computer's memory instead of the card's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def offload_checkpoints(model: nn.Module) -> int:
    """Keep the inputs of checkpointed blocks in the computer's memory until their backward.

    Call it after the library's `enable_gradient_checkpointing`; it wraps the function that this set
    on each part.

    Returns:
        How many parts now do so.
    """
    count = 0
    for module in model.modules():
        checkpoint: Any = getattr(module, "_gradient_checkpointing_func", None)
        if getattr(module, "gradient_checkpointing", False) and checkpoint is not None:
            module._gradient_checkpointing_func = _offloaded(checkpoint)  # pyright: ignore
            count += 1
    return count


def _offloaded(checkpoint: Callable[..., Any]) -> Callable[..., Any]:
    def run(block: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autograd.graph.save_on_cpu(pin_memory=torch.cuda.is_available()):
            return checkpoint(block, *args, **kwargs)

    return run
