"""The map of an architecture's layers: strips of like blocks, families down, blocks across. No Qt.

For architectures whose blocks have no names of their own (FLUX, SD3, Lumina and their kin); what
there is to show is read off the site table alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from engine.plan.site import Placement, Site
from engine.schema.block_indices import blocks_in
from engine.schema.options import options

_NUMBERED = re.compile(r"^(.*?)\.\d+\.")
_WORDS = {
    "attn": "attention", "mlp": "MLP", "mod": "modulation", "img": "picture", "txt": "text",
    "x": "picture", "emb": "embedders", "llm": "LLM", "in": "input layers", "t5": "T5",
    "final": "last layer",
}  # fmt: skip
_INDICES = {  # what a strip's blocks are chosen by
    "double_blocks": "network.train_double_block_indices",
    "single_blocks": "network.train_single_block_indices",
}
_ANY_INDICES = "network.train_block_indices"


@dataclass
class Cell:
    """The layers of a family in one block."""

    modules: int = 0
    rank: int = 0  # the highest; 0: not trained
    parameters: int = 0


@dataclass(frozen=True)
class Strip:
    """Like blocks in the order of their depth."""

    head: str  # "double_blocks"
    first: int  # `Site.block` of its first block
    count: int
    families: tuple[str, ...]

    @property
    def label(self) -> str:
        """ "double blocks"."""
        return self.head.replace("_", " ")

    def indices_path(self, architecture: str) -> str:
        """The field that chooses its blocks; empty where there is none."""
        for path in (_INDICES.get(self.head, ""), _ANY_INDICES):
            entry = options().get(path)
            if entry is not None and entry.applies(architecture):
                return path
        return ""


@dataclass
class PlaceMap:
    """Strips with their cells by (strip, family, block within the strip)."""

    architecture: str = ""
    strips: tuple[Strip, ...] = ()
    cells: dict[tuple[int, str, int], Cell] = field(default_factory=dict)

    def cell(self, strip: int, family: str, block: int) -> Cell | None:
        """A cell; None where a block has no such layers."""
        return self.cells.get((strip, family, block))

    def rank_words(self, strip: int, family: str) -> str:
        """The family's rank, or its range over the blocks: "16", "4–16", "off"."""
        ranks = {c.rank for (s, f, _), c in self.cells.items() if (s, f) == (strip, family)}
        ranks.discard(0)
        if not ranks:
            return "off"
        low, high = min(ranks), max(ranks)
        return str(low) if low == high else f"{low}–{high}"

    def is_on(self, strip: int, block: int) -> bool:
        """Whether anything in a block is trained."""
        return any(c.rank for (s, _, b), c in self.cells.items() if (s, b) == (strip, block))


@lru_cache(maxsize=16)
def strips_in(sites: tuple[Site, ...]) -> tuple[Strip, ...]:
    """The strips of a site table, in its order."""
    blocks: dict[str, set[int]] = {}
    families: dict[str, dict[str, None]] = {}
    for site in sites:
        if site.component != "denoiser" or site.block is None:
            continue
        head = _head(site)
        blocks.setdefault(head, set()).add(site.block)
        families.setdefault(head, {})[site.family] = None
    return tuple(
        Strip(head, min(found), max(found) - min(found) + 1, tuple(families[head]))
        for head, found in blocks.items()
    )


def _head(site: Site) -> str:
    found = _NUMBERED.match(site.original)
    return found[1].rpartition(".")[2] if found else "blocks"


def map_of(architecture: str, sites: tuple[Site, ...], placements: Iterable[Placement]) -> PlaceMap:
    """Where the adapters sit."""
    strips = strips_in(sites)
    number = {strip.head: i for i, strip in enumerate(strips)}
    made = PlaceMap(architecture, strips)

    def key(site: Site) -> tuple[int, str, int] | None:
        if site.component != "denoiser" or site.block is None:
            return None
        strip = number[_head(site)]
        return strip, site.family, site.block - strips[strip].first

    for site in sites:
        if site.ranked and (at := key(site)) is not None:
            made.cells.setdefault(at, Cell()).modules += 1
    for placement in placements:
        if (at := key(placement.site)) is not None:
            cell = made.cells[at]
            cell.rank = max(cell.rank, placement.rank)
            cell.parameters += placement.site.parameters(placement.rank)
    return made


def rank_path(family: str, architecture: str) -> str:
    """The field that holds a family's rank; the rank of all where it has none of its own."""
    for path in (f"network.{family}_dim", f"network.{family}_dims"):
        entry = options().get(path)
        if entry is not None and entry.applies(architecture):
            return path
    return "network.rank"


def family_words(family: str, architecture: str = "") -> str:
    """What a person calls a family, as its field does: "img_attn" → "Picture attention"."""
    path = rank_path(family, architecture)
    if path != "network.rank":
        return options()[path].label(architecture)
    words = " ".join(_WORDS.get(part, part) for part in family.split("_"))
    return words[:1].upper() + words[1:]


def by_family(
    placements: Iterable[Placement], encoders: Mapping[str, str], architecture: str
) -> dict[str, int]:
    """Parameters by the denoiser's families, then by encoder as `encoders` names them."""
    found: dict[str, int] = {}
    last: dict[str, int] = dict.fromkeys(encoders.values(), 0)
    for placement in placements:
        site = placement.site
        parameters = site.parameters(placement.rank)
        if site.component in encoders:
            last[encoders[site.component]] += parameters
        else:
            name = family_words(site.family, architecture)
            found[name] = found.get(name, 0) + parameters
    return found | last


def chosen_blocks(text: object, count: int) -> list[bool]:
    """Which of `count` blocks a selection chooses; one that cannot be read chooses all."""
    try:
        chosen = blocks_in(str(text), count)
    except ValueError:  # its field shows the error
        return [True] * count
    return [index in chosen for index in range(count)]


def selection_text(chosen: Sequence[bool]) -> str:
    """The shortest text for a choice: "all", "none", "0-3,5"."""
    if all(chosen):
        return "all"
    parts: list[str] = []
    start: int | None = None
    for index, on in enumerate([*chosen, False]):
        if on and start is None:
            start = index
        elif not on and start is not None:
            last = index - 1
            parts.append(str(start) if start == last else f"{start}-{last}")
            start = None
    return ",".join(parts) or "none"
