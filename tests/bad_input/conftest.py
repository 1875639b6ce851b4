"""One tiny set for each architecture, in the files that people have, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.schema.check import require
from engine.schema.job import Job
from tests.tiny_sets import MAKERS
from tests.tools.adapters import make_adapter

LAYOUTS = {"sd1": "single_file", "sd2": "single_file", "sdxl": "single_file",
           "hunyuan_image": "split"}  # fmt: skip
PARTS: dict[str, dict[str, str]] = {
    "sd1": {},
    "sd2": {},
    "sdxl": {},
    "flux": {"text_encoder": "clip_l", "text_encoder_2": "t5xxl", "vae": "ae"},
    "sd3": {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl",
            "vae": "vae"},
    "lumina2": {"text_encoder": "gemma", "vae": "ae"},
    "hunyuan_image": {"text_encoder": "qwen", "text_encoder_2": "byt5", "vae": "vae"},
    "anima": {"text_encoder": "qwen", "vae": "vae"},
}  # fmt: skip
"""Architecture → field of `[model]` → the stem of its file beside the picture model."""


class Sets:
    """The sets' files; each is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}

    def base(self, architecture: str) -> Path:
        """The file that `model.path` names."""
        if architecture not in self._made:
            layout = LAYOUTS.get(architecture, "components")
            self._made[architecture] = MAKERS[architecture](self._folder / architecture, layout)
        return self._made[architecture]

    def part(self, architecture: str, field: str) -> Path:
        """The file that another field of `[model]` names."""
        folder = self.base(architecture).parent
        return folder / f"{PARTS[architecture][field]}.safetensors"

    def model(self, architecture: str) -> dict[str, Any]:
        """A whole `[model]` table."""
        parts = {field: str(self.part(architecture, field)) for field in PARTS[architecture]}
        return {"architecture": architecture, "path": str(self.base(architecture))} | parts

    def adapter(self, architecture: str) -> Path:
        """A LoRA file for the set."""
        path = self._folder / f"{architecture}-adapter.safetensors"
        if not path.exists():
            make_adapter(path, architecture, self.base(architecture))
        return path

    def job(self, architecture: str, **tables: Any) -> Job:
        """A job on the set that is valid by itself."""
        data: dict[str, Any] = {
            "model": self.model(architecture),
            "dataset": {"folders": [{"path": str(self._folder)}]},
            "network": {"train": "denoiser"},
        }
        for name, values in tables.items():
            data[name] = data.get(name, {}) | values
        return require(data)


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return Sets(tmp_path_factory.mktemp("sets"))
