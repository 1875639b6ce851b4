"""A tiny set for each architecture, for tests that go through all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.tiny import make_sd1, make_sd2
from tests.tiny_flux import make_flux
from tests.tiny_hunyuan_image import make_hunyuan_image
from tests.tiny_sd3 import make_sd3
from tests.tiny_sdxl import make_sdxl

MAKERS: dict[str, Callable[..., Path]] = {
    "sd1": make_sd1,
    "sd2": make_sd2,
    "sdxl": make_sdxl,
    "flux": make_flux,
    "sd3": make_sd3,
    "hunyuan_image": make_hunyuan_image,
}
"""Architecture → `make(folder, layout)`, which returns what `model.path` names."""
