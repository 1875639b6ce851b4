"""One call to put an adapter file on loaded models: for previews, tools, tests and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from engine.networks.adapter import Adapter
from engine.networks.factors import Factors, fit_shape, load_into
from engine.networks.file import AdapterFile, read
from engine.networks.layouts import spellings
from engine.networks.network import Network
from engine.networks.problem import AdapterProblem
from engine.networks.shape import shape_of
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
    """A file's adapters under the names of a model's sites."""

    factors: dict[str, Factors]
    unused: tuple[Unused, ...]


class Handle:
    """An adapter file on a model. `used` are site names; `unused` what was left out, and why."""

    def __init__(self, network: Network, file: AdapterFile, matched: Matched) -> None:
        self.network = network
        self.file = file
        self.used = tuple(matched.factors)
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
        AdapterProblem: it is for another model, or of a kind that is not plain LoRA.
    """
    file = read(path)
    refuse_variants(file)
    present = {role: model for role, model in components.items() if model is not None}
    sites = sites_of(architecture, shape_of(architecture, present))
    matched = match(file, sites, present)
    if not matched.factors:
        reasons = sorted({u.reason for u in matched.unused})
        raise AdapterProblem(
            f"{file.path.name}: nothing in it fits this model ({'; '.join(reasons[:3])})."
        )
    adapters = []
    for site in sites:
        if site.name in matched.factors:
            factors = matched.factors[site.name]
            adapter = Adapter(Placement(site, factors.rank, factors.alpha))
            load_into(adapter, factors)
            adapters.append(adapter)
    network = Network(adapters, present, NetworkOptions())
    network.requires_grad_(False).eval()
    network.set_weight(weight)
    network.attach()
    return Handle(network, file, matched)


def refuse_variants(file: AdapterFile) -> None:
    """Refuse what is not plain LoRA, instead of reading half of it.

    Raises:
        AdapterProblem: naming the kind and how many adapters have it.
    """
    if file.further:
        raise AdapterProblem(
            f"{file.path.name} uses {', '.join(file.variants)} in {len(file.further)} of its "
            "layers; only plain LoRA files can be put on a model here. Read as plain LoRA it would "
            "draw something else."
        )


def match(file: AdapterFile, sites: Iterable[Site], components: Mapping[str, object]) -> Matched:
    """Find the site of each adapter of a file, whatever its spelling.

    Raises:
        AdapterProblem: if an adapter's sizes are another model's.
    """
    by_spelling: dict[str, Site] = {}
    for site in sites:
        for name in spellings(site):
            by_spelling.setdefault(name, site)
    factors: dict[str, Factors] = {}
    unused = [Unused(key, "it is no part of an adapter") for key in file.unknown]
    for name, own in file.factors.items():
        site = by_spelling.get(name)
        if site is None:
            unused.append(Unused(name, "this model has no such layer"))
        elif site.component not in components:
            role = site.component.replace("_", " ")
            unused.append(Unused(name, f"the {role} is not given"))
        elif site.name in factors:
            unused.append(Unused(name, f"{site.name} is in the file twice"))
        else:
            factors[site.name] = fit_shape(own, site)
    return Matched(factors, tuple(unused))


def file_ranks(matched: Matched) -> FileRanks:
    """Return the ranks and alphas for `engine.plan.ranks.place` (option "ranks of that file")."""
    return {name: (f.rank, f.alpha) for name, f in matched.factors.items()}
