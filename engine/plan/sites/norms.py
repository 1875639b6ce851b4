"""Norm layers with weights of their own.

A U-Net's norm stands before the layers that read it, so its place and its name follow from theirs,
in the library's spelling and in the original checkpoint's alike (spec: networks 3.3, 5.2). The
tables of the transformers name theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.plan.site import Component, Segment, Site

_BEFORE = (
    ("proj_in", "norm", "norm"),
    ("attn1.to_q", "norm1", "norm"),
    ("attn2.to_q", "norm2", "norm"),
    ("ff.net.0.proj", "norm3", "norm"),
    ("conv1", "norm1", "resnet_norm"),
    ("conv2", "norm2", "resnet_norm"),
)
"""How a layer's module ends, how its norm's does instead, and the norm's family."""

_ORIGINAL = {"conv1": ("in_layers.2", "in_layers.0"), "conv2": ("out_layers.3", "out_layers.0")}
"""The same ends in the original checkpoint's spelling, where it differs (SDXL)."""


def unet_norms(sites: Sequence[Site]) -> Iterator[Site]:
    """Yield the norms of transformers (family "norm") and of resnets ("resnet_norm").

    Args:
        sites: those of a U-Net; others are passed over.
    """
    for site in sites:
        if site.component != "denoiser":
            continue
        for ending, own, family in _BEFORE:
            if site.segments[0].module.endswith(f".{ending}"):
                yield _norm(site, ending, own, family)


def _norm(site: Site, ending: str, own: str, family: str) -> Site:
    module = site.segments[0].module.removesuffix(ending) + own
    if not site.original.endswith(ending):
        ending, own = _ORIGINAL[ending]
    channels = site.columns
    return replace(
        site,
        name=site.name.removesuffix(ending.replace(".", "_")) + own.replace(".", "_"),
        kind="norm",
        rows=channels,
        columns=1,
        kernel=(1, 1),
        stride=(1, 1),
        padding=(0, 0),
        conv1x1=False,
        segments=(Segment(module, (0, channels), (0, channels)),),
        family=family,
        original=site.original.removesuffix(ending) + own,
        default=False,
    )


def norm_site(
    original: str,
    module: str,
    channels: int,
    family: str,
    block: int | None,
    *,
    component: Component = "denoiser",
    original_weight: str = "weight",
    comfyui: str = "",
) -> Site:
    """A norm without bias, as the transformers' are; it belongs to the family of its layers.

    Args:
        original, original_weight, comfyui, component, family, block: as in `Site`.
        module: dotted path in the libraries' model.
        channels: numbers in its weight.
    """
    return Site(
        name=f"lora_unet_{original.replace('.', '_')}",
        component=component,
        kind="norm",
        rows=channels,
        columns=1,
        segments=(Segment(module, (0, channels), (0, channels)),),
        family=family,
        block=block,
        original=original,
        original_weight=original_weight,
        comfyui=comfyui,
        default=False,
        norm_bias=False,
    )
