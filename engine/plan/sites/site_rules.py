"""What an architecture's table of sites consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.plan.site import Site

Configs = Mapping[str, Mapping[str, Any]]
"""Role → the config of the library's model."""

Names = Mapping[str, tuple[int, ...]]
"""Tensor → its shape; the denoiser's without what is before its names."""


@dataclass(frozen=True)
class SiteRules:
    """How an architecture's sites follow from a few sizes, and where those are read.

    A shape is the architecture's own frozen dataclass.

    Attributes:
        published: the sizes of every published variant, the usual one first.
        sites: shape → all its sites, text encoders first.
        of_configs: the shape a model's configs tell; what is absent counts as published. Raises
            ValueError or KeyError if the model is not of this architecture.
        of_names: the shape a checkpoint's tensors tell; None if some are missing.
        variant: the name of the published model with a shape's structure; empty if there is one.
    """

    published: tuple[Any, ...]
    sites: Callable[[Any], tuple[Site, ...]]
    of_configs: Callable[[Configs], Any]
    of_names: Callable[[Names], Any]
    variant: Callable[[Any], str] = lambda shape: ""
