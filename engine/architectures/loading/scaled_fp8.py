"""Eight-bit floats with a scale beside each weight, as ComfyUI stores them: weight · scale."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from engine.plan.fp8_scales import FILE_MARK, LAYER_MARK, SCALES

_INPUT_SCALES = (".scale_input", ".input_scale")  # of activations: for eight-bit products only
_MARKS = (LAYER_MARK, FILE_MARK)
FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)


def scales_among(names: Iterable[str]) -> dict[str, str]:
    """{weight: its scale} for the weights that have one."""
    scales = {}
    for name in names:
        for ending in SCALES:
            if name.endswith(ending):
                scales[name.removesuffix(ending) + ".weight"] = name
    return scales


def is_beside(name: str) -> bool:
    """Say whether a tensor only says how others are stored."""
    return name.endswith((*SCALES, *_INPUT_SCALES, *_MARKS))


def unscaled(weight: Tensor, scale: Tensor) -> Tensor:
    """The weight that was meant, float32.

    Args:
        weight: eight-bit floats (rows, …).
        scale: one number, or one a row.

    Raises:
        ValueError: if it is stored in another way.
    """
    one_a_row = scale.numel() == len(weight) and scale.shape[:1] == weight.shape[:1]
    if weight.dtype not in FP8 or not (scale.numel() == 1 or one_a_row):
        raise ValueError(f"{weight.dtype} with scales of shape {tuple(scale.shape)}")
    shape = () if scale.numel() == 1 else (-1, *[1] * (weight.dim() - 1))
    return weight.float() * scale.float().reshape(shape)
