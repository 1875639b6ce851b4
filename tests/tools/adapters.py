"""Adapter files with numbers in them for tiny models, made without loading the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engine.networks.adapter import Adapter
from engine.networks.factors import tensors_of
from engine.networks.file import save
from engine.networks.variants.norm import NormDelta
from engine.plan.detect import look_at
from engine.plan.ranks import place
from engine.plan.site import Placement
from engine.plan.sites import sites_of
from engine.schema.network import Network


def make_adapter(
    path: Path,
    architecture: str,
    model: Path,
    *,
    seed: int = 0,
    keep: Callable[[Placement], bool] = lambda placement: True,
    **options: Any,
) -> Path:
    """Write an adapter with random factors for a model on disk."""
    facts = look_at(str(model))
    assert facts.shape is not None, facts.refusal
    chosen = Network(rank=4, alpha=2.0, **options)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for placement in place(chosen, sites_of(architecture, facts.shape), architecture):
        if not keep(placement):
            continue
        norm = placement.site.kind == "norm"
        adapter = NormDelta(placement) if norm else Adapter(placement)
        with torch.no_grad():
            for factor in adapter.parameters():
                factor.copy_(0.1 * torch.randn(factor.shape, generator=generator))
        name = placement.site.name
        tensors |= {f"{name}.{ending}": t for ending, t in tensors_of(adapter).items()}
    save(path, tensors, {"ss_network_dim": "4", "ss_training_comment": "made up"}, "fp32")
    return path
