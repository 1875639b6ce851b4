"""Another program's spelling, or another precision, of an adapter file (spec: networks 1.13)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.networks.export import export
from engine.networks.file import Precision, save
from engine.networks.layouts import Layout
from engine.tools.source import Source, check_target, metadata_with, tensors_of


@dataclass(frozen=True)
class Written:
    """A file that a tool wrote, how many adapters are in it, and what there is to say of it."""

    path: Path
    adapters: int
    notes: tuple[str, ...] = ()


def convert(
    source: Source,
    target: Path,
    layout: Layout,
    precision: Precision | None = None,
    *,
    overwrite: bool = False,
) -> Written:
    """Write the file anew in a layout, in a precision or its own, with its metadata.

    Raises:
        ToolProblem: the target is there already.
        FileProblem: it cannot be written; what was there is still there.
    """
    check_target(target, overwrite)
    matched = source.matched
    tensors = tensors_of(matched.factors, matched.norms, matched.biases)
    made = export(tensors, source.sites, source.architecture, layout)
    save(target, made.tensors, metadata_with(source), precision or source.precision)
    notes = (*made.notes, *source.left_out)
    return Written(target, len(source.matched.names), notes)
