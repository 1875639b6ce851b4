"""Where adapters can sit, for each architecture: tables as rules, without torch."""

from __future__ import annotations

from functools import lru_cache

from engine.plan.site import Site
from engine.plan.sites import anima, flux, hunyuan_image, lumina2, sd3, sdxl
from engine.plan.sites.anima import AnimaShape
from engine.plan.sites.flux import FluxShape
from engine.plan.sites.hunyuan_image import HunyuanImageShape
from engine.plan.sites.lumina2 import Lumina2Shape
from engine.plan.sites.sd import SD1_RULES, SD2_RULES, SdShape
from engine.plan.sites.sd3_shape import Sd3Shape
from engine.plan.sites.sdxl import SdxlShape
from engine.plan.sites.site_rules import SiteRules

ModelShape = (
    SdShape | SdxlShape | FluxShape | Sd3Shape | HunyuanImageShape | Lumina2Shape | AnimaShape
)
"""The few numbers that decide a model's sites; one dataclass for each family of architectures."""

RULES: dict[str, SiteRules] = {
    "sd1": SD1_RULES,
    "sd2": SD2_RULES,
    "sdxl": sdxl.RULES,
    "flux": flux.RULES,
    "sd3": sd3.RULES,
    "lumina2": lumina2.RULES,
    "hunyuan_image": hunyuan_image.RULES,
    "anima": anima.RULES,
}
"""Architecture → how its sites follow from its sizes."""


def published_shape(architecture: str) -> ModelShape:
    """The sizes of the architecture's usual published model."""
    return RULES[architecture].published[0]


@lru_cache(maxsize=16)
def sites_of(architecture: str, shape: ModelShape | None = None) -> tuple[Site, ...]:
    """All sites of a model, text encoders first; the published sizes without a `shape`.

    Behind the layers come norms, and layers that only other trainers adapt.

    Raises:
        KeyError: for an architecture without a table.
    """
    return RULES[architecture].sites(shape or published_shape(architecture))
