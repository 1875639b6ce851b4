"""One call to put an adapter file on loaded models: for previews, tools, tests and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import nn

from engine.networks.adapter import Adapter
from engine.networks.factors import Factors, load_into, load_norm
from engine.networks.file import AdapterFile, read
from engine.networks.fusing import by_input_apart, is_apart
from engine.networks.layouts import FURTHER_KINDS
from engine.networks.matching import Matched, match
from engine.networks.network import Member, Network, hosts_of, read_weight
from engine.networks.problem import AdapterProblem
from engine.networks.shape import shape_of
from engine.networks.variants.bias import Biases, host_biases
from engine.networks.variants.norm import NormDelta
from engine.plan.adapter_names import for_another, is_other, is_text, told_by_pictures
from engine.plan.model_names import LABELS
from engine.plan.site import Placement, Site
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions


class Handle:
    """An adapter file on a model. `used` are site names; `unused` what was left out, and why."""

    def __init__(
        self, network: Network, biases: Biases, file: AdapterFile, matched: Matched
    ) -> None:
        self.network = network
        self.biases = biases
        self.file = file
        self.used = matched.names
        self.unused = matched.unused

    def set_weight(self, weight: float) -> None:
        """Let it act this strongly: 1 as trained, 0 not at all."""
        self.network.set_weight(weight)
        self.biases.weight = weight

    def detach(self) -> None:
        """Take it off; outputs are bit for bit what they were."""
        self.biases.detach()
        self.network.detach()

    def merge(self) -> None:
        """Add it, at its present weight, to the model's own weights for good, and take it off."""
        self.network.merge()
        self.biases.merge()


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
    for site in matched.sites(sites):
        if site.name in matched.factors:
            factors = matched.factors[site.name]
            each = [(site, factors)]
            if is_apart(site, factors):
                weights = [read_weight(h, site.name) for h in hosts_of(site, present)]
                each = by_input_apart(site, factors, weights)
            members += [_adapter(own, of_it) for own, of_it in each]
        elif site.name in matched.norms:
            norm = NormDelta(Placement(site, 1, 1.0))
            load_norm(norm, matched.norms[site.name])
            members.append(norm)
    network = Network(members, present, NetworkOptions())
    network.requires_grad_(False).eval()
    network.set_weight(weight)
    added = host_biases(matched.biases, sites, lambda site: hosts_of(site, present))
    biases = Biases(added, weight)
    network.attach()
    biases.attach()
    return Handle(network, biases, file, matched)


def _adapter(site: Site, factors: Factors) -> Adapter:
    adapter = Adapter(Placement(site, factors.rank, factors.alpha), kinds=factors.kinds)
    load_into(adapter, factors)
    return adapter


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
    made_for = told_by_pictures(file.names)
    pictures = sum(not is_text(name) for name in file.names)
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
    if not file.unread:
        return
    name, kinds = next(iter(file.unread.items()))
    words = ", ".join(sorted({FURTHER_KINDS[k] for each in file.unread.values() for k in each}))
    raise AdapterProblem(
        f"{file.path.name} uses {words} in {len(file.unread)} of its layers ({name}.{kinds[0]} "
        "…). Only what is added to a layer's weight can be put on a model here, not what the "
        "weight itself is multiplied with or replaced by; without these layers it would draw "
        "something else. Merge the file into a checkpoint with the program that wrote it."
    )
