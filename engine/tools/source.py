"""An adapter file and the model it is for: what every tool begins with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.networks.attach import refuse_variants, require_fit
from engine.networks.factors import ALPHA, DOWN, MAGNITUDE, MID, UP, Factors
from engine.networks.file import AdapterFile, Precision, read
from engine.networks.inspection import guess_architecture
from engine.networks.lycoris_kinds import BIAS
from engine.networks.matching import Matched, Unused, match
from engine.networks.peft_settings import IN_HEADER
from engine.networks.problem import AdapterProblem
from engine.plan.detect import look_at
from engine.plan.model_names import LABELS
from engine.plan.site import Site
from engine.plan.sites import RULES, ModelShape, sites_of
from engine.schema.architectures import ARCHITECTURES

ROLES = ("denoiser", "text_encoder", "text_encoder_2", "text_encoder_3", "text_conditioner")


class ToolProblem(Exception):
    """What keeps a tool from its work, in words for the person."""


class TargetThere(ToolProblem):
    """A file that may be written over, if the person says so, is where the new one should go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is there already. Choose another name, or give --overwrite.")


@dataclass(frozen=True)
class Source:
    """A file, its architecture, the model's sites, and the file's adapters by their names."""

    file: AdapterFile
    architecture: str
    sites: tuple[Site, ...]
    matched: Matched

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence about what of the file is in no layer of the model, if there is something."""
        unused = self.matched.unused
        if not unused:
            return ()
        words = f"{self.file.path.name}: {len(unused)} parts of it were left out, such as"
        return (f"{words} {unused[0].name}: {unused[0].reason}.",)

    @property
    def precision(self) -> Precision:
        """The precision of most of its tensors."""
        names: dict[str, Precision] = {"BF16": "bf16", "F16": "fp16"}
        for dtype in self.file.dtypes:
            if dtype in names:
                return names[dtype]
        return "fp32"


def open_source(
    path: Path, architecture: str | None = None, model: Path | None = None, *, whole: bool = True
) -> Source:
    """Read a file and find out for which model it is.

    Args:
        path: the adapter file.
        architecture: its id, where the names do not tell it.
        model: the base model, where it is not of a published size.
        whole: the tool needs the model's layers; else a file in our own layout, of a model whose
            size nothing tells, is worked on by its names alone.

    Raises:
        FileProblem: the file cannot be read.
        AdapterProblem: it is of a kind that cannot be worked on.
        ToolProblem: nothing tells its model, or no published size fits.
    """
    file = read(path)
    refuse_variants(file)
    guess = guess_architecture(file)
    chosen = architecture or guess.architecture
    if chosen is None:
        raise ToolProblem(
            f"{path.name}: {guess.reason}. Name the architecture with --architecture: "
            f"{', '.join(ARCHITECTURES)}."
        )
    present: dict[str, object] = dict.fromkeys(ROLES, True)
    refused = ""
    for shape in _shapes(path, chosen, model):
        sites = sites_of(chosen, shape)
        try:
            matched = match(file, sites, present)
            require_fit(file, matched, chosen, sites, present)
        except AdapterProblem as problem:
            refused = refused or str(problem)
            continue
        return Source(file, chosen, matched.sites(sites), matched)
    if not whole and model is None and file.layout == "kohya" and file.factors:
        unused = tuple(Unused(key, "it is no part of an adapter") for key in file.unknown)
        return Source(file, chosen, (), Matched(file.factors, unused, file.norms, file.biases))
    hint = "" if model else " If its model is of another size, name it with --model."
    raise ToolProblem(refused + hint)


def _shapes(path: Path, architecture: str, model: Path | None) -> Iterator[ModelShape]:
    if model is None:
        yield from RULES[architecture].published
        return
    facts = look_at(str(model))
    if facts.shape is not None and facts.architecture == architecture:
        yield facts.shape
        return
    if facts.architecture not in (None, architecture):
        raise ToolProblem(
            f"{path.name} is an adapter for {LABELS[architecture]}, and {model.name} is "
            f"{LABELS[facts.architecture]}. Choose files of one architecture."
        )
    configs = _configs(model)
    if not configs:
        raise ToolProblem(facts.refusal or f"{model}: its sizes cannot be read.")
    try:
        yield RULES[architecture].of_configs(configs)
    except (KeyError, ValueError, TypeError) as error:
        raise ToolProblem(f"{model}: its configs are of another architecture ({error}).") from None


def _configs(folder: Path) -> dict[str, dict[str, Any]]:
    """The configs in a folder of components, by role; a folder need not be a whole pipeline."""
    configs = {}
    for name, role in (("unet", "denoiser"), ("transformer", "denoiser"), *((r, r) for r in ROLES)):
        file = folder / name / "config.json"
        if file.is_file():
            configs[role] = json.loads(file.read_text("utf-8"))
    return configs


def tensors_of(
    factors: Mapping[str, Factors],
    norms: Mapping[str, Mapping[str, Tensor]],
    biases: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The file's tensors of adapters, norms and biases under our own names."""
    tensors: dict[str, Tensor] = {}
    for name, one in factors.items():
        tensors[f"{name}.{ALPHA}"] = torch.tensor(float(one.alpha))
        tensors[f"{name}.{DOWN}"] = one.down.float().contiguous()
        tensors[f"{name}.{UP}"] = one.up.float().contiguous()
        for ending, further in ((MID, one.mid), (MAGNITUDE, one.magnitude)):
            if further is not None:
                tensors[f"{name}.{ending}"] = further.float().contiguous()
    for name, parts in norms.items():
        tensors |= {f"{name}.{ending}": tensor.float() for ending, tensor in parts.items()}
    return tensors | {f"{name}.{BIAS}": bias.float() for name, bias in biases.items()}


def metadata_with(source: Source, **changes: str) -> dict[str, str]:
    """The file's metadata with some keys changed; its hashes are made anew when it is written.

    PEFT's settings are left out: the tools write every alpha with, or into, its tensors.
    """
    kept = {key: text for key, text in source.file.metadata.items() if key != IN_HEADER}
    return kept | changes


def check_target(path: Path, overwrite: bool, *, is_folder: bool = False) -> None:
    """Refuse to write over a file, unless it was asked for; over a folder, always.

    Raises:
        TargetThere: the file is there.
        ToolProblem: a folder is there.
    """
    if is_folder and path.exists():
        raise ToolProblem(f"{path} is there already. Choose another name for the new folder.")
    if path.is_dir():
        raise ToolProblem(f"{path} is a folder. Give the new file a name in it, or another name.")
    if path.exists() and not overwrite:
        raise TargetThere(path)


def common_rank(factors: Mapping[str, Factors]) -> tuple[str, str]:
    """`ss_network_dim` and `ss_network_alpha` of these: one number, or Dynamic."""
    ranks = {one.rank for one in factors.values()}
    alphas = {one.alpha for one in factors.values()}
    return (
        str(ranks.pop()) if len(ranks) == 1 else "Dynamic",
        f"{alphas.pop():g}" if len(alphas) == 1 else "Dynamic",
    )
