"""A tiny set for each architecture, for tests that go through all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.tiny import make_sd1, make_sd2
from tests.tiny_anima import make_anima
from tests.tiny_flux import make_flux
from tests.tiny_hunyuan_image import make_hunyuan_image
from tests.tiny_lumina2 import make_lumina2
from tests.tiny_sd3 import make_sd3
from tests.tiny_sdxl import make_sdxl

MAKERS: dict[str, Callable[..., Path]] = {
    "sd1": make_sd1,
    "sd2": make_sd2,
    "sdxl": make_sdxl,
    "flux": make_flux,
    "sd3": make_sd3,
    "lumina2": make_lumina2,
    "hunyuan_image": make_hunyuan_image,
    "anima": make_anima,
}
"""Architecture → `make(folder, layout)`, which returns what `model.path` names."""
