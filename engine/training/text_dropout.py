"""Text encoders that say nothing about a sample now and then (spec: training-sd-flux 2).

It acts on encoded captions, so that it is the same whether they are kept or encoded anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.architectures.architecture import Text
from engine.plan.keys import draws


@runtime_checkable
class SeparateEncoders(Protocol):
    """A model whose text encoders can be silenced one by one."""

    def without_encoders(self, text: Text, dropped: Tensor) -> dict[str, Tensor]:
        """Zero what encoder j said of sample i, where `dropped` (b, encoders) says so."""
        ...


def drawn_silence(
    rates: Sequence[float], seed: int, epoch: int, samples: Sequence[tuple[str, int]]
) -> Tensor:
    """Draw which encoders are silent for which sample: (b, encoders) bool.

    Args:
        rates: the chance of each encoder.
        seed: the run's.
        epoch: counted from 1.
        samples: (relative path, repeat) of each; with seed and epoch it decides alone.
    """
    rows = []
    for path, repeat in samples:
        generator = draws(seed, "text encoder dropout", epoch, path, repeat)
        rows.append([generator.random() < rate for rate in rates])
    return torch.tensor(rows, dtype=torch.bool).reshape(len(samples), len(rates))


def silenced(model: object, text: Text, silent: Tensor | None) -> Text:
    """The text with the drawn encoders silent; unchanged without a draw.

    Raises:
        TypeError: if the model's encoders cannot be told apart.
    """
    if silent is None or not bool(silent.any()):
        return text
    if not isinstance(model, SeparateEncoders):
        raise TypeError(f"{type(model).__name__} cannot silence single text encoders")
    return model.without_encoders(text, silent)
