"""The sizes of loaded models, read off the modules themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from engine.networks.problem import AdapterProblem
from engine.plan.sites import RULES, ModelShape


def shape_of(architecture: str, components: Mapping[str, nn.Module]) -> ModelShape:
    """Return the shape that `sites_of` takes, so that toy and changed sizes work as real ones do.

    What an absent component would tell is taken from the published sizes.

    Raises:
        AdapterProblem: for an unknown architecture, or a model that is not of it.
    """
    rules = RULES.get(architecture)
    if rules is None:
        raise AdapterProblem(
            f"'{architecture}' is no architecture Graft knows; there are {', '.join(RULES)}."
        )
    try:
        return rules.of_configs({role: _config(model) for role, model in components.items()})
    except (KeyError, ValueError) as error:
        raise AdapterProblem(f"This is no {architecture} model: {error}.") from None


def _config(model: nn.Module) -> dict[str, Any]:
    """Return a model's configuration as a dict: diffusers' or transformers'."""
    config: Any = getattr(model, "config", None)
    if config is None:
        raise AdapterProblem(f"{type(model).__name__} has no configuration to read its sizes from.")
    return dict(config.to_dict()) if hasattr(config, "to_dict") else dict(config)
