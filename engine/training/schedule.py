"""Learning-rate schedules as pure functions of the step (spec: data-loop 4.4).

A factor that depends on nothing but the step needs no state: resuming is asking for the factor of
the next step, and training longer is asking with a larger total. One factor for all groups, so that
their rates keep their ratio. The values are those of transformers' and diffusers' schedules, but
for the warm-up, which starts at 1/w instead of 0 unless `warmup_from_zero` is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from engine.schema.optimizer import Optimizer
from engine.schema.optimizers import kind_of
from engine.schema.table import steps_of

POLYNOMIAL_END = 1e-7  # transformers' lr_end: a rate, not a factor


@dataclass(frozen=True)
class Schedule:
    """`factor(step)` for steps counted from 0, in a run of `total` steps."""

    total: int
    warmup: int
    from_zero: bool
    after_warmup: Callable[[int], float]

    def factor(self, step: int) -> float:
        """What the rates are multiplied with in the update after `step` updates."""
        if step < self.warmup:
            return (step if self.from_zero else step + 1) / self.warmup
        return self.after_warmup(step)


def make_schedule(options: Optimizer, total: int) -> Schedule:
    """Build the schedule of `[optimizer]` for a run of `total` steps.

    Schedule-free optimizers get a constant one without warm-up: they have their own inside.
    """
    kind = kind_of(options.name)
    if kind is not None and kind.schedule_free:
        return Schedule(total, 0, False, lambda step: 1.0)
    warmup = steps_of(options.warmup, total)
    length = max(1, total - warmup)
    floor = options.min_lr_ratio

    def share(step: int) -> float:
        return (step - warmup) / length

    def linear(step: int) -> float:
        return max(0.0, (total - step) / length)

    def cosine(step: int) -> float:
        return max(0.0, 0.5 * (1 + math.cos(math.pi * share(step))))

    def cosine_with_restarts(step: int) -> float:
        if share(step) >= 1:
            return 0.0
        return 0.5 * (1 + math.cos(math.pi * ((options.cycles * share(step)) % 1)))

    def polynomial(step: int) -> float:
        end = POLYNOMIAL_END / options.learning_rate if options.learning_rate else 0.0
        if step > total:
            return end
        return (1 - end) * (1 - share(step)) ** options.power + end

    def inverse_sqrt(step: int) -> float:
        scale = options.timescale or warmup or 10_000
        return 1 / math.sqrt((step + scale - warmup) / scale)

    def cosine_with_min_lr(step: int) -> float:
        return max(0.0, cosine(step) * (1 - floor) + floor)

    def warmup_stable_decay(step: int) -> float:
        decay = max(1, min(steps_of(options.decay, total), length))
        if step < total - decay:
            return 1.0
        if step >= total:
            return floor
        z = (step - (total - decay)) / decay
        return max(0.0, 0.5 * (1 + math.cos(math.pi * z)) * (1 - floor) + floor)

    def piecewise_constant(step: int) -> float:
        *rules, last = options.step_rules.split(",")
        for rule in rules:
            factor, until = rule.split(":")
            if step < int(until):
                return float(factor)
        return float(last)

    def rex(step: int) -> float:
        left = max(0.0, 1 - share(step))
        return left / (1 - options.rex_d + options.rex_d * left)

    shapes: dict[str, Callable[[int], float]] = {
        "constant": lambda step: 1.0,
        "linear": linear,
        "cosine": cosine,
        "cosine_with_restarts": cosine_with_restarts,
        "polynomial": polynomial,
        "inverse_sqrt": inverse_sqrt,
        "cosine_with_min_lr": cosine_with_min_lr,
        "warmup_stable_decay": warmup_stable_decay,
        "piecewise_constant": piecewise_constant,
        "rex": rex,
    }
    return Schedule(total, warmup, options.warmup_from_zero, shapes[options.schedule])
