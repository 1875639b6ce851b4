"""Ranks by family of layers, and by block, of the transformer architectures (networks 4.2–4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.plan.site import Site
from engine.schema.architectures import ARCHITECTURES
from engine.schema.block_indices import blocks_in
from engine.schema.network import Network
from engine.schema.options import option_at
from engine.schema.problem import OptionError

_STREAMS = {
    "img_attn": "img_attn_dim",
    "txt_attn": "txt_attn_dim",
    "img_mlp": "img_mlp_dim",
    "txt_mlp": "txt_mlp_dim",
    "img_mod": "img_mod_dim",
    "txt_mod": "txt_mod_dim",
    "single": "single_dim",
    "single_mod": "single_mod_dim",
}
FAMILY_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "flux": _STREAMS,
    "hunyuan_image": _STREAMS,
    "sd3": {
        "context_attn": "context_attn_dim",
        "context_mlp": "context_mlp_dim",
        "context_mod": "context_mod_dim",
        "x_attn": "x_attn_dim",
        "x_mlp": "x_mlp_dim",
        "x_mod": "x_mod_dim",
    },
    "lumina2": {"attn": "attn_dim", "mlp": "mlp_dim", "mod": "mod_dim"},
}
"""Architecture → family → the option with its rank."""


@dataclass(frozen=True)
class Embedders:
    """The layers around the blocks: their family, and the option with a rank for each of them.

    `places` are the beginnings of their original paths, in the order of the option's numbers.
    """

    family: str
    option: str
    places: tuple[str, ...]


EMBEDDERS: Mapping[str, Embedders] = {
    "flux": Embedders(
        "in", "in_dims", ("img_in", "time_in", "vector_in", "guidance_in", "txt_in")
    ),
    "sd3": Embedders(
        "emb",
        "emb_dims",
        (
            "context_embedder", "t_embedder", "x_embedder", "y_embedder",
            "final_layer.adaLN_modulation", "final_layer.linear",
        ),
    ),
    "lumina2": Embedders("embedder", "embedder_dims", ("x_embedder", "t_embedder", "cap_embedder")),
}  # fmt: skip
"""Architecture → its embedders."""

_SINGLE = "single_blocks"
_REFINER = ("noise_refiner", "context_refiner")


class FamilyRanks:
    """What the options say about families, embedders and blocks by number, read once."""

    def __init__(self, network: Network, architecture: str, sites: Iterable[Site]) -> None:
        """Take the options, and the sites, which tell how many blocks there are.

        Raises:
            OptionError: naming the option whose selection of blocks cannot be read for this model.
        """
        families = FAMILY_OPTIONS.get(architecture, {})
        self._ranks = {family: getattr(network, option) for family, option in families.items()}
        self._refiner = network.refiner_dim if architecture == "lumina2" else None
        self._embedders = EMBEDDERS.get(architecture)
        self._given = getattr(network, self._embedders.option) if self._embedders else None
        self._blocks_off = _blocks_off(network, architecture, sites)

    def of(self, site: Site) -> int | None:
        """The rank of a site of the denoiser, 0 for none; None where the plain rank is meant."""
        if site.block in self._blocks_off:
            return 0
        if self._given and self._embedders and site.family == self._embedders.family:
            pairs = zip(self._embedders.places, self._given, strict=False)
            return next((rank for place, rank in pairs if site.original.startswith(place)), 0)
        if self._refiner is not None and site.original.startswith(_REFINER):
            return self._refiner
        return self._ranks.get(site.family)


def _blocks_off(network: Network, architecture: str, sites: Iterable[Site]) -> frozenset[int]:
    """The `Site.block` numbers that the selections leave out.

    `Site.block` counts the single blocks on after the double ones; their option counts from 0.
    """
    off: set[int] = set()
    for option in ARCHITECTURES[architecture].block_counts:
        text = getattr(network, option)
        if text == "all":
            continue
        single = option == "train_single_block_indices"
        numbers = sorted(
            {
                site.block
                for site in sites
                if site.block is not None and site.original.startswith(_SINGLE) == single
            }
        )
        try:
            chosen = blocks_in(text, len(numbers))
        except ValueError as error:
            raise OptionError(
                option, f"{option_at(f'network.{option}').hints.label}: {error}."
            ) from None
        off.update(number for i, number in enumerate(numbers) if i not in chosen)
    return frozenset(off)
