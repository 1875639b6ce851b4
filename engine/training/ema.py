"""The running average of the adapter, by diffusers' `EMAModel` (spec: data-loop 4.5).

Its decay grows with the updates: min(d, (1 + i) / (10 + i)).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch.nn import Parameter


class Ema:
    """The average of some parameters; they themselves are only changed inside `applied`."""

    def __init__(self, parameters: Sequence[Parameter], decay: float) -> None:
        from diffusers.training_utils import EMAModel

        self._parameters = list(parameters)
        self._model = EMAModel(self._parameters, decay=decay)

    def update(self) -> None:
        """Take the parameters as they are after an update into the average."""
        self._model.step(self._parameters)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters hold the average."""
        kept = [p.detach().clone() for p in self._parameters]
        self._model.copy_to(self._parameters)
        try:
            yield
        finally:
            for parameter, tensor in zip(self._parameters, kept, strict=True):
                parameter.data.copy_(tensor)

    def state(self) -> dict[str, Any]:
        """What is needed to go on."""
        return self._model.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        device = self._parameters[0].device
        self._model.load_state_dict(state)
        self._model.to(device=device)
