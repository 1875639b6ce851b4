"""Where the layers of a file sit: bars for the block editor, or the adapter map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.block_values import Side
from app.place_map import PlaceMap, map_of
from app.widgets.block_geometry import Bars
from engine.plan.site import Placement, Site
from engine.plan.sites import RULES, sites_of
from engine.schema.architectures import ARCHITECTURES


@dataclass(frozen=True)
class Places:
    """The denoiser's layers by block: `bars` where the blocks have names, else `map`."""

    architecture: str
    bars: dict[Side, Bars]
    map: PlaceMap | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        if self.map is not None:
            return not any(cell.rank for cell in self.map.cells.values())
        return not any(any(bars.values) for bars in self.bars.values())


def places_of(architecture: str | None, layers: Sequence[Mapping[str, Any]]) -> Places | None:
    """Sort the layers `inspect` told ({name, rank, alpha}); None for an unknown architecture."""
    if architecture not in ARCHITECTURES:
        return None
    ranks: dict[str, int] = {}
    for layer in layers:
        name = str(layer["name"])
        ranks[name] = max(ranks.get(name, 0), int(layer["rank"]))
    tables = (sites_of(architecture, shape) for shape in RULES[architecture].published)
    sites = max(tables, key=lambda table: sum(site.name in ranks for site in table))
    if ARCHITECTURES[architecture].blocks:
        return Places(architecture, _bars(architecture, sites, ranks))
    placements = [
        Placement(site, ranks[site.name], float(ranks[site.name]))
        for site in sites
        if ranks.get(site.name)
    ]
    return Places(architecture, {}, map_of(architecture, sites, placements))


def _bars(architecture: str, sites: Sequence[Site], ranks: Mapping[str, int]) -> dict[Side, Bars]:
    """The highest rank in each block; the side of 3×3 layers only where the file has any."""
    count = len(ARCHITECTURES[architecture].blocks)
    values: dict[Side, list[float]] = {"linear": [0.0] * count, "conv": [0.0] * count}
    live: dict[Side, list[bool]] = {"linear": [False] * count, "conv": [False] * count}
    for site in sites:
        if site.component != "denoiser" or site.block is None or not site.ranked:
            continue
        side: Side = "conv" if site.kernel != (1, 1) else "linear"
        rank = float(ranks.get(site.name, 0))
        if not site.default and side == "linear" and not rank:
            continue  # layers that only some files have are no gap in the others
        live[side][site.block] = True
        values[side][site.block] = max(values[side][site.block], rank)
    sides: tuple[Side, ...] = ("linear", "conv") if any(values["conv"]) else ("linear",)
    return {side: Bars(tuple(values[side]), tuple(live[side])) for side in sides}
