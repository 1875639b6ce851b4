"""Two fields that are one question: every so many steps, or every so many epochs."""

from __future__ import annotations

from functools import cache

from engine.schema.options import Option, options

_STEPS, _EPOCHS = "every_steps", "every_epochs"


@cache
def epochs_partner(path: str) -> Option | None:
    """The epochs field beside a steps field: "output.every_steps" → `output.every_epochs`."""
    if not path.endswith(_STEPS):
        return None
    return options().get(path.removesuffix(_STEPS) + _EPOCHS)


@cache
def row_path(path: str) -> str:
    """The path under which a field's row is kept: of a pair, that of the steps field."""
    if path.endswith(_EPOCHS):
        steps = path.removesuffix(_EPOCHS) + _STEPS
        if steps in options():
            return steps
    return path


def pair_label(label: str) -> str:
    """The question without its unit: "Save every (steps)" → "Save every"."""
    return label.partition(" (")[0]
