"""Which site of a model each adapter of a file is for, whatever its spelling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from engine.networks.adapter import host_segments
from engine.networks.factors import Factors, fit_shape
from engine.networks.file import AdapterFile
from engine.networks.fusing import fused, in_site_order, part_site
from engine.networks.problem import AdapterProblem
from engine.networks.spellings import head_spellings, part_spellings, spellings
from engine.plan.ranks import FileRanks
from engine.plan.site import Site

NO_SUCH_LAYER = "this model has no such layer"


@dataclass(frozen=True)
class Unused:
    """An adapter of a file that was not put on, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class PartOf:
    """A module of a fused layer that has an adapter of its own, as a site of its own."""

    site: Site
    whole: Site
    part: int


@dataclass(frozen=True)
class Matched:
    """A file's adapters, norms and biases, under the names of a model's sites.

    Attributes:
        factors: site's name → its factors.
        unused: what is for no site.
        norms: site's name → a norm's differences, by the ending of the key.
        biases: site's name → what is added to the layer's bias, in the site's rows.
        parts: modules of fused layers whose adapters cannot be joined to one, by their names.
    """

    factors: dict[str, Factors]
    unused: tuple[Unused, ...]
    norms: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    biases: dict[str, Tensor] = field(default_factory=dict)
    parts: dict[str, PartOf] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The sites of all of these."""
        return tuple(dict.fromkeys((*self.factors, *self.norms, *self.biases)))

    def sites(self, of_model: Iterable[Site]) -> tuple[Site, ...]:
        """The model's sites, and behind them the parts that have adapters of their own."""
        return (*of_model, *(own.site for own in self.parts.values()))


@dataclass(frozen=True)
class _Place:
    """Where a name belongs: a whole site, one of its modules, or the first rows of it."""

    site: Site
    part: int | None = None
    head: bool = False


def match(file: AdapterFile, sites: Iterable[Site], components: Mapping[str, object]) -> Matched:
    """Find the site of each adapter of a file.

    Raises:
        AdapterProblem: if an adapter's sizes are another model's.
    """
    sites = tuple(sites)
    places = _places(sites)
    matched = Matched({}, ())
    pieces: dict[str, dict[int, Factors]] = {}
    taken: dict[str, set[int | None]] = {}
    unused = [Unused(key, "it is no part of an adapter") for key in file.unknown]
    for name in file.names:
        place = places.get(name)
        if place is None or (place.site.kind == "norm") != _is_of_norm(file, name, place.site):
            unused.append(Unused(name, NO_SUCH_LAYER))
            continue
        site, part, before = place.site, place.part, taken.setdefault(place.site.name, set())
        if site.component not in components:
            unused.append(Unused(name, f"the {site.component.replace('_', ' ')} is not given"))
        elif part in before or None in before or (part is None and before):
            unused.append(Unused(name, f"{site.name} is in the file twice"))
        else:
            before.add(part)
            _take(file, name, place, matched, pieces)
    for site in sites:
        if site.name in pieces:
            _join(file, site, pieces[site.name], matched)
    return replace(matched, unused=tuple(unused))


def file_ranks(matched: Matched) -> FileRanks:
    """Return the ranks and alphas for `engine.plan.ranks.place` (option "ranks of that file")."""
    ranks = {name: (f.rank, f.alpha) for name, f in matched.factors.items()}
    return ranks | dict.fromkeys(matched.norms, (1, 1.0))


def _places(sites: Iterable[Site]) -> dict[str, _Place]:
    """Every name of every site; whole layers come before their parts."""
    places: dict[str, _Place] = {}
    parts: dict[str, _Place] = {}
    for site in sites:
        for name in spellings(site):
            places.setdefault(name, _Place(site))
        for name, part in part_spellings(site):
            parts.setdefault(name, _Place(site, part))
        for name in head_spellings(site):
            parts.setdefault(name, _Place(site, head=True))
    return parts | places


def _is_of_norm(file: AdapterFile, name: str, site: Site) -> bool:
    """A bias alone may be a norm's or a layer's; the site says which."""
    if name in file.norms or name in file.factors:
        return name in file.norms
    return site.kind == "norm"


def _take(
    file: AdapterFile,
    name: str,
    place: _Place,
    matched: Matched,
    pieces: dict[str, dict[int, Factors]],
) -> None:
    """Put what a name has where it belongs."""
    site, factors, bias = place.site, file.factors.get(name), file.biases.get(name)
    if site.kind == "norm":
        own_bias = {} if bias is None else {"b_norm": bias}
        matched.norms[site.name] = own_bias | file.norms.get(name, {})
        return
    if factors is not None and place.part is not None:
        pieces.setdefault(site.name, {})[place.part] = factors
    elif factors is not None:
        factors = _first_rows(factors, site) if place.head else factors
        matched.factors[site.name] = _fitted(file, factors, site)
    if bias is not None:
        _add_bias(file, site, place.part, bias, matched.biases)


def _join(
    file: AdapterFile, site: Site, pieces: Mapping[int, Factors], matched: Matched
) -> None:  # fmt: skip
    """Make one adapter of a fused layer's parts; with DoRA every part stays by itself."""
    whole = len(host_segments(site)) == 1
    if whole or all(piece.magnitude is None for piece in pieces.values()):
        matched.factors[site.name] = _fitted(file, fused(site, pieces), site)
        return
    for part, piece in pieces.items():
        own = part_site(site, part)
        matched.parts[own.name] = PartOf(own, site, part)
        matched.factors[own.name] = _fitted(file, piece, own)


def _first_rows(factors: Factors, site: Site) -> Factors:
    """An adapter of a fused layer's first rows, as one of the whole that leaves the rest alone."""
    up = factors.up.float().flatten(1)
    missing = max(site.rows - up.shape[0], 0)
    return replace(factors, up=torch.cat([up, up.new_zeros(missing, up.shape[1])]))


def _add_bias(
    file: AdapterFile, site: Site, part: int | None, bias: Tensor, biases: dict[str, Tensor]
) -> None:
    """Add a bias, in the site's rows.

    Raises:
        AdapterProblem: it is another layer's.
    """
    whole = biases.setdefault(site.name, torch.zeros(site.rows))
    segments = [] if part is None else host_segments(site)[part]
    rows = sum(s.target[1] - s.target[0] for s in segments) or site.rows
    if bias.numel() != rows:
        raise AdapterProblem(
            f"{file.path.name}: {site.name} has a bias of {bias.numel()} numbers; this model's "
            f"layer has {rows} outputs. The file is for another model; choose one for this."
        )
    given = bias.float().flatten()
    whole += given if part is None else in_site_order(site, part, given)


def _fitted(file: AdapterFile, factors: Factors, site: Site) -> Factors:
    try:
        return fit_shape(factors, site)
    except AdapterProblem as problem:
        raise AdapterProblem(f"{file.path.name}: {problem}") from None
