"""How long a run is, and where in it a step lies (spec: data-loop 4.3)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.order import Order
from engine.schema.training import Training

DEFAULT_EPOCHS = 10


class NothingToTrain(Exception):
    """No step can be made of the pictures; the message says why."""


@dataclass(frozen=True)
class RunLength:
    """Steps of every epoch; the last epoch may be cut short by a given number of steps.

    `ends[i]` is the number of steps done when epoch i + 1 ends.
    """

    ends: Sequence[int]
    total_steps: int

    @property
    def total_epochs(self) -> int:
        """Epochs that are begun."""
        return len(self.ends)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the first epoch; others can differ where pictures are drawn anew."""
        return self.ends[0]

    def position(self, step: int) -> tuple[int, int]:
        """The epoch (from 1) and the index within its plan of the step after `step` done ones.

        After the last step: the last epoch and its length.
        """
        if step >= self.total_steps:
            before = self.ends[-2] if len(self.ends) > 1 else 0
            return self.total_epochs, self.total_steps - before
        epoch = bisect_right(self.ends, step)
        return epoch + 1, step - (self.ends[epoch - 1] if epoch else 0)

    def is_epoch_end(self, step: int) -> bool:
        """Whether an epoch is complete when `step` steps are done."""
        return step in self.ends


def run_length(training: Training, order: Order) -> RunLength:
    """Count the steps of a run: by epochs, else by steps, else 10 epochs.

    Raises:
        NothingToTrain: if an epoch has no step.
    """
    if order.steps_in(1) == 0:
        raise NothingToTrain(
            "No batch can be made of the pictures: there are none to train on, or every last "
            "short batch is dropped. Keep short batches, or lower the batch size."
            if order.entries
            else "There are no pictures to train on: all of them are held out or unusable."
        )
    by_steps = training.steps if training.epochs is None else None
    epochs = training.epochs or (None if by_steps else DEFAULT_EPOCHS)
    if order.is_constant:
        each = order.steps_in(1)
        epochs = epochs or -(-(by_steps or 1) // each)
        ends: Sequence[int] = range(each, each * epochs + 1, each)
    else:
        ends = _varying(order, epochs, by_steps or 0)
    return RunLength(ends, min(ends[-1], by_steps or ends[-1]))


def _varying(order: Order, epochs: int | None, steps: int) -> list[int]:
    """Count epoch by epoch until there are enough epochs, or enough steps."""
    ends = [order.steps_in(1)]
    while len(ends) < epochs if epochs is not None else ends[-1] < steps:
        ends.append(ends[-1] + order.steps_in(len(ends) + 1))
    return ends
