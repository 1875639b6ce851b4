"""Several processes that train one adapter: what they tell each other beside gradients.

Rank 0 alone speaks, saves, measures, draws and hears the person; the others follow it. accelerate
starts the processes and counts them (DESIGN 4).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from engine.protocol import Failure
from engine.training.control import Control
from engine.training.failures import RunError, StopRun

_WELL, _STOPPED, _FAILED = 0, 1, 2
T = TypeVar("T")


def rank_here() -> int:
    """Which of the run's processes this is; 0 for the only one."""
    return int(os.environ.get("RANK", "0"))


def world_here() -> int:
    """How many processes the run has, over all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


class Together:
    """The processes of a run; with one of them nothing here costs anything."""

    def __init__(self, world: int, rank: int) -> None:
        self.world, self.rank = world, rank
        self._ended = False

    @property
    def leads(self) -> bool:
        """This is rank 0."""
        return self.rank == 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """A part of the preparations that ends on all ranks, or on none.

        Raises:
            StopRun: another rank was stopped in it.
            RunError: another rank failed in it; its own log says why.
        """
        own: BaseException | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001  (told to all ranks, then raised again)
            own = error
        worst = self._worst(own)
        if own is not None:
            raise own
        if worst == _STOPPED:
            raise StopRun
        if worst == _FAILED:
            words = "Another process of this run failed; the log of that process says why."
            raise RunError(Failure(kind="internal", message=words, field="launch.processes"))

    def gathered(self, value: T) -> list[T]:
        """What every rank has, in the order of ranks."""
        if self.world == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def of_leader(self, value: T) -> T:
        """What rank 0 has."""
        if self.world == 1:
            return value
        from torch import distributed

        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def follow(self, control: Control) -> None:
        """Before each step: the others learn whether rank 0 goes on.

        Raises:
            StopRun: it does not.
        """
        if self.world == 1:
            return
        stop, abort = self.of_leader((control.ending, control.abort))
        if stop:
            self._ended = True
            control.stop, control.abort = True, abort
            raise StopRun

    def end(self, control: Control) -> None:
        """Rank 0 stops somewhere between two steps: the others, who wait in `follow`, go too."""
        if self.world > 1 and self.leads and not self._ended:
            self._ended = True
            self.of_leader((True, control.abort))

    def _worst(self, error: BaseException | None) -> int:
        own = _WELL if error is None else _STOPPED if isinstance(error, StopRun) else _FAILED
        return max(self.gathered(own))
