"""DyLoRA: at each pass only a few directions of the rank are trained (spec: networks 4.7).

The factors stay whole, so that the forward pass is that of plain LoRA: a gate lets gradients
through in the drawn directions alone. The optimizer holds one parameter for each unit, a view of
the factor's own memory, and only those of drawn units get a gradient: a zero-filled one would keep
AdamW's momentum and decay going in the others (adapter-performance 4).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.plan.keys import draws


class Units(nn.Module):
    """The drawn unit of one adapter, and the units as parameters for the optimizer.

    Attributes:
        gate: (r,) true where gradients pass.
        below: (r,) true up to the end of the drawn unit.
        gain: what the product is multiplied with in this pass.
    """

    gate: Tensor
    below: Tensor
    gain: Tensor

    def __init__(self, rank: int, unit: int, truncating: bool) -> None:
        super().__init__()
        self.rank, self.unit, self.truncating = rank, unit, truncating
        self.register_buffer("gate", torch.ones(rank, dtype=torch.bool), persistent=False)
        self.register_buffer("below", torch.ones(rank, dtype=torch.bool), persistent=False)
        self.register_buffer("gain", torch.ones(()), persistent=False)
        self.drawn: set[int] = set()
        self._views: list[tuple[nn.Parameter, nn.Parameter]] = []

    def draw(self, *of: object) -> None:
        """Choose the unit of the next pass, as a pure function of what it is for."""
        number = draws(*of).randrange(self.rank) // self.unit
        start, stop = number * self.unit, (number + 1) * self.unit
        self.drawn.add(number)
        places = torch.arange(self.rank, device=self.gate.device)
        self.gate.copy_((places >= start) & (places < stop))
        self.below.copy_(places < stop)
        # Truncated, the scale is alpha / k for the k directions used, as a file of that rank has
        # it; sd-scripts uses all of them and raises the scale by a root.
        share = self.rank / stop
        self.gain.fill_(share if self.truncating else share**0.5)

    def gated(self, down: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors as this pass uses them: gradients in the drawn directions only.

        Args:
            down: (r, …).
            up: (O, r, …).
        """
        rows = self.gate.view(-1, *(1,) * (down.dim() - 1))
        columns = self.gate.view(1, -1, *(1,) * (up.dim() - 2))
        down = torch.where(rows, down, down.detach())
        rest = up.detach()
        if self.truncating:
            rest = rest * self.below.view_as(columns)
        return down, torch.where(columns, up, rest) * self.gain.to(up.dtype)

    def parameters_of(
        self, down: nn.Parameter, up: nn.Parameter
    ) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Make the optimizer's parameters: views of both factors' memory, contiguous ones.

        Call it when the factors are on their device and in their dtype for good.
        """
        self._views = []
        for start in range(0, self.rank, self.unit):
            span = slice(start, start + self.unit)
            self._views.append(
                (nn.Parameter(down.data[span]), nn.Parameter(up.data[:, span].transpose(0, 1)))
            )
        return [a for a, _ in self._views], [b for _, b in self._views]

    def hand_over(self, down: nn.Parameter, up: nn.Parameter) -> None:
        """Give the drawn units their part of the factors' gradients; the others get none."""
        whole_down, whole_up = down.grad, up.grad
        down.grad = up.grad = None
        numbers = self.drawn or set(range(len(self._views)))
        for number in numbers:
            span = slice(number * self.unit, (number + 1) * self.unit)
            for parameter, grad in (
                (self._views[number][0], None if whole_down is None else whole_down[span]),
                (self._views[number][1], None if whole_up is None
                 else whole_up[:, span].transpose(0, 1)),
            ):  # fmt: skip
                parameter.grad = None if grad is None else grad.contiguous()
        self.drawn = set()


def transposed_up(shape: tuple[int, ...]) -> Tensor:
    """Make zeros of `up`'s shape (O, r, …) whose directions lie in memory one after the other.

    Torch's fused AdamW on the CPU writes the wrong numbers of a parameter that is not contiguous.
    """
    rows, rank, *rest = shape
    return torch.zeros(rank, rows, *rest).transpose(0, 1)
