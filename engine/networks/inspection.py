"""What an adapter file holds: for which model, where, how large, and what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.networks.factors import Factors
from engine.networks.file import AdapterFile, model_hash, read
from engine.networks.spellings import spellings
from engine.networks.variants.tucker import collapse
from engine.plan.adapter_names import NAMED_ALIKE, is_text, told_by_names, told_by_pictures
from engine.plan.site import Site
from engine.plan.sites import RULES, sites_of
from engine.schema.architectures import ARCHITECTURES
from engine.schema.file_settings import Trained


@dataclass(frozen=True)
class Guess:
    """The architecture a file is for, and how that was told; None if it cannot be."""

    architecture: str | None
    reason: str


@dataclass(frozen=True)
class Group:
    """Adapters of one block or part."""

    name: str
    adapters: int
    parameters: int
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    strength: float  # mean ‖alpha/r · up·down‖


@dataclass(frozen=True)
class Layer:
    """One adapter: the name its site has, or the file's own where it is of no known site."""

    name: str
    rank: int
    alpha: float


@dataclass(frozen=True)
class Inspection:
    """Everything `inspect` prints."""

    file: str
    size_bytes: int
    layout: str
    dtypes: tuple[str, ...]
    guess: Guess
    adapters: int
    parameters: int
    groups: tuple[Group, ...]
    layers: tuple[Layer, ...]
    trained: Trained
    variants: tuple[str, ...]
    without_alpha: int
    unknown_keys: tuple[str, ...]
    model_hash: str
    hash_matches: bool | None  # None: the file states none
    metadata: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def inspect_file(path: Path | str) -> Inspection:
    """Read a file and tell what is in it.

    Raises:
        FileProblem: if it is no adapter file, or a damaged one.
    """
    file = read(path)
    guess = guess_architecture(file)
    computed = model_hash(path)
    stated = file.metadata.get("sshs_model_hash")
    sizes = [_size(f) for f in file.factors.values()]
    sizes += [t.numel() for norm in file.norms.values() for t in norm.values()]
    sizes += [bias.numel() for bias in file.biases.values()]
    sites = _known_sites(file, guess.architecture)
    return Inspection(
        file=str(path),
        size_bytes=file.size,
        layout=file.layout,
        dtypes=file.dtypes,
        guess=guess,
        adapters=len({*file.names, *file.further}),
        parameters=sum(sizes),
        groups=tuple(_groups(file, guess.architecture, sites)),
        layers=tuple(
            Layer(sites[name].name if name in sites else name, factors.rank, factors.alpha)
            for name, factors in file.factors.items()
        ),
        trained=_trained(file.factors),
        variants=file.variants,
        without_alpha=len(file.without_alpha),
        unknown_keys=file.unknown,
        model_hash=computed,
        hash_matches=None if stated is None else stated.removeprefix("0x") == computed,
        metadata=file.metadata,
    )


def guess_architecture(file: AdapterFile) -> Guess:
    """Tell the architecture by the layers' names, and SD 1.x from SD 2.x by sizes."""
    names = list(dict.fromkeys((*file.names, *file.further)))
    told = told_by_pictures(names)
    if told is not None:
        kin = NAMED_ALIKE.get(told.architecture)
        if kin is not None and _fitting(file, kin) > _fitting(file, told.architecture):
            return Guess(kin, f"its layers have the sizes of {ARCHITECTURES[kin].label}")
        return Guess(told.architecture, f"it has {told.name}")
    fitting = {architecture: _fitting(file, architecture) for architecture in RULES}
    best = max(fitting, key=lambda architecture: fitting[architecture])
    told = told_by_names(names)
    if told is not None and fitting[best] <= fitting[told.architecture]:
        return Guess(told.architecture, f"it has {told.name}")
    if fitting[best]:
        of = len(_pictures_first(file))
        return Guess(best, f"{fitting[best]} of {of} layers have its names and sizes")
    by_name = _by_spelling(sites_of("sd1"))
    if any(name in by_name for name in names):
        flat = any(f.down.dim() == 2 for name, f in file.factors.items() if "proj_in" in name)
        which = "sd2" if flat else "sd1"
        return Guess(which, "its layers are named as there, at other sizes than the published ones")
    return Guess(None, "its layers' names are of no architecture known here")


def _fitting(file: AdapterFile, architecture: str) -> int:
    """How many of a file's adapters have names and sizes of a published model."""
    hits = []
    for shape in RULES[architecture].published:
        by_name = _by_spelling(sites_of(architecture, shape))
        hits.append(sum(_fits(f, by_name.get(n)) for n, f in _pictures_first(file).items()))
    return max(hits)


def _pictures_first(file: AdapterFile) -> dict[str, Factors]:
    """The picture model's adapters, as text encoders are shared; those if there are no others."""
    return {n: f for n, f in file.factors.items() if not is_text(n)} or file.factors


def _fits(factors: Factors, site: Site | None) -> bool:
    if site is None:
        return False
    inputs = site.columns * site.kernel[0] * site.kernel[1]
    return factors.down[0].numel() == inputs and factors.up.shape[0] == site.rows


def _by_spelling(sites: Iterable[Site]) -> dict[str, Site]:
    return {name: site for site in sites for name in spellings(site)}


def _known_sites(file: AdapterFile, architecture: str | None) -> dict[str, Site]:
    """Sites by every spelling, of the variant that has the most of the file's layers."""
    if architecture not in RULES:
        return {}
    published = RULES[architecture].published
    tables = [_by_spelling(sites_of(architecture, shape)) for shape in published]
    return max(tables, key=lambda table: len(table.keys() & file.factors.keys()))


def _trained(names: Iterable[str]) -> Trained:
    """The parts that a file has layers of."""
    parts = {is_text(name) for name in names}
    if len(parts) == 2:
        return "both"
    return "text_encoder" if parts == {True} else "denoiser"


def _groups(file: AdapterFile, architecture: str | None, sites: Mapping[str, Site]) -> list[Group]:
    """Sort the adapters by block where the architecture's blocks are known, else by part."""
    blocks = ARCHITECTURES[architecture].blocks if architecture in ARCHITECTURES else ()
    members: dict[tuple[int, str], list[Factors]] = {}
    for name, factors in file.factors.items():
        site = sites.get(name)
        if site is not None and site.block is not None:
            named = site.block < len(blocks)
            key = (1 + site.block, blocks[site.block].name if named else _block_words(site))
        else:
            key = (0, "text encoder") if is_text(name) else (1000, "picture model")
        members.setdefault(key, []).append(factors)
    return [_group(name, members[order, name]) for order, name in sorted(members)]


def _block_words(site: Site) -> str:
    """The original's own name and number of a block: "single block 3"."""
    found = re.search(r"(\w+)\.(\d+)\.", site.original)
    if found is None:
        return f"block {site.block}"
    return f"{found[1].replace('_', ' ').removesuffix('s')} {found[2]}"


def _size(factors: Factors) -> int:
    tensors = (factors.down, factors.up, factors.mid, factors.magnitude)
    return sum(t.numel() for t in tensors if t is not None)


def _group(name: str, factors: list[Factors]) -> Group:
    norms = []
    for one in factors:
        down, up = one.down.float(), one.up.float().flatten(1)
        down = (down if one.mid is None else collapse(one.mid.float(), down)).flatten(1)
        if up.shape[1] == down.shape[0]:
            square = ((up.t() @ up) * (down @ down.t())).sum().clamp(min=0)
            norms.append(square.sqrt().item() * abs(one.scale))
    return Group(
        name,
        len(factors),
        sum(_size(f) for f in factors),
        tuple(sorted({f.rank for f in factors})),
        tuple(sorted({f.alpha for f in factors})),
        sum(norms) / len(norms) if norms else 0.0,
    )
