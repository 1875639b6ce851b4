"""Eight-bit weights whose scale is missing, told from a file's header.

Read as they are, such weights are wrong by factors of hundreds, without any error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.plan.header import TensorInfo

SCALES = (".scale_weight", ".weight_scale")
"""How the scale of `X.weight` is named, `X` before it: the older and the newer spelling."""

FILE_MARK = "scaled_fp8"  # ends the name of a tensor that says: what lies beside it has scales
LAYER_MARK = ".comfy_quant"  # the same of one layer


def lost_scale(entries: Mapping[str, TensorInfo]) -> str | None:
    """A weight in fp8 that was stored with a scale and has none; None if there is no such.

    Plain fp8, where nothing has a scale and nothing says so, is another form, and whole.
    """
    weights = [
        name for name, info in entries.items()
        if info.dtype.startswith("F8_E") and len(info.shape) == 2 and name.endswith(".weight")
    ]  # fmt: skip
    layers = {name: name.removesuffix(".weight") for name in weights}
    with_scale = {name for name in weights if any(layers[name] + end in entries for end in SCALES)}
    kinds = {_kind(name) for name in with_scale}
    marked = [n.removesuffix(FILE_MARK) for n in entries if n.endswith(FILE_MARK)]
    bare = tuple(p for p in marked if not any(name.startswith(p) for name in with_scale))
    for name in weights:
        if name in with_scale:
            continue
        if layers[name] + LAYER_MARK in entries or _kind(name) in kinds or name.startswith(bare):
            return name
    return None


def without_scale(file: str, name: str) -> str:
    """Words for a file that `lost_scale` found one in."""
    return (
        f"{file}: {name} is in fp8, and the scale that belongs to it is missing. Use a whole copy "
        "of the file, or one in bf16 or fp16."
    )


def _kind(name: str) -> str:
    """The same layer of whatever block."""
    return re.sub(r"\d+", "#", name)
