"""ai-toolkit's noise levels, weights and loss."""

from __future__ import annotations

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.schema.architectures import FLOW

_LEVELS = {
    "sigmoid": "sigmoid", "linear": "uniform", "uniform": "uniform", "shift": "flux_shift",
    "flux_shift": "flux_shift", "lumina2_shift": "nextdit_shift", "weighted": "uniform",
}  # fmt: skip
_LOSSES = {"mse": "l2", "mae": "l1", "l2": "l2", "l1": "l1"}


def read_objective(draft: Draft, given: Given) -> None:
    """Put what is asked of the adapter into the draft."""
    flow = draft.architecture in FLOW
    scheduler = given.value(draft, "train.noise_scheduler")
    if scheduler is not None:
        fits = ("flow" in str(scheduler).lower()) == flow
        draft.add(
            "train.noise_scheduler",
            scheduler,
            "taken" if fits else "refused",
            why="it is the model's own" if fits else "this model has another",
        )
    kind = given.value(draft, "train.timestep_type")
    if given.switch(draft, "train.linear_timesteps"):
        draft.take("train.linear_timesteps", True, "objective.timestep_sampling", "uniform")
    elif kind is not None and flow:
        ours = _LEVELS.get(str(kind), "")
        if not ours:
            draft.refuse("train.timestep_type", kind, "Graft has no such sampling")
        else:
            near = "the nearest one" if str(kind) == "weighted" else ""
            draft.take("train.timestep_type", kind, "objective.timestep_sampling", ours, near)
    elif kind is not None:
        draft.drop("train.timestep_type", kind, "it is for flow models")
    for key, path, end in (
        ("min_denoising_steps", "objective.timestep_min", (0,)),
        ("max_denoising_steps", "objective.timestep_max", (999, 1000)),
    ):
        value = given.value(draft, f"train.{key}")
        if value is not None and value in end:
            draft.unset(f"train.{key}", value)
        elif value is not None:
            draft.take(f"train.{key}", value, path)
    for key, path in (
        ("min_snr_gamma", "objective.min_snr_gamma"),
        ("snr_gamma", "objective.min_snr_gamma"),
        ("noise_offset", "objective.noise_offset"),
    ):
        value = given.value(draft, f"train.{key}")
        if value in (0, 0.0):
            draft.unset(f"train.{key}", value)
        elif value is not None:
            draft.take(f"train.{key}", value, path)
    loss = given.value(draft, "train.loss_type")
    if loss is not None:
        if str(loss) in _LOSSES:
            draft.take("train.loss_type", loss, "objective.loss", _LOSSES[str(loss)])
        else:
            draft.refuse("train.loss_type", loss, "Graft has l2, l1, huber and smooth_l1; it is l2")
    bias = given.value(draft, "train.content_or_style")
    if bias is not None and bias != "balanced":
        draft.drop("train.content_or_style", bias, "Lowest and Highest timestep come nearest")
    elif bias is not None:
        draft.unset("train.content_or_style", bias)
