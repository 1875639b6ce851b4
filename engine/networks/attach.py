"""One call to put an adapter file on loaded models: for previews, tools, tests and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from engine.networks.adapter import Adapter
from engine.networks.factors import Factors, fit_shape, load_into, load_norm
from engine.networks.file import AdapterFile, read
from engine.networks.fusing import fused
from engine.networks.layouts import FURTHER_KINDS, part_spellings, spellings
from engine.networks.network import Member, Network
from engine.networks.problem import AdapterProblem
from engine.networks.shape import shape_of
from engine.networks.variants.norm import NormDelta
from engine.plan.adapter_names import for_another, is_other, is_text, told_by_pictures
from engine.plan.model_names import LABELS
from engine.plan.ranks import FileRanks
from engine.plan.site import Placement, Site
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions


@dataclass(frozen=True)
class Unused:
    """An adapter of a file that was not put on, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Matched:
    """A file's adapters, and its norms, under the names of a model's sites."""

    factors: dict[str, Factors]
    unused: tuple[Unused, ...]
    norms: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The sites of both."""
        return (*self.factors, *self.norms)


class Handle:
    """An adapter file on a model. `used` are site names; `unused` what was left out, and why."""

    def __init__(self, network: Network, file: AdapterFile, matched: Matched) -> None:
        self.network = network
        self.file = file
        self.used = matched.names
        self.unused = matched.unused

    def set_weight(self, weight: float) -> None:
        """Let it act this strongly: 1 as trained, 0 not at all."""
        self.network.set_weight(weight)

    def detach(self) -> None:
        """Take it off; outputs are bit for bit what they were."""
        self.network.detach()

    def merge(self) -> None:
        """Add it, at its present weight, to the model's own weights for good, and take it off."""
        self.network.merge()


def attach_file(
    architecture: str,
    components: Mapping[str, nn.Module],
    path: Path | str,
    weight: float = 1.0,
) -> Handle:
    """Put an adapter file on loaded models. Called again, the next file acts beside the first.

    Args:
        architecture: an architecture's id, such as "sd1".
        components: role (denoiser, text_encoder …) → the libraries' model; any may be absent, and
            then the file's adapters for it are reported unused.
        path: a safetensors file in the spelling of sd-scripts, diffusers or ComfyUI.
        weight: how strongly it acts.

    Raises:
        FileProblem: the file cannot be read.
        AdapterProblem: it is for another model, or of a kind that is not LoRA.
    """
    file = read(path)
    refuse_variants(file)
    present = {role: model for role, model in components.items() if model is not None}
    sites = sites_of(architecture, shape_of(architecture, present))
    matched = match(file, sites, present)
    require_fit(file, matched, architecture, sites, present)
    members: list[Member] = []
    for site in sites:
        if site.name in matched.factors:
            factors = matched.factors[site.name]
            placement = Placement(site, factors.rank, factors.alpha)
            adapter = Adapter(placement, kinds=factors.kinds)
            load_into(adapter, factors)
            members.append(adapter)
        elif site.name in matched.norms:
            norm = NormDelta(Placement(site, 1, 1.0))
            load_norm(norm, matched.norms[site.name])
            members.append(norm)
    network = Network(members, present, NetworkOptions())
    network.requires_grad_(False).eval()
    network.set_weight(weight)
    network.attach()
    return Handle(network, file, matched)


def require_fit(
    file: AdapterFile,
    matched: Matched,
    architecture: str,
    sites: Iterable[Site],
    components: Mapping[str, object],
) -> None:
    """Refuse a file for another model, even where the text encoders are the same.

    Raises:
        AdapterProblem: saying for which model it is, where its names tell, and what to do.
    """
    made_for = told_by_pictures((*file.factors, *file.norms))
    pictures = sum(not is_text(name) for name in (*file.factors, *file.norms))
    text = {site.name for site in sites if site.component.startswith("text_encoder")}
    fits = text.issuperset(matched.names) if "denoiser" in components and pictures else False
    if matched.names and not fits:
        return
    if made_for is not None and is_other(made_for, architecture):
        labels = LABELS[made_for.architecture], LABELS[architecture]
        raise AdapterProblem(for_another(file.path.name, *labels))
    reasons = sorted({unused.reason for unused in matched.unused})
    raise AdapterProblem(
        f"{file.path.name}: nothing in it fits this model ({'; '.join(reasons[:3])}). Choose an "
        f"adapter for {LABELS[architecture]}."
    )


def refuse_variants(file: AdapterFile) -> None:
    """Refuse kinds that are no LoRA, instead of reading half of them.

    Raises:
        AdapterProblem: naming the kind and how many adapters have it.
    """
    if file.unread:
        kinds = sorted({FURTHER_KINDS[k] for kinds in file.unread.values() for k in kinds})
        raise AdapterProblem(
            f"{file.path.name} uses {', '.join(kinds)} in {len(file.unread)} of its layers; only "
            "LoRA and its variants can be put on a model here. Read as LoRA it would draw "
            "something else."
        )


def match(file: AdapterFile, sites: Iterable[Site], components: Mapping[str, object]) -> Matched:
    """Find the site of each adapter of a file, whatever its spelling.

    Raises:
        AdapterProblem: if an adapter's sizes are another model's.
    """
    by_spelling: dict[str, Site] = {}
    by_part: dict[str, tuple[Site, int]] = {}
    for site in sites:
        for name in spellings(site):
            by_spelling.setdefault(name, site)
        for name, part in part_spellings(site):
            by_part.setdefault(name, (site, part))
    factors: dict[str, Factors] = {}
    pieces: dict[str, dict[int, Factors]] = {}
    norms: dict[str, dict[str, Tensor]] = {}
    unused = [Unused(key, "it is no part of an adapter") for key in file.unknown]
    for name in (*file.factors, *file.norms):
        site, part = by_spelling.get(name), None
        is_norm = name in file.norms
        if site is None and name in by_part:
            site, part = by_part[name]
        if site is None or (site.kind == "norm") != is_norm:
            unused.append(Unused(name, "this model has no such layer"))
        elif site.component not in components:
            role = site.component.replace("_", " ")
            unused.append(Unused(name, f"the {role} is not given"))
        elif site.name in factors or site.name in norms or part in pieces.get(site.name, {}):
            unused.append(Unused(name, f"{site.name} is in the file twice"))
        elif is_norm:
            norms[site.name] = file.norms[name]
        elif part is not None:
            pieces.setdefault(site.name, {})[part] = file.factors[name]
        else:
            factors[site.name] = _fitted(file, file.factors[name], site)
            _refuse_input_axis(factors[site.name], site)
    for site in sites:
        if site.name in pieces:
            factors[site.name] = _fitted(file, fused(site, pieces[site.name]), site)
    return Matched(factors, tuple(unused), norms)


def _fitted(file: AdapterFile, factors: Factors, site: Site) -> Factors:
    try:
        return fit_shape(factors, site)
    except AdapterProblem as problem:
        raise AdapterProblem(f"{file.path.name}: {problem}") from None


def _refuse_input_axis(factors: Factors, site: Site) -> None:
    """DoRA by input needs column norms over the whole of a layer that lies in parts here."""
    if factors.axis == "input" and len({s.module for s in site.segments}) > 1:
        raise AdapterProblem(
            f"{site.name} has DoRA magnitudes by input, which cannot act on a layer that the "
            "library keeps in parts. Merge the file into a checkpoint with the program that wrote "
            "it."
        )


def file_ranks(matched: Matched) -> FileRanks:
    """Return the ranks and alphas for `engine.plan.ranks.place` (option "ranks of that file")."""
    ranks = {name: (f.rank, f.alpha) for name, f in matched.factors.items()}
    return ranks | dict.fromkeys(matched.norms, (1, 1.0))
