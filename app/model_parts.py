"""The files of a model's parts when the architecture changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import options
from engine.schema.presets import MODEL_FILES


def _part(path: str, architecture: str) -> str:
    """What the part is, so that architectures which share it have one word for it."""
    name, about = options()[path].label(architecture), ARCHITECTURES[architecture]
    of = {
        "model.vae": about.vae,
        "model.denoiser": about.label,
        "model.tokenizer": about.text_encoders[0],
    }
    return f"{name} of {of[path]}" if path in of else name


class ModelParts:
    """Keeps a part's file with the part's name: one field is CLIP-L here and Qwen3 there."""

    def __init__(self) -> None:
        self._files: dict[str, Any] = {}  # name of the part → its file
        self._known: set[str] = set()  # fields that named one of them

    def at_switch(
        self, former: str, architecture: str, get: Callable[[str], Any]
    ) -> list[tuple[str, Any]]:
        """Files for the fields of `architecture`, empty where nothing is known of that part.

        Those of `former`, which `get` tells by path, are remembered for switching back.
        """
        for path in MODEL_FILES:
            if options()[path].applies(former):
                self._files[_part(path, former)] = get(path)
                self._known.add(path)
        found = []
        for path in MODEL_FILES:
            entry = options()[path]
            part = _part(path, architecture)
            if entry.applies(architecture) and (part in self._files or path in self._known):
                found.append((path, self._files.get(part, entry.default)))
        return found

    def forget(self) -> None:
        """Another job has come."""
        self._files.clear()
        self._known.clear()
