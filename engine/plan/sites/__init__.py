"""Where adapters can sit, for each architecture: tables as rules, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from engine.plan.site import Site
from engine.plan.sites.anima import (
    ANIMA,
    AnimaShape,
    anima_shape,
    anima_shape_of_names,
    anima_sites,
)
from engine.plan.sites.flux import (
    CHROMA,
    FLUX_DEV,
    FLUX_SCHNELL,
    FluxShape,
    flux_shape,
    flux_shape_of_names,
    flux_sites,
)
from engine.plan.sites.flux import variant_of as flux_variant
from engine.plan.sites.hunyuan_image import (
    HUNYUAN_IMAGE,
    HunyuanImageShape,
    hunyuan_image_shape,
    hunyuan_image_shape_of_names,
    hunyuan_image_sites,
)
from engine.plan.sites.lumina2 import (
    LUMINA2,
    Lumina2Shape,
    lumina2_shape,
    lumina2_shape_of_names,
    lumina2_sites,
)
from engine.plan.sites.norms import sd_outer_sites, unet_norms
from engine.plan.sites.sd import SD1, SD2, SdShape, sd_sites
from engine.plan.sites.sd3 import sd3_sites
from engine.plan.sites.sd3_shape import (
    SD3_MEDIUM,
    SD35_LARGE,
    SD35_MEDIUM,
    Sd3Shape,
    sd3_shape,
    sd3_shape_of_names,
    sd3_variant,
)
from engine.plan.sites.sdxl import (
    SDXL,
    SdxlShape,
    sdxl_shape,
    sdxl_shape_of_names,
    sdxl_sites,
)

ModelShape = (
    SdShape | SdxlShape | FluxShape | Sd3Shape | HunyuanImageShape | Lumina2Shape | AnimaShape
)
"""The few numbers that decide a model's sites; one dataclass for each family of architectures."""

SHAPES: dict[str, ModelShape] = {
    "sd1": SD1,
    "sd2": SD2,
    "sdxl": SDXL,
    "flux": FLUX_DEV,
    "sd3": SD3_MEDIUM,
    "lumina2": LUMINA2,
    "anima": ANIMA,
    "hunyuan_image": HUNYUAN_IMAGE,
}
"""The published sizes."""

PUBLISHED: dict[str, tuple[ModelShape, ...]] = {
    **{architecture: (shape,) for architecture, shape in SHAPES.items()},
    "flux": (FLUX_DEV, FLUX_SCHNELL, CHROMA),
    "sd3": (SD3_MEDIUM, SD35_MEDIUM, SD35_LARGE),
}
"""The published sizes of every variant, the usual one first."""

TABLES: dict[type, Callable[[Any], tuple[Site, ...]]] = {
    SdShape: sd_sites,
    SdxlShape: sdxl_sites,
    FluxShape: flux_sites,
    Sd3Shape: sd3_sites,
    Lumina2Shape: lumina2_sites,
    AnimaShape: anima_sites,
    HunyuanImageShape: hunyuan_image_sites,
}
"""The kind of shape → the rules that make sites of it."""

READERS: dict[str, Callable[[Mapping[str, Mapping[str, Any]]], ModelShape]] = {
    "sdxl": sdxl_shape,
    "flux": flux_shape,
    "sd3": sd3_shape,
    "lumina2": lumina2_shape,
    "hunyuan_image": hunyuan_image_shape,
    "anima": anima_shape,
}
"""Architecture → what reads its shape off the configs of its components by role."""

NAME_READERS: dict[str, Callable[[Mapping[str, tuple[int, ...]]], ModelShape | None]] = {
    "sdxl": sdxl_shape_of_names,
    "sd3": sd3_shape_of_names,
    "flux": flux_shape_of_names,
    "lumina2": lumina2_shape_of_names,
    "hunyuan_image": hunyuan_image_shape_of_names,
    "anima": anima_shape_of_names,
}
"""Architecture → what reads its shape off the tensors of a checkpoint, None if one is missing."""

VARIANTS: dict[type, Callable[[Any], str]] = {
    FluxShape: flux_variant,
    Sd3Shape: sd3_variant,
}
"""The kind of shape → what tells its variant, where there is more than one."""


@lru_cache(maxsize=16)
def sites_of(architecture: str, shape: ModelShape | None = None) -> tuple[Site, ...]:
    """All sites of a model, text encoders first; the published sizes without a `shape`.

    Behind the layers come a U-Net's norms, and layers that only other trainers adapt.

    Raises:
        KeyError: for an architecture without a table.
    """
    known = shape or SHAPES[architecture]
    sites = TABLES[type(known)](known)
    if not isinstance(known, (SdShape, SdxlShape)):
        return sites
    outer = sd_outer_sites(known) if isinstance(known, SdShape) else ()
    return (*sites, *unet_norms(sites), *outer)
