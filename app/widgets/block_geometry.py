"""Where the bars of the block editor are, and what lies under a point, in logical pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from PySide6.QtCore import QPointF, QRectF

from app.block_values import LayerName, Side, clipped
from engine.schema.architectures import BlockName

AXIS_PX = 40  # the band with numbers and brackets between the two sides
LEFT_PX = 30
TOP_PX = 16
_BAR_PX = 24
_GAP_PX = 10  # before MID and OUT


@dataclass(frozen=True)
class Bars:
    """One side: its values and which blocks can have one."""

    values: tuple[float, ...]
    live: tuple[bool, ...]


@dataclass(frozen=True)
class BlockGeometry:
    """The layout for one size, one layer and its values; `top` is the value at the upper edge."""

    blocks: tuple[BlockName, ...]
    layer: LayerName
    sides: Mapping[Side, Bars]
    width: float
    height: float
    top: float

    @property
    def shares(self) -> tuple[float, float]:
        """Heights of the upper and lower plots; the lower one as high as its values need."""
        room = max(self.height - TOP_PX - AXIS_PX - 8, 40)
        if "conv" not in self.sides:
            return float(room), 0.0
        conv = max(max(self.sides["conv"].values, default=0.0) * 1.15, self.top / 3)
        lower = room * min(conv / (conv + self.top), 0.5)
        return room - lower, lower

    @property
    def base(self) -> float:
        """Where the upper bars stand."""
        return TOP_PX + self.shares[0]

    @property
    def px_per_value(self) -> float:
        """One scale for both sides."""
        return self.shares[0] / self.top

    def column(self, index: int) -> QRectF:
        """The full-height column of a block, gaps before MID and OUT included."""
        total = self._gaps_before(len(self.blocks) - 1)
        width = (self.width - LEFT_PX - 8 - total * _GAP_PX) / max(len(self.blocks), 1)
        left = LEFT_PX + index * width + self._gaps_before(index) * _GAP_PX
        return QRectF(left, 0, width, self.height)

    def _gaps_before(self, index: int) -> int:
        return sum(a.part != b.part for a, b in pairwise(self.blocks[: index + 1]))

    def bar(self, side: Side, index: int) -> QRectF:
        """The bar of a block; a value of 0 is a stub of 3 pixels."""
        column = self.column(index)
        width = min(column.width() - 3, _BAR_PX)
        height = max(self.sides[side].values[index] * self.px_per_value, 3.0)
        left = column.center().x() - width / 2
        top = self.base - height if side == "linear" else self.base + AXIS_PX
        return QRectF(left, top, width, height)

    def hit(self, point: QPointF) -> tuple[Side, int]:
        """Side and block under a point; block -1 where there is none."""
        middle = self.base + AXIS_PX / 2
        side: Side = "conv" if "conv" in self.sides and point.y() > middle else "linear"
        for index in range(len(self.blocks)):
            column = self.column(index)
            if column.left() - 5 <= point.x() <= column.right() + 5:
                return side, index
        return side, -1

    def value_at(self, side: Side, y: float) -> float:
        """The value that a click at height `y` paints."""
        distance = self.base - y if side == "linear" else y - self.base - AXIS_PX
        return clipped(self.layer, distance / self.px_per_value)


def top_value(layer: LayerName, sides: Mapping[Side, Bars]) -> float:
    """A round value above the highest bar, for the upper edge of the scale."""
    highest = max((max(b.values, default=0.0) for b in sides.values()), default=0.0)
    rounds = (
        (2.0, 3.0, 4.0)
        if layer == "lr_weight"
        else tuple(n * 2.0**power for power in range(4, 11) for n in (1, 1.5))
    )
    return next((r for r in rounds if r >= highest * 1.15), max(rounds[-1], highest * 1.15))
