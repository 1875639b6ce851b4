"""Where adapters can sit, for each architecture: tables as rules, without torch."""

from __future__ import annotations

from functools import lru_cache

from engine.plan.site import Site
from engine.plan.sites.sd import SD1, SD2, SdShape, sd_sites

ModelShape = SdShape
"""The few numbers that decide a model's sites; one dataclass for each family of architectures."""

SHAPES: dict[str, ModelShape] = {"sd1": SD1, "sd2": SD2}
"""The published sizes."""


@lru_cache(maxsize=16)
def sites_of(architecture: str, shape: ModelShape | None = None) -> tuple[Site, ...]:
    """All sites of a model, text encoders first; the published sizes without a `shape`.

    Raises:
        KeyError: for an architecture without a table.
    """
    return sd_sites(shape or SHAPES[architecture])
