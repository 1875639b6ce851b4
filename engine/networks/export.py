"""An adapter's tensors in the spelling of the program that reads them (networks 1.11, 1.13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from engine.networks.factors import Factors, of_endings
from engine.networks.fusing import parts_of, without_alpha
from engine.networks.layouts import Layout
from engine.networks.lycoris_kinds import BIAS
from engine.networks.spellings import comfyui_name
from engine.networks.variants.tucker import collapse
from engine.plan.site import Site

_ROOTS = {"denoiser": "transformer"}  # the text encoders' are their own roles
_ORIGINAL_ROOT = "diffusion_model"
_BY_ORIGINAL = ("anima",)
"""Read by the original names too. Lumina's would be, but only if every layer of a block is there
and the last layer is not: it gets the library's own."""


@dataclass(frozen=True)
class Exported:
    """A file's tensors, and what could not be said in its layout, in sentences."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def export(
    tensors: Mapping[str, Tensor], sites: Iterable[Site], architecture: str, layout: Layout
) -> Exported:
    """Spell tensors that have our own names for another program.

    Args:
        tensors: as `Network.weights()` gives them.
        sites: of the model.
        architecture: its id.
        layout: kohya (our own), comfyui, or diffusers.
    """
    if layout == "kohya":
        return Exported(dict(tensors), ())
    by_name = {site.name: site for site in sites}
    if layout == "comfyui":
        renamed = {}
        for key, tensor in tensors.items():
            name, dot, ending = key.partition(".")
            site = by_name.get(name)
            renamed[f"{comfyui_name(site) if site else name}{dot}{ending}"] = tensor
        return Exported(renamed, ())
    return _for_diffusers(tensors, by_name, architecture)


def _for_diffusers(
    tensors: Mapping[str, Tensor], by_name: Mapping[str, Site], architecture: str
) -> Exported:
    """One adapter for each of the library's modules, alpha in the factors, Tucker joined."""
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, ending = key.partition(".")
        grouped.setdefault(name, {})[ending] = tensor
    made: dict[str, Tensor] = {}
    norms = magnitudes = biases = 0
    for name, parts in grouped.items():
        site = by_name[name]
        if site.kind == "norm":
            norms += 1
            continue
        if parts.pop(BIAS, None) is not None:
            biases += 1
            if not parts:
                continue
        factors = _plain(of_endings(name, parts))
        magnitudes += "dora_scale" in parts
        for module, part in _modules(site, factors, architecture).items():
            down, up = without_alpha(part)
            made[f"{module}.lora_A.weight"] = down
            made[f"{module}.lora_B.weight"] = up
    notes = []
    if norms:
        notes.append(f"diffusers reads no trained norms: {norms} were left out.")
    if biases:
        notes.append(f"diffusers reads no differences of biases: {biases} were left out.")
    if magnitudes:
        notes.append(
            f"diffusers reads no DoRA magnitudes: those of {magnitudes} layers were left out, and "
            "it will draw something else. Merge the adapter into a model instead."
        )
    return Exported(made, tuple(notes))


def _plain(factors: Factors) -> Factors:
    if factors.mid is not None:
        factors = replace(factors, down=collapse(factors.mid, factors.down), mid=None)
    return replace(factors, magnitude=None)


def _modules(site: Site, factors: Factors, architecture: str) -> dict[str, Factors]:
    """The names under which diffusers looks for a site's parts."""
    if site.component != "denoiser":
        return {f"{site.component}.{module}": f for module, f in parts_of(site, factors).items()}
    if architecture in _BY_ORIGINAL and site.original:
        return {f"{_ORIGINAL_ROOT}.{site.original}": factors}
    root = "unet" if architecture in ("sd1", "sd2", "sdxl") else _ROOTS["denoiser"]
    return {f"{root}.{module}": part for module, part in parts_of(site, factors).items()}
