"""Starting a job's network: new, or from an adapter file (`network.start_from`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from engine.networks.attach import refuse_variants, require_fit
from engine.networks.factors import load_into, load_norm
from engine.networks.file import read
from engine.networks.matching import file_ranks, match
from engine.networks.network import Network
from engine.networks.problem import AdapterProblem
from engine.networks.variants.norm import NormDelta
from engine.plan.ranks import place
from engine.plan.site import Site
from engine.schema.network import Network as NetworkOptions


def start_network(
    options: NetworkOptions,
    architecture: str,
    sites: Sequence[Site],
    components: Mapping[str, nn.Module],
    seed: int,
) -> tuple[Network, tuple[str, ...]]:
    """Make the network of a job, not yet attached.

    With `start_from` its adapters begin as those of the file, at the file's strength; with
    `rank_from_file` they also have its ranks and alphas, and only those of the file are made.

    Returns:
        The network, and sentences about what was not as the options say (for a warning each).

    Raises:
        FileProblem: the file cannot be read.
        AdapterProblem: it is no LoRA, for another model, or has variants the job has not.
    """
    if not options.start_from:
        placements = place(options, sites, architecture)
        return Network.create(placements, components, options, seed), ()
    file = read(Path(options.start_from).expanduser())
    refuse_variants(file)
    matched = match(file, sites, components)
    require_fit(file, matched, architecture, sites, components)
    if matched.parts:
        raise AdapterProblem(
            f"{file.path.name} has DoRA magnitudes for the parts of layers that are trained whole "
            f"({next(iter(matched.parts))} …); training cannot go on with it. Start from another "
            "file."
        )
    ranks = file_ranks(matched) if options.rank_from_file else None
    placements = place(options, sites, architecture, ranks)
    network = Network.create(placements, components, options, seed)
    cut, kept, fresh = 0, 1.0, 0
    for member in network.each():
        name = member.site.name
        if isinstance(member, NormDelta):
            if name in matched.norms:
                load_norm(member, matched.norms[name])
            fresh += name not in matched.norms
        elif name not in matched.factors:
            fresh += 1
        else:
            factors = matched.factors[name]
            share = load_into(member, factors)
            if factors.magnitude is None:
                network.keep_effect(member)
            cut += share < 1
            kept = min(kept, share)
    loaded = (*matched.factors, *matched.norms)
    notes = _notes(network, loaded, len(matched.unused), cut, kept, fresh)
    if matched.biases:
        notes.append(
            f"The file adds to the biases of {len(matched.biases)} layers; biases are not trained "
            "here and were left out."
        )
    return network, tuple(notes)


def _notes(
    network: Network, loaded: Sequence[str], unused: int, cut: int, kept: float, fresh: int
) -> list[str]:
    names = {adapter.site.name for adapter in network.each()}
    left = sum(name not in names for name in loaded) + unused
    notes = []
    if cut:
        notes.append(
            f"The file has a higher rank in {cut} layers; their strongest directions were taken "
            f"(at least {kept:.0%} of each layer's change)."
        )
    if fresh:
        notes.append(f"{fresh} layers are not in the file and start from nothing.")
    if left:
        notes.append(f"{left} layers of the file are not trained here and were left out.")
    return notes
