"""OneTrainer's losses, their weights and its noise levels."""

from __future__ import annotations

from typing import Any

from engine.interop.draft import FOLDER, Draft
from engine.interop.given import Given
from engine.interop.values import Misfit, number
from engine.schema.architectures import FLOW

_LOSSES = {"mse_strength": "l2", "mae_strength": "l1", "huber_strength": "huber",
           "log_cosh_strength": ""}  # fmt: skip
_SWITCHED = (
    ("offset_noise_weight", "objective.noise_offset"),
    ("perturbation_noise_weight", "objective.input_perturbation"),
)


def read_objective(draft: Draft, given: Given) -> None:
    """Put loss, weights, noise and masks into the draft."""
    _loss(draft, given)
    _weight(draft, given)
    for key, path in _SWITCHED:
        value = given.value(draft, key)
        if value is not None and value != 0:
            draft.take(key, value, path)
        elif value is not None:
            draft.unset(key, value)
    if given.switch(draft, "rescale_noise_scheduler_to_zero_terminal_snr"):
        draft.take(
            "rescale_noise_scheduler_to_zero_terminal_snr", True, "objective.zero_terminal_snr"
        )
    for key, path, end in (
        ("min_noising_strength", "objective.timestep_min", 0.0),
        ("max_noising_strength", "objective.timestep_max", 1.0),
    ):
        share = _number(draft, given, key)
        if share == end:
            draft.unset(key, share)
        elif share is not None:
            draft.take(key, share, path, round(share * 1000), "of 1000")
    _levels(draft, given)
    _masks(draft, given)
    dropped = given.value(draft, "dropout_probability")
    if dropped is not None:
        draft.take("dropout_probability", dropped, f"{FOLDER}caption_dropout")


def _number(draft: Draft, given: Given, key: str) -> float | None:
    value = given.value(draft, key)
    if value is None:
        return None
    try:
        return number(value)
    except Misfit as misfit:
        draft.refuse(key, value, str(misfit))
        return None


def _loss(draft: Draft, given: Given) -> None:
    """One kind of error; of a mixture the strongest part."""
    strengths = {key: _number(draft, given, key) for key in _LOSSES}
    said = {key: value for key, value in strengths.items() if value is not None}
    if not said:
        return
    strengths = {
        k: (1.0 if k == "mse_strength" else 0.0) if v is None else v for k, v in strengths.items()
    }
    best = max((k for k in strengths if _LOSSES[k]), key=lambda k: strengths[k] or 0.0)
    for key, value in said.items():
        if key == best:
            draft.take(key, value, "objective.loss", _LOSSES[key])
        elif value:
            draft.drop(key, value, "losses are not mixed here; the strongest counts")
        else:
            draft.unset(key, value)
    delta = _number(draft, given, "huber_delta")
    if delta is not None and best == "huber_strength":
        draft.take(
            "huber_delta",
            delta,
            "objective.huber_c",
            min(delta, 1.0),
            "a true Huber loss there, a smooth one here",
        )
        draft.default("huber_delta", "objective.huber_schedule", "constant")
    elif delta is not None:
        draft.unset("huber_delta", delta)


def _weight(draft: Draft, given: Given) -> None:
    kind = given.value(draft, "loss_weight_fn")
    strength = given.value(draft, "loss_weight_strength")
    name = str(kind or "CONSTANT").rpartition(".")[2]
    if name == "MIN_SNR_GAMMA":
        draft.take(
            "loss_weight_fn", kind, "objective.min_snr_gamma", 5.0 if strength is None else strength
        )
        if strength is not None:
            draft.add(
                "loss_weight_strength", strength, "taken", "objective.min_snr_gamma", strength
            )
        return
    if name == "DEBIASED_ESTIMATION":
        draft.take("loss_weight_fn", kind, "objective.debiased", True)
    elif name == "CONSTANT":
        if kind is not None:
            draft.unset("loss_weight_fn", kind)
    else:
        draft.drop("loss_weight_fn", kind, "Graft has no such weighting")
    if strength is not None:
        draft.unset("loss_weight_strength", strength)


def _levels(draft: Draft, given: Given) -> None:
    """The distribution of noise levels, its two numbers and its shift."""
    kind = given.value(draft, "timestep_distribution")
    name = str(kind or "UNIFORM").rpartition(".")[2]
    by_size = given.switch(draft, "dynamic_timestep_shifting")
    weight = _number(draft, given, "noising_weight") or 0.0
    bias = _number(draft, given, "noising_bias") or 0.0
    shift = given.value(draft, "timestep_shift")
    if draft.architecture not in FLOW:
        if name != "UNIFORM":
            draft.drop("timestep_distribution", kind, "timesteps are drawn alike here")
        elif kind is not None:
            draft.unset("timestep_distribution", kind)
        for key, value in (
            ("timestep_shift", shift),
            ("noising_weight", weight),
            ("noising_bias", bias),
        ):
            if value:
                draft.drop(key, value, "it is for flow models")
        return
    plain = weight == 0 and bias == 0
    values: dict[str, Any] = {}
    why = ""
    if name == "LOGIT_NORMAL" and by_size and plain:
        values["timestep_sampling"] = "flux_shift"
    elif name == "UNIFORM" and by_size:
        values["timestep_sampling"] = "nextdit_shift"
    elif name == "LOGIT_NORMAL":
        values = {
            "timestep_sampling": "sigma",
            "weighting": "logit_normal",
            "logit_mean": bias,
            "logit_std": weight + 1,
        }
    elif name == "UNIFORM":
        values = {"timestep_sampling": "sigma", "weighting": "uniform"}
    elif name == "SIGMOID":
        values, why = {"timestep_sampling": "sigmoid"}, "the nearest one"
    elif name == "HEAVY_TAIL":
        values = {"timestep_sampling": "sigma", "weighting": "mode", "mode_scale": weight}
    else:
        draft.refuse("timestep_distribution", kind, "Graft has no such distribution; it is uniform")
        values = {"timestep_sampling": "sigma", "weighting": "uniform"}
    for field, value in values.items():
        path = f"objective.{field}"
        if kind is None:
            draft.default("timestep_distribution", path, value)
        else:
            draft.take("timestep_distribution", kind, path, value, why)
    if by_size:
        taken = values["timestep_sampling"] in ("flux_shift", "nextdit_shift")
        draft.add(
            "dynamic_timestep_shifting",
            True,
            "taken" if taken else "no counterpart",
            why="in the sampling" if taken else "not with this distribution",
        )
    if shift is not None:
        draft.take("timestep_shift", shift, "objective.flow_shift")
    elif values["timestep_sampling"] == "sigma":
        draft.default("timestep_shift", "objective.flow_shift", 1.0)


def _masks(draft: Draft, given: Given) -> None:
    masked = given.switch(draft, "masked_training")
    if masked:
        draft.take(
            "masked_training",
            True,
            f"{FOLDER}mask",
            "file",
            "NAME-masklabel.png beside each picture",
        )
    for key, path, usual in (
        ("unmasked_probability", "objective.mask_off_share", 0.1),
        ("unmasked_weight", "objective.mask_floor", 0.1),
        ("normalize_masked_area_loss", "objective.mask_normalize", False),
    ):
        value = given.value(draft, key)
        if not masked:
            if value is not None:
                draft.unset(key, value)
        elif value is not None:
            draft.take(key, value, path)
        else:
            draft.default(key, path, usual)
