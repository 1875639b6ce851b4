"""Layers that only other trainers adapt: no option here reaches them, and files that have them act
whole (spec: networks 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from engine.plan.site import OUTER, Segment, Site

LATENT_CHANNELS = 4  # of the VAE of SD and SDXL


def unet_outer_sites(
    width: int,
    latent_side: int,
    added_width: int | None = None,
    original: Callable[[str], str] = str,
) -> Iterator[Site]:
    """The first and last layers of a U-Net, and those that its embeddings go through.

    Args:
        width: channels of the first level.
        latent_side: only counts tokens for estimates.
        added_width: of SDXL's finished conditioning vector; None without one.
        original: a layer's diffusers path → its path in the file.
    """
    time, tokens = 4 * width, latent_side**2
    yield _conv("conv_in", original, width, LATENT_CHANNELS, tokens)
    yield _linear("time_embedding.linear_1", original, time, width)
    yield _linear("time_embedding.linear_2", original, time, time)
    if added_width is not None:
        yield _linear("add_embedding.linear_1", original, time, added_width)
        yield _linear("add_embedding.linear_2", original, time, time)
    yield _conv("conv_out", original, LATENT_CHANNELS, width, tokens)


def final_layer_sites(width: int, outputs: int, tokens: int, *, modulated: bool) -> Iterator[Site]:
    """The last layer of FLUX and HunyuanImage; the library swaps its modulation's halves.

    Args:
        width: of a token.
        outputs: numbers of a token at the end.
        tokens: only for estimates.
        modulated: it has a modulation of its own; Chroma's has none.
    """
    if modulated:
        low, high = (0, width), (width, 2 * width)
        swapped = (Segment("norm_out.linear", low, high), Segment("norm_out.linear", high, low))
        yield _site("final_layer.adaLN_modulation.1", 2 * width, width, swapped)
    last = (Segment("proj_out", (0, outputs), (0, outputs)),)
    yield _site("final_layer.linear", outputs, width, last, tokens)


def _linear(module: str, original: Callable[[str], str], rows: int, columns: int) -> Site:
    return _site(original(module), rows, columns, (Segment(module, (0, rows), (0, rows)),))


def _conv(
    module: str, original: Callable[[str], str], rows: int, columns: int, tokens: int
) -> Site:
    site = _site(original(module), rows, columns, (Segment(module, (0, rows), (0, rows)),), tokens)
    return replace(site, kind="conv", kernel=(3, 3), padding=(1, 1))


def _site(
    original: str, rows: int, columns: int, segments: tuple[Segment, ...], tokens: int = 1
) -> Site:
    return Site(
        name=f"lora_unet_{original.replace('.', '_')}",
        component="denoiser",
        kind="linear",
        rows=rows,
        columns=columns,
        segments=segments,
        family=OUTER,
        original=original,
        default=False,
        tokens=tokens,
    )
