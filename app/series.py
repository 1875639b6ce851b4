"""Numbers that grow at their end: numpy columns enlarged by doubling, and their smoothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray

MAX_POINTS = 1_000_000


class Column:
    """A float64 array that grows by doubling; `values` is a view of what is filled.

    Missing values are NaN.
    """

    def __init__(self) -> None:
        import numpy

        self._data = numpy.empty(1024)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def values(self) -> ndarray:
        """The filled part, shape (n,); a view, valid until the next append."""
        return self._data[: self._size]

    def append(self, value: float | None) -> None:
        """Add one value; None becomes NaN."""
        size = self._size
        if size == len(self._data):
            self._grow(size * 2)
        self._data[size] = math.nan if value is None else value
        self._size = size + 1

    def extend(self, values: ndarray) -> None:
        """Add several values, shape (k,)."""
        size = self._size + len(values)
        if size > len(self._data):
            self._grow(max(size, len(self._data) * 2))
        self._data[self._size : size] = values
        self._size = size

    def fill_to(self, size: int) -> None:
        """Append NaN until there are `size` values."""
        if size > len(self._data):
            self._grow(max(size, len(self._data) * 2))
        if size > self._size:
            self._data[self._size : size] = math.nan
            self._size = size

    def cut(self, size: int) -> None:
        """Forget all but the first `size` values."""
        self._size = min(self._size, size)

    def _grow(self, capacity: int) -> None:
        import numpy

        data = numpy.empty(capacity)
        data[: self._size] = self._data[: self._size]
        self._data = data


class Smoother:
    """Exponential mean with start correction; missing values are passed over.

    y[k] = sum of w^(k-j) x[j] over the same sum of weights, j ≤ k, as TensorBoard and wandb do.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self._sum = 0.0
        self._norm = 0.0

    def extend(self, values: ndarray) -> ndarray:
        """Smooth the values that follow those given before. Shape (n,) to (n,)."""
        import numpy

        out = numpy.empty(len(values))
        present = numpy.isfinite(values)
        filled = numpy.where(present, values, 0.0)
        weights = present.astype(float)
        # Within a block, w^-j must stay a number of ordinary size.
        block = 4096 if self.weight <= 0 else max(1, int(24 / -math.log(min(self.weight, 0.99999))))
        for start in range(0, len(values), block):
            part = slice(start, start + block)
            sums = self._decayed(self._sum, filled[part])
            norms = self._decayed(self._norm, weights[part])
            self._sum, self._norm = float(sums[-1]), float(norms[-1])
            with numpy.errstate(invalid="ignore", divide="ignore"):
                out[part] = sums / norms
        return out

    def _decayed(self, before: float, values: ndarray) -> ndarray:
        import numpy

        if self.weight <= 0:
            return values
        powers = self.weight ** numpy.arange(1, len(values) + 1)
        return powers * (before + numpy.cumsum(values / powers))
