"""The files of a model's parts when the architecture changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import options
from engine.schema.presets import MODEL_FILES


def _part(path: str, architecture: str) -> str:
    """What the part is: its name, and of a VAE the form of its latents."""
    name = options()[path].label(architecture)
    if path != "model.vae":
        return name
    latents = ARCHITECTURES[architecture]
    return f"{name}, {latents.latent_channels} channels of {latents.latent_scale} pixels"


class ModelParts:
    """Keeps a part's file with the part's name: one field is CLIP-L here and Qwen3 there."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], Any] = {}  # field and name of the part → its file

    def at_switch(
        self, former: str, architecture: str, get: Callable[[str], Any]
    ) -> list[tuple[str, Any]]:
        """Files for the fields of `architecture`, empty where nothing is known of that part.

        Those of `former`, which `get` tells by path, are remembered for switching back.
        """
        found = []
        for path in MODEL_FILES:
            entry = options()[path]
            if entry.applies(former):
                self._files[path, _part(path, former)] = get(path)
            if entry.applies(architecture) and any(path == known for known, _ in self._files):
                value = self._files.get((path, _part(path, architecture)), entry.default)
                found.append((path, value))
        return found

    def forget(self) -> None:
        """Another job has come."""
        self._files.clear()
