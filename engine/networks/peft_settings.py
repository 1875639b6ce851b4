"""Alphas that stand beside the weights: PEFT's own files keep them in settings, not in tensors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from engine.plan.header import Header

IN_HEADER = "lora_adapter_metadata"  # diffusers keeps PEFT's settings there, by component
BESIDE = {"adapter_model.safetensors": "adapter_config.json"}
"""PEFT's two files of one adapter."""


def settled_alphas(header: Header, ranks: Mapping[str, int]) -> dict[str, float]:
    """The alphas of a file's adapters that its settings tell.

    Args:
        header: of the file.
        ranks: adapter's name as spelled → its rank.
    """
    text = header.metadata.get(IN_HEADER)
    if text is not None:
        return _by_component(_read(text), ranks)
    beside = BESIDE.get(header.path.name)
    if beside is None:
        return {}
    try:
        settings = _read((header.path.parent / beside).read_text("utf-8"))
    except OSError:
        return {}
    return dict(_alphas(settings, ((name, name, rank) for name, rank in ranks.items())))


def _by_component(settings: Mapping[str, Any], ranks: Mapping[str, int]) -> dict[str, float]:
    found: dict[str, float] = {}
    for component in {name.partition(".")[0] for name in ranks}:
        start = f"{component}."
        own = {key.removeprefix(start): v for key, v in settings.items() if key.startswith(start)}
        of_it = ((n, n.removeprefix(start), r) for n, r in ranks.items() if n.startswith(start))
        found |= dict(_alphas(own, of_it))
    return found


def _alphas(
    settings: Mapping[str, Any], adapters: Iterable[tuple[str, str, int]]
) -> Iterable[tuple[str, float]]:
    """Of (name, path in the model, rank) the name and alpha, so that alpha ÷ rank is the scale."""
    common = settings.get("lora_alpha", settings.get("alpha"))
    patterns = settings.get("alpha_pattern")
    patterns = patterns if isinstance(patterns, dict) else {}
    for name, path, rank in adapters:
        alpha = next((a for p, a in patterns.items() if _is_meant(str(p), path)), common)
        if isinstance(alpha, (int, float)):
            yield name, float(alpha) * (rank**0.5 if settings.get("use_rslora") else 1.0)


def _is_meant(pattern: str, path: str) -> bool:
    """PEFT's patterns are paths, ends of paths, or regular expressions for them."""
    if path == pattern or path.endswith(f".{pattern}"):
        return True
    try:
        return re.fullmatch(rf"(.*\.)?({pattern})", path) is not None
    except re.error:
        return False


def _read(text: str) -> Mapping[str, Any]:
    try:
        settings = json.loads(text)
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}
