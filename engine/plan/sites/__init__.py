"""Where adapters can sit, for each architecture: tables as rules, without torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from engine.plan.site import Site
from engine.plan.sites.anima import ANIMA, AnimaShape, anima_sites
from engine.plan.sites.hunyuan_image import (
    HUNYUAN_IMAGE,
    HunyuanImageShape,
    hunyuan_image_sites,
)
from engine.plan.sites.lumina2 import LUMINA2, Lumina2Shape, lumina2_sites
from engine.plan.sites.sd import SD1, SD2, SdShape, sd_sites
from engine.plan.sites.sd3 import SD3_MEDIUM, Sd3Shape, sd3_sites

ModelShape = SdShape | Sd3Shape | HunyuanImageShape | Lumina2Shape | AnimaShape
"""The few numbers that decide a model's sites; one dataclass for each family of architectures."""

SHAPES: dict[str, ModelShape] = {
    "sd1": SD1,
    "sd2": SD2,
    "sd3": SD3_MEDIUM,
    "lumina2": LUMINA2,
    "anima": ANIMA,
    "hunyuan_image": HUNYUAN_IMAGE,
}
"""The published sizes."""

TABLES: dict[type, Callable[[Any], tuple[Site, ...]]] = {
    SdShape: sd_sites,
    Sd3Shape: sd3_sites,
    Lumina2Shape: lumina2_sites,
    AnimaShape: anima_sites,
    HunyuanImageShape: hunyuan_image_sites,
}
"""The kind of shape → the rules that make sites of it."""


@lru_cache(maxsize=16)
def sites_of(architecture: str, shape: ModelShape | None = None) -> tuple[Site, ...]:
    """All sites of a model, text encoders first; the published sizes without a `shape`.

    Raises:
        KeyError: for an architecture without a table.
    """
    known = shape or SHAPES[architecture]
    return TABLES[type(known)](known)
