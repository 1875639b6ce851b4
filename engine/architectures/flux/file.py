"""FLUX.1's transformer out of a file: its original layout, or the libraries' own names.

Which rows of an original layer belong to which module stands in the table of sites alone; what it
does not list (the last layer) is added here. The widths are the file's own, so pruned and toy
models load as the published ones do (spec: training-sd-flux 1.2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import assemble, not_whole
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.loading.resources import RESOURCES
from engine.plan.sites.flux import FluxShape, flux_shape_of_names, flux_sites

CONFIGS = RESOURCES / "models" / "flux"
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "")
_WHAT = "picture model"
_FIRST = ("double_blocks.0.img_attn.qkv.weight", "transformer_blocks.0.attn.to_q.weight")
"""What tells that a file holds the transformer, in either layout."""


@dataclass(frozen=True)
class _Part:
    """Rows [start, stop) of an original tensor are this parameter; `swapped`: halves exchanged."""

    name: str
    rows: tuple[int, int] | None = None
    swapped: bool = False


def names_of_transformer(checkpoint: Checkpoint) -> dict[str, str]:
    """{name in the file: name without prefix} of the transformer's tensors; empty if it has none.

    In a file without prefix nothing else may be.
    """
    for prefix in PREFIXES:
        names = checkpoint.below(prefix)
        if any(sign in names.values() for sign in _FIRST):
            return names
    return {}


def load_transformer(
    checkpoint: Checkpoint, dtype: torch.dtype, field: str = "model.path"
) -> FluxTransformer2DModel:
    """Build the transformer from a file of its own or from one that holds the whole model.

    Raises:
        ModelProblem: if it is not there or not whole, told before its weights are read.
    """
    names = names_of_transformer(checkpoint)
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no picture model of FLUX.1.",
            "Choose a file such as flux1-dev.safetensors.",
            field,
        )
    stored = {given: name for name, given in names.items()}
    shapes = {given: checkpoint.shapes[name] for given, name in stored.items()}
    shape = flux_shape_of_names(shapes)
    if shape is None:
        raise not_whole(checkpoint, _WHAT)
    config = _config(shape)
    if "img_in.weight" not in shapes:
        read = checkpoint.read(names, dtype)
        return assemble(FluxTransformer2DModel, config, read, read, checkpoint, _WHAT)
    table = _parts(shape)
    _require(checkpoint, table, stored, field)
    converted: dict[str, Tensor] = {}
    for original, parts in table.items():
        tensor = checkpoint.read({stored[original]: original}, dtype)[original]
        converted |= {part.name: _taken(tensor, part) for part in parts}
    return assemble(FluxTransformer2DModel, config, converted, converted, checkpoint, _WHAT)


def _config(shape: FluxShape) -> dict[str, Any]:
    """Our config with the file's own sizes."""
    config = json.loads((CONFIGS / "transformer" / "config.json").read_text("utf-8"))
    head = shape.head_width
    return config | {
        "in_channels": shape.in_channels,
        "num_layers": shape.double,
        "num_single_layers": shape.single,
        "attention_head_dim": head,
        "num_attention_heads": shape.width // head,
        "joint_attention_dim": shape.context_width,
        "pooled_projection_dim": shape.pooled_width,
        "guidance_embeds": shape.guidance,
        # an eighth of a head tells positions apart in time, the rest in height and width
        "axes_dims_rope": [head // 8, head * 7 // 16, head * 7 // 16],
    }


def _parts(shape: FluxShape) -> dict[str, list[_Part]]:
    """Original name → the parameters it holds."""
    table: dict[str, list[_Part]] = {}
    for site in flux_sites(shape):
        if site.component != "denoiser":
            continue
        whole = len(site.segments) == 1
        leaves = {site.original_weight: "weight"}
        if site.kind != "norm":
            leaves["bias"] = "bias"
        for original, leaf in leaves.items():
            table[f"{site.original}.{original}"] = [
                _Part(f"{s.module}.{leaf}", None if whole else s.source) for s in site.segments
            ]
    table |= {name: [part] for name, part in _untrained()}
    return table


def _untrained() -> Iterator[tuple[str, _Part]]:
    """What has no site: the last layer."""
    for leaf in ("weight", "bias"):
        # shift and scale in the file, scale and shift in the library
        modulation = _Part(f"norm_out.linear.{leaf}", swapped=True)
        yield f"final_layer.adaLN_modulation.1.{leaf}", modulation
        yield f"final_layer.linear.{leaf}", _Part(f"proj_out.{leaf}")


def _require(
    checkpoint: Checkpoint, table: Mapping[str, Any], stored: Mapping[str, str], field: str
) -> None:
    """Refuse a file that lacks tensors, or has some that no module would take."""
    missing = [name for name in table if name not in stored]
    if missing:
        problem = not_whole(checkpoint, _WHAT, missing)
        raise ModelProblem(problem.message, problem.mend, field)
    extra = sorted(name for name in stored if name not in table)
    if extra:
        raise ModelProblem(
            f"The {_WHAT} of {checkpoint.path.name} has {len(extra)} tensors more than FLUX.1, "
            f"such as {extra[0]}.",
            "Choose FLUX.1-dev, schnell, or a model made from them.",
            field,
        )


def _taken(tensor: Tensor, part: _Part) -> Tensor:
    if part.swapped:
        first, second = tensor.chunk(2)
        return torch.cat([second, first])
    return tensor if part.rows is None else tensor[slice(*part.rows)]
