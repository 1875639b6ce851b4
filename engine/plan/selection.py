"""Which sites get an adapter at all: parts, kinds of blocks, defaults and patterns.

Spec: networks 4.2–4.6. Ranks of 0 and blocks by number come after it, see engine/plan/ranks.py.
"""

from __future__ import annotations

from engine.plan.family_ranks import EMBEDDERS
from engine.plan.matching import Patterns
from engine.plan.site import Site
from engine.schema.network import Network

COMPONENTS_OF = {
    "both": (
        "denoiser", "text_conditioner", "text_encoder", "text_encoder_2", "text_encoder_3",
    ),
    "denoiser": ("denoiser", "text_conditioner"),
    "text_encoder": ("text_encoder", "text_encoder_2", "text_encoder_3"),
}  # fmt: skip
"""`network.train` → the components that get adapters."""

LISTS_OF = {
    "double": ("double_blocks",),
    "single": ("single_blocks",),
    "transformer": ("layers",),
    "refiners": ("noise_refiner", "context_refiner"),
    "noise_refiner": ("noise_refiner",),
    "context_refiner": ("context_refiner",),
}
"""`network.train_blocks` → where the original path of a block's layers begins."""

SWITCHES = {"t5": "train_t5xxl", "llm_adapter": "train_llm_adapter"}
"""Families that only their own option turns on, and patterns never."""


class Selection:
    """The sites that the options choose."""

    def __init__(self, network: Network, architecture: str) -> None:
        """Read the options once.

        Raises:
            OptionError: for a pattern that cannot be used.
        """
        self._components = COMPONENTS_OF[network.train]
        self._lists = LISTS_OF.get(network.train_blocks)
        self._off = {f for f, option in SWITCHES.items() if not getattr(network, option)}
        self._norms = network.train_norm
        self._conv = network.conv_dim is not None or network.conv_block_dims is not None
        embedders = EMBEDDERS.get(architecture)
        self._embedders = embedders.family if embedders else ""
        self._embedders_given = embedders is not None and bool(getattr(network, embedders.option))
        self._excluded = Patterns("exclude_patterns", network.exclude_patterns or ())
        self._included = Patterns("include_patterns", network.include_patterns or ())

    def holds(self, site: Site) -> bool:
        """Say whether the site is chosen.

        Raises:
            OptionError: if the patterns take too long.
        """
        if site.component not in self._components or site.family in self._off:
            return False
        if self._lists is not None and self._is_in_another_list(site):
            return False
        chosen = self._is_on_by_itself(site) and self._excluded.first(site) is None
        return chosen or (site.ranked and self._included.first(site) is not None)

    def _is_on_by_itself(self, site: Site) -> bool:
        if site.kind == "norm":
            return self._norms and (self._conv or not site.family.startswith("resnet"))
        if site.default or site.family in SWITCHES:
            return True
        if site.family == self._embedders:
            return self._embedders_given
        return self._conv and site.family.startswith("resnet")

    def _is_in_another_list(self, site: Site) -> bool:
        if site.component != "denoiser" or site.family == self._embedders:
            return False
        return not site.original.startswith(self._lists or ())
