"""Adapters worked into a base model, or several adapters joined into one (networks 1.9, 1.10)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from engine.networks.adapter import Adapter, host_segments
from engine.networks.factors import Factors, load_into, load_norm
from engine.networks.file import Precision, save
from engine.networks.fusing import is_apart
from engine.networks.problem import AdapterProblem
from engine.networks.variants.norm import NormDelta
from engine.networks.variants.tucker import collapse
from engine.plan.detect import look_at
from engine.plan.model_names import LABELS
from engine.plan.site import Placement, Segment, Site
from engine.tools.base_files import BaseFiles, Place, Progress, TensorFile, tensor_name
from engine.tools.convert import Written
from engine.tools.source import (
    Source,
    ToolProblem,
    check_target,
    common_rank,
    metadata_with,
    tensors_of,
)


@dataclass(frozen=True)
class Weighted:
    """An adapter file and how strongly it is to act."""

    source: Source
    weight: float = 1.0


@torch.no_grad()
def merge_into_base(
    base: Path,
    adapters: Sequence[Weighted],
    target: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    copied: Progress | None = None,
) -> Written:
    """Write a copy of a base model, a file or a folder, with adapters in its weights.

    Several adapters on one layer are added one after the other in float32 and rounded once. The
    copy appears whole or not at all.

    Args:
        base: a .safetensors file in any layout, or a diffusers folder.
        adapters: files for this model, at their weights.
        target: the new file or folder.
        overwrite: write over a file that is there; a folder must not be there.
        progress: told (done, total) layers; may raise to stop.
        copied: told (done, total) bytes of the copy, which comes before them; may raise to stop.

    Raises:
        ToolProblem: the base cannot be rewritten, or none of the layers is in it.
        AdapterProblem: the adapters are for another model.
    """
    files = BaseFiles(base)
    _require_same_model(base, adapters)
    check_target(target, overwrite, is_folder=files.is_folder)
    work, left = _work(files, adapters)
    if not work:
        raise ToolProblem(f"{base.name} holds none of the adapters' layers; it is another model.")
    beside = target.with_name(f".{target.name}.part")
    try:
        copies = files.copy(beside, copied)
        with ExitStack() as stack:
            opened = {
                file: stack.enter_context(closing(TensorFile(files.headers[file], copies[file])))
                for file in {place.file for place in work}
            }
            for done, (place, members) in enumerate(work.items()):
                _merge_layer(opened[place.file], place, members)
                if progress is not None:
                    progress(done + 1, len(work))
        beside.replace(target)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)
    notes = [note for item in adapters for note in item.source.left_out]
    if left:
        notes.append(f"{len(left)} layers are not in {base.name} and were left out: {left[0]} …")
    layers = {member.site.name for members in work.values() for member in members}
    return Written(target, len(layers), tuple(notes))


def join(
    adapters: Sequence[Weighted],
    target: Path,
    *,
    precision: Precision | None = None,
    overwrite: bool = False,
) -> Written:
    """Write one file that acts as several do together: their directions beside each other, exactly.

    Raises:
        ToolProblem: they are for different architectures, or one has DoRA magnitudes.
        FileProblem: it cannot be written.
    """
    check_target(target, overwrite)
    kinds = {item.source.architecture for item in adapters}
    if len(kinds) != 1:
        raise ToolProblem(f"These files are for different models: {', '.join(sorted(kinds))}.")
    joined: dict[str, list[Factors]] = {}
    norms: dict[str, dict[str, Tensor]] = {}
    biases: dict[str, Tensor] = {}
    for item in adapters:
        for name, factors in item.source.matched.factors.items():
            joined.setdefault(name, []).append(_weighted(item, name, factors))
        for name, parts in item.source.matched.norms.items():
            sums = norms.setdefault(name, {})
            for ending, tensor in parts.items():
                sums[ending] = sums.get(ending, 0) + item.weight * tensor.float()
        for name, bias in item.source.matched.biases.items():
            biases[name] = biases.get(name, torch.zeros(())) + item.weight * bias.float()
    made = {name: _beside(parts) for name, parts in joined.items()}
    dim, alpha = common_rank(made)
    first = adapters[0].source
    words = ", ".join(f"{item.source.file.path.name} at {item.weight:g}" for item in adapters)
    metadata = metadata_with(first, ss_network_dim=dim, ss_network_alpha=alpha) | {
        "modelspec.merged_from": ", ".join(item.source.file.path.stem for item in adapters),
        "ss_training_comment": f"merged from {words}",
    }
    save(target, tensors_of(made, norms, biases), metadata, precision or first.precision)
    notes = tuple(note for item in adapters for note in item.source.left_out)
    return Written(target, len({*made, *norms, *biases}), notes)


def _weighted(item: Weighted, name: str, factors: Factors) -> Factors:
    if factors.magnitude is not None:
        raise ToolProblem(
            f"{item.source.file.path.name}: {name} has DoRA magnitudes, which cannot be added to "
            "others. Merge the files into a base model instead."
        )
    if factors.mid is not None:
        factors = replace(factors, down=collapse(factors.mid, factors.down), mid=None)
    up = factors.up.float() * (item.weight * factors.scale)
    return Factors(factors.down.float(), up, float(factors.rank))


def _beside(parts: Sequence[Factors]) -> Factors:
    down = torch.cat([part.down for part in parts])
    return Factors(down, torch.cat([part.up for part in parts], dim=1), float(down.shape[0]))


def _require_same_model(base: Path, adapters: Sequence[Weighted]) -> None:
    found = look_at(str(base)).architecture
    for item in adapters:
        wanted = item.source.architecture
        if found not in (None, wanted):
            raise ToolProblem(
                f"{item.source.file.path.name} is an adapter for {LABELS[wanted]}, and "
                f"{base.name} is {LABELS[found]}. Choose files of one architecture."
            )


@dataclass(frozen=True)
class AddedBias:
    """What is added to a layer's bias, in the order of the rows at its place."""

    site: Site
    values: Tensor


Member = Adapter | NormDelta | AddedBias


def _work(
    files: BaseFiles, adapters: Sequence[Weighted]
) -> tuple[dict[Place, list[Member]], list[str]]:
    """Where each adapter's layers stand in the base, and the names of those that are not there."""
    work: dict[Place, list[Member]] = {}
    left = []
    for item in adapters:
        matched = item.source.matched
        sites = {site.name: site for site in item.source.sites}
        for name in matched.names:
            own = matched.parts.get(name)
            places = (
                files.places(sites[name]) if own is None else files.part_places(own.whole, own.part)
            )
            if not places:
                left.append(name)
            for place in places:
                work.setdefault(place, []).extend(_members(item, sites[name], place))
    return work, left


def _members(item: Weighted, site: Site, place: Place) -> Iterator[Member]:
    """What a file does at a place; for the original's own layer its parts are one."""
    if place.part is None:
        whole = (0, site.rows)
        site = replace(site, segments=(Segment(place.key, whole, whole),))
    matched = item.source.matched
    if site.name in matched.norms:
        norm = NormDelta(Placement(site, 1, 1.0))
        load_norm(norm, matched.norms[site.name])
        norm.weight = item.weight
        yield norm
    if site.name in matched.factors:
        factors = matched.factors[site.name]
        if is_apart(site, factors):
            raise ToolProblem(
                f"{item.source.file.path.name}: {site.name} has DoRA magnitudes by input, and the "
                "base model keeps that layer in parts. Merge into a model in the original layout."
            )
        adapter = Adapter(Placement(site, factors.rank, factors.alpha), kinds=factors.kinds)
        load_into(adapter, factors)
        adapter.weight = item.weight
        if adapter.dora_scale is not None:
            # What W was is asked for in training alone; here the whole weight is at hand.
            adapter.square = torch.zeros(adapter.dora_scale.numel())
        yield adapter
    if site.name in matched.biases:
        bias = matched.biases[site.name]
        rows = [bias[slice(*s.source)] for s in host_segments(site)[place.part or 0]]
        yield AddedBias(site, item.weight * torch.cat(rows))


def _merge_layer(tensors: TensorFile, place: Place, members: Sequence[Member]) -> None:
    for member in members:
        if isinstance(member, NormDelta):
            _merge_norm(tensors, place, member)
        elif isinstance(member, AddedBias):
            _merge_bias(tensors, place, member)
    adapters = [m for m in members if isinstance(m, Adapter)]
    name = tensor_name(tensors.header, place.key, place.weight)
    if not adapters or name is None:
        return
    weight = tensors.read(name)
    own = weight if place.rows is None else weight[slice(*place.rows)]
    changed = own
    for adapter in adapters:
        shape = _shape(adapter, place, changed)
        changed = adapter.merged(place.part or 0, changed.reshape(shape)).reshape(own.shape)
    if place.rows is None:
        weight = changed
    else:
        weight[slice(*place.rows)] = changed
    tensors.write(name, weight)


def _merge_bias(tensors: TensorFile, place: Place, member: AddedBias) -> None:
    """Add to a layer's bias.

    Raises:
        AdapterProblem: the layer has none, and a copy of the model has no room for one.
    """
    name = tensor_name(tensors.header, place.key, "bias")
    if name is None and member.values.any():
        raise AdapterProblem(
            f"{place.key} has no bias in the base model, and the file adds to it. Put the file on "
            "the model with a program that loads both."
        )
    if name is not None:
        bias = tensors.read(name)
        bias[slice(*(place.rows or (0, None)))] += member.values
        tensors.write(name, bias)


def _shape(adapter: Adapter, place: Place, weight: Tensor) -> tuple[int, ...]:
    """The layer's shape in the library's model; files differ in 1×1 convolutions.

    Raises:
        AdapterProblem: the weight is of another size.
    """
    site = adapter.site
    kernel = site.kernel if site.kind == "conv" else ()
    shape = (weight.shape[0], site.columns, *kernel)
    if weight.numel() != torch.Size(shape).numel():
        raise AdapterProblem(
            f"{place.key} has a weight of {tuple(weight.shape)}; {site.name} needs {shape}."
        )
    return shape


def _merge_norm(tensors: TensorFile, place: Place, norm: NormDelta) -> None:
    for ending, delta in ((place.weight, norm.w_norm), ("bias", norm.b_norm)):
        name = tensor_name(tensors.header, place.key, ending)
        if delta is not None and name is not None:
            tensors.write(name, tensors.read(name) + norm.weight * delta.float())
