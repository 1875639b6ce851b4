"""Frozen weights in four bits (nf4), by bitsandbytes on NVIDIA cards."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from engine.architectures.architecture import ModelProblem


def check_four_bits(device: torch.device) -> None:
    """Refuse nf4 where it cannot be.

    Raises:
        ModelProblem: naming what is missing, and what to choose instead.
    """
    if device.type != "cuda":
        raise ModelProblem(
            f"nf4 weights need an NVIDIA card, and this run is on {device.type}.",
            "Set Weights kept as to int8.",
            "model.weights",
        )
    if find_spec("bitsandbytes") is None:
        raise ModelProblem(
            "nf4 weights need the package bitsandbytes, which is not installed.",
            "Run: python main.py setup --with bitsandbytes; or set Weights kept as to int8.",
            "model.weights",
        )


def four_bits_of(linear: nn.Linear, device: torch.device) -> nn.Module:
    """A Linear with bitsandbytes' double-quantized nf4 weight in place of its own."""
    import bitsandbytes  # pyright: ignore[reportMissingImports]

    layers: Any = bitsandbytes.nn
    packed = layers.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=linear.weight.dtype,
        compress_statistics=True,
        quant_type="nf4",
    )
    packed.weight = layers.Params4bit(
        linear.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
    )
    packed.bias = linear.bias
    return packed.requires_grad_(False).to(device)  # moving is what packs the weight
