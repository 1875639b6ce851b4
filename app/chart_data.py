"""What the chart draws, as numpy arrays made from a run's state. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from app.run_state import RunState
from app.series import Column, Smoother

if TYPE_CHECKING:
    from numpy import ndarray

    Line = tuple[ndarray, ndarray]

XAxis = Literal["step", "epoch", "time"]


class ChartData:
    """A run's curves over steps, epochs or training minutes; smoothing goes on where it stopped."""

    def __init__(self, state: RunState, smoothing: float = 0.98, axis: XAxis = "step") -> None:
        self.state = state
        self.axis: XAxis = axis
        self._cuts = state.cuts
        self.set_smoothing(smoothing)

    def set_smoothing(self, weight: float) -> None:
        """Smooth anew with another weight, 0 to below 1."""
        self.smoothing = weight
        self._smoother = Smoother(weight)
        self._smoothed = Column()
        self._peaks: dict[str, Peaks] = {}
        self._range: tuple[int, int, bool, float, float] | None = None

    def update(self) -> None:
        """Take in the steps that came since."""
        if self._cuts != self.state.cuts:
            self._cuts = self.state.cuts
            self.set_smoothing(self.smoothing)
        loss = self.state.columns["loss"].values
        new = loss[len(self._smoothed) :]
        if len(new):
            self._smoothed.extend(self._smoother.extend(new))

    @property
    def loss(self) -> ndarray:
        """Raw training loss, shape (n,)."""
        return self.state.columns["loss"].values[: len(self._smoothed)]

    @property
    def smoothed(self) -> ndarray:
        """Smoothed training loss, shape (n,)."""
        return self._smoothed.values

    @property
    def grad_norm(self) -> ndarray:
        """Gradient norm before clipping, shape (n,)."""
        return self.state.columns["grad_norm"].values[: len(self._smoothed)]

    def learning_rates(self) -> dict[str, ndarray]:
        """Learning rates by group, shape (n,) each; of groups with the same rate only the first."""
        found: dict[str, ndarray] = {}
        seen: set[tuple[float, float, float]] = set()
        for name, column in self.state.learning_rates.items():
            values = column.values[: len(self._smoothed)]
            if not len(values):
                continue
            key = (float(values[0]), float(values[len(values) // 2]), float(values[-1]))
            if key not in seen:
                seen.add(key)
                found[name] = values
        return found

    def line(self, name: str, values: ndarray, low: float, high: float, points: int) -> Line:
        """A curve between two x, thinned to what the view can show."""
        peaks = self._peaks.setdefault(name, Peaks())
        return peaks.cut(self.x()[: len(values)], values, low, high, points)

    def x(self) -> ndarray:
        """Where each step lies, shape (n,)."""
        size = len(self._smoothed)
        if self.axis == "time":
            return self.state.columns["trained_seconds"].values[:size] / 60
        steps = self.state.columns["step"].values[:size]
        return steps / self._steps_per_epoch if self.axis == "epoch" else steps

    def x_of(self, steps: Sequence[float]) -> ndarray:
        """Where given steps lie, shape (len(steps),)."""
        import numpy

        at = numpy.asarray(steps, dtype=float)
        if self.axis == "epoch":
            return at / self._steps_per_epoch
        if self.axis == "time":
            known = self.state.columns["step"].values
            minutes = self.state.columns["trained_seconds"].values / 60
            if not len(known):
                return numpy.zeros(len(at))
            return numpy.interp(at, known, minutes, left=0.0)
        return at

    def end(self) -> float:
        """Where the run's last step will lie."""
        state = self.state
        if self.axis == "time":
            done = state.columns["trained_seconds"].values
            left = 0.0 if state.is_over else state.seconds_left or 0.0
            return (float(done[-1]) if len(done) else 0.0) / 60 + left / 60
        total = max(state.total_steps, state.step, 1)
        return total / self._steps_per_epoch if self.axis == "epoch" else float(total)

    def typical_top(self, values: ndarray) -> float:
        """A top for a strip: a little over all but the greatest values."""
        import numpy

        some = values[:: max(1, len(values) // 2048)]
        some = some[numpy.isfinite(some)]
        return float(numpy.percentile(some, 98)) * 1.3 if len(some) else 1.0

    def not_finite(self) -> ndarray:
        """Steps whose loss was not a number."""
        import numpy

        return self.state.columns["step"].values[: len(self._smoothed)][numpy.isnan(self.loss)]

    def index_at(self, x: float) -> int | None:
        """The step nearest to a place on the x axis, as an index."""
        places = self.x()
        if not len(places):
            return None
        at = int(places.searchsorted(x))
        if at > 0 and (at == len(places) or x - places[at - 1] < places[at] - x):
            at -= 1
        return at

    def y_range(self, log: bool = False) -> tuple[float, float]:
        """A range that holds the smoothed and validation lines, and of the raw one the bulk.

        Found anew only when the curves have grown by a two-hundredth.
        """
        size, measured = len(self._smoothed), len(self.state.validations)
        known = self._range
        if known is not None and known[1:3] == (measured, log) and size - known[0] <= size // 200:
            return known[3:]
        low, high = self._find_range(log)
        self._range = (size, measured, log, low, high)
        return low, high

    def _find_range(self, log: bool) -> tuple[float, float]:
        import numpy

        parts = [self.smoothed[numpy.isfinite(self.smoothed)]]
        parts.append(numpy.array([v.loss for v in self.state.validations]))
        raw = self.loss[:: max(1, len(self.loss) // 4096)]
        raw = raw[numpy.isfinite(raw)]
        if len(raw) > 8:
            parts.append(numpy.percentile(raw, [4, 96]))
        values = numpy.concatenate(parts)
        if log:
            values = values[values > 0]
        if not len(values):
            return (0.0, 1.0)
        low, high = float(values.min()), float(values.max())
        if log:
            return (low * 0.9, high * 1.1)
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
        return (max(0.0, low - margin) if low >= 0 else low - margin, high + margin)

    @property
    def _steps_per_epoch(self) -> int:
        hello = self.state.hello
        return max(1, hello.steps_per_epoch) if hello is not None else 1


class Peaks:
    """A curve's least and greatest values by blocks, kept as it grows.

    Spikes survive zooming out, and drawing 100,000 points costs no more than drawing the blocks.
    """

    BLOCK = 64

    def __init__(self) -> None:
        self._low, self._high = Column(), Column()

    def cut(self, x: ndarray, y: ndarray, low: float, high: float, points: int) -> Line:
        """The part between two x, with at most about `points` points. x must rise.

        Each group of values gives its least and its greatest. Groups start at multiples of a power
        of two, so that they stay as the curve grows.
        """
        import numpy

        first = max(0, int(x.searchsorted(low)) - 1)
        last = min(len(x), int(x.searchsorted(high, side="right")) + 1)
        stride = 1
        while (last - first) // stride * 2 > max(points, 2):
            stride *= 2
        if stride <= 2:
            return x[first:last], y[first:last]
        first = first // stride * stride
        whole = (last - first) // stride
        end = first + whole * stride
        out = numpy.empty((whole, 2))
        if stride >= self.BLOCK:
            self._take_in(y)
            part = slice(first // self.BLOCK, end // self.BLOCK)
            lows = self._low.values[part].reshape(whole, -1)
            highs = self._high.values[part].reshape(whole, -1)
        else:
            lows = highs = y[first:end].reshape(whole, stride)
        numpy.fmin.reduce(lows, axis=1, out=out[:, 0])
        numpy.fmax.reduce(highs, axis=1, out=out[:, 1])
        rest = slice(end, last)
        return (
            numpy.concatenate([x[first : end : stride // 2], x[rest]]),
            numpy.concatenate([out.reshape(-1), y[rest]]),
        )

    def _take_in(self, y: ndarray) -> None:
        import numpy

        done = len(self._low) * self.BLOCK
        blocks = (len(y) - done) // self.BLOCK
        if blocks > 0:
            new = y[done : done + blocks * self.BLOCK].reshape(blocks, self.BLOCK)
            self._low.extend(numpy.fmin.reduce(new, axis=1))
            self._high.extend(numpy.fmax.reduce(new, axis=1))
