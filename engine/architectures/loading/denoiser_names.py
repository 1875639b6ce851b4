"""The names of a denoiser's tensors in files: their prefix, and their counterpart in a class."""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.architectures.loading.checkpoint import Checkpoint

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "net.", "")
"""What programs put before a denoiser's names; none in files that hold it alone."""


def denoiser_names(
    checkpoint: Checkpoint, telling: Iterable[str], unused: tuple[str, ...] = ()
) -> dict[str, str]:
    """Name in the file → bare name, of the denoiser's tensors; empty if it is not in the file.

    Args:
        checkpoint: the file.
        telling: bare names of which the denoiser has one.
        unused: how the bare names begin of tensors that are not wanted.
    """
    for prefix in PREFIXES:
        if any(f"{prefix}{name}" in checkpoint.shapes for name in telling):
            below = checkpoint.below(prefix)
            return {stored: bare for stored, bare in below.items() if not bare.startswith(unused)}
    return {}


def renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    """Apply rules (pattern, replacement) in turn."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
