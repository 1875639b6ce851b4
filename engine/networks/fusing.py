"""A fused layer's adapter out of its parts' adapters, and back (spec: networks 1.9, 1.10).

The file keeps one adapter for a layer that the original checkpoint holds as one (q, k and v of
FLUX); diffusers' files keep one for each of the library's modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.networks.adapter import host_segments
from engine.networks.factors import Factors
from engine.networks.problem import AdapterProblem
from engine.networks.variants.dora_functions import TINY
from engine.plan.site import Segment, Site


def fused(site: Site, parts: Mapping[int, Factors]) -> Factors:
    """Join the adapters of a site's modules, given by their place in `host_segments`.

    Parts that share their `down` (as files made from a fused adapter do) give the rank they have;
    others stand one above the other, with a block of `up` each. Modules without one stay untouched.

    Raises:
        AdapterProblem: if a part's sizes are another layer's.
    """
    segments = host_segments(site)
    for place, part in parts.items():
        rows = sum(s.target[1] - s.target[0] for s in segments[place])
        if part.up.shape[0] != rows or part.down.flatten(1).shape[1] != site.columns:
            raise AdapterProblem(
                f"{segments[place][0].module} has an adapter of {part.down.flatten(1).shape[1]} → "
                f"{part.up.shape[0]}; this model's layer is {site.columns} → {rows}. The file is "
                "for another model."
            )
        if part.magnitude is not None and len(segments) > 1:
            raise AdapterProblem(
                f"{segments[place][0].module} has DoRA magnitudes of its own; they cannot be "
                "joined to those of the layer it is a part of."
            )
    chosen = list(parts.values())
    if all(torch.equal(part.down, chosen[0].down) for part in chosen):
        scale = chosen[0].scale
        up = _zeros(site, chosen[0].rank)
        for place, part in parts.items():
            _place(up, part.up.float() * (part.scale / scale), segments[place], 0)
        magnitude = chosen[0].magnitude
        if magnitude is not None and chosen[0].axis == "output":
            magnitude = in_site_order(site, 0, magnitude.float().flatten())[:, None]
        return Factors(chosen[0].down, up, chosen[0].alpha, magnitude=magnitude)
    rank = sum(part.rank for part in chosen)
    scale = chosen[0].scale
    up, at = _zeros(site, rank), 0
    for place, part in parts.items():
        _place(up, part.up.float() * (part.scale / scale), segments[place], at)
        at += part.rank
    return Factors(torch.cat([part.down.float() for part in chosen]), up, scale * rank)


def parts_of(site: Site, factors: Factors) -> dict[str, Factors]:
    """Cut a site's adapter into one for each of the library's modules, rows in the module's order.

    Where `up` is block-diagonal, as of split training, a part takes its own directions alone.
    """
    segments = host_segments(site)
    if len(segments) == 1 and len(segments[0]) == 1:
        return {segments[0][0].module: factors}
    chunks = _own_directions(factors, segments)
    parts = {}
    for place, own in enumerate(segments):
        rows = torch.cat([factors.up[s.source[0] : s.source[1]] for s in own])
        down = factors.down
        if chunks is not None:
            start, stop = chunks[place]
            rows, down = rows[:, start:stop], down[start:stop]
        alpha = factors.scale * down.shape[0]
        parts[own[0].module] = Factors(down.contiguous(), rows.contiguous(), alpha)
    return parts


def part_site(site: Site, part: int) -> Site:
    """A module of a fused layer as a site of its own; its name is spelled as the library's path."""
    (segment,) = host_segments(site)[part]
    rows = segment.target[1] - segment.target[0]
    return replace(
        site,
        name=f"lora_unet_{segment.module.replace('.', '_')}",
        rows=rows,
        segments=(Segment(segment.module, (0, rows), (0, rows)),),
        original="",
        comfyui="",
    )


def is_apart(site: Site, factors: Factors) -> bool:
    """DoRA by input on a layer that the library keeps in parts: its norms go over all of them."""
    return factors.axis == "input" and len(host_segments(site)) > 1


def by_input_apart(
    site: Site, factors: Factors, weights: Sequence[Tensor]
) -> list[tuple[Site, Factors]]:
    """DoRA by input of a fused layer as one of each of its parts, exactly.

    A part's magnitude is what the whole's gain makes of the part's own norms.

    Args:
        site, factors: of the fused layer.
        weights: of its modules, in the order of `host_segments`.
    """
    assert factors.magnitude is not None
    wholes = []
    for segments, weight in zip(host_segments(site), weights, strict=True):
        up = factors.up[slice(*segments[0].source)].float()
        own = weight.float().cpu() + factors.scale * (up @ factors.down.float())
        wholes.append((up, own.square().sum(0)))
    square = torch.stack([own for _, own in wholes]).sum(0)
    gain = factors.magnitude.float().flatten() / (square + TINY).sqrt()
    return [
        (
            part_site(site, part),
            Factors(factors.down, up, factors.alpha, magnitude=(gain * (own + TINY).sqrt())[None]),
        )
        for part, (up, own) in enumerate(wholes)
    ]


def in_site_order(site: Site, part: int, values: Tensor) -> Tensor:
    """A module's numbers, one for each of its rows, where they stand in the whole layer."""
    whole = values.new_zeros(site.rows)
    for segment in host_segments(site)[part]:
        whole[slice(*segment.source)] = values[slice(*segment.target)]
    return whole


def without_alpha(factors: Factors) -> tuple[Tensor, Tensor]:
    """`down` and `up` with alpha ÷ rank in them, their magnitudes kept near (spec: networks 1.10).

    Powers of two move between them: exact in every precision.
    """
    of_down, of_up = factors.scale, 1.0
    while 0 < 2 * of_down < of_up:
        of_down, of_up = of_down * 2, of_up / 2
    return factors.down.float() * of_down, factors.up.float() * of_up


def _zeros(site: Site, rank: int) -> Tensor:
    return torch.zeros(site.rows, rank)


def _place(up: Tensor, rows: Tensor, segments: tuple[Segment, ...], column: int) -> None:
    """Write a module's rows where they stand in the whole layer."""
    at = 0
    for segment in segments:
        start, stop = segment.source
        count = stop - start
        up[start:stop, column : column + rows.shape[1]] = rows[at : at + count]
        at += count


def _own_directions(
    factors: Factors, segments: list[tuple[Segment, ...]]
) -> list[tuple[int, int]] | None:
    """The directions of each part if `up` is exactly block-diagonal, else None."""
    count = len(segments)
    if count < 2 or factors.rank % count:
        return None
    each = factors.rank // count
    chunks = [(i * each, (i + 1) * each) for i in range(count)]
    for (start, stop), own in zip(chunks, segments, strict=True):
        rows = torch.cat([factors.up[s.source[0] : s.source[1]] for s in own])
        if rows[:, :start].any() or rows[:, stop:].any():
            return None
    return chunks
