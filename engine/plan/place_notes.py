"""What a person should know of where adapters will sit: what the model at hand does not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.plan.family_ranks import FamilyRanks
from engine.plan.matching import Patterns
from engine.plan.site import Site
from engine.schema.network import Network
from engine.schema.options import option_at
from engine.schema.problem import OptionError

PATTERNS = ("exclude_patterns", "include_patterns")
PAIRS = ("network_reg_dims", "network_reg_lrs")


def place_notes(network: Network, sites: Sequence[Site], architecture: str) -> Iterator[str]:
    """Yield what this model lacks: blocks, a T5 to train, layers that patterns name."""
    try:
        FamilyRanks(network, architecture, sites)
    except OptionError as error:
        yield f"{error} This model has no more; the plan shows all of them."
    if network.train_t5xxl and not any(site.family == "t5" for site in sites):
        yield "This model has no T5-XXL, so there is nothing to train in it."
    if network.train_norm and not any(site.kind == "norm" for site in sites):
        yield "This model has no norm layers with weights of their own to train."
    for key in (*PATTERNS, *PAIRS):
        for text in getattr(network, key) or ():
            pattern = text.rpartition("=")[0].strip() if key in PAIRS else text
            if _is_in_none(key, pattern, sites):
                label = option_at(f"network.{key}").hints.label
                yield f"{label}: '{pattern}' is in no layer's name."


def _is_in_none(key: str, pattern: str, sites: Sequence[Site]) -> bool:
    try:
        found = Patterns(key, (pattern,))
        return all(found.first(site) is None for site in sites)
    except OptionError:
        return False  # told at its field
