"""sd-scripts' noise levels, weights and loss of flow models (spec: training-sd-flux 4.2, 4.3)."""

from __future__ import annotations

from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.values import Misfit, number
from engine.schema.architectures import FLOW

SAMPLING = {"flux": "sigma", "lumina2": "shift", "hunyuan_image": "sigma", "anima": "sigmoid"}
"""The sampling where nothing is said."""

GUIDANCE = 3.5
_DENSITIES = ("logit_normal", "mode")
_WEIGHTS = ("sigma_sqrt", "cosmap")
_DROPOUTS = ("clip_l_dropout_rate", "clip_g_dropout_rate", "t5_dropout_rate")
_ZERO_IS_OFF = (
    "noise_offset", "multires_noise_iterations", "ip_noise_gamma", "adaptive_noise_scale",
    "min_snr_gamma", "v_pred_like_loss", "multires_noise_discount", "blocks_to_swap",
)  # fmt: skip


def read_objective(draft: Draft, given: Given) -> None:
    """Put what is special about flow models into the draft; the rest is taken by name."""
    for key in _ZERO_IS_OFF:
        if key in given and str(given.look(key)).strip() in ("0", "0.0"):
            draft.unset(key, given.pop(key))
    architecture = draft.architecture
    if architecture not in FLOW:
        return
    sampling = _sampling(draft, given)
    if architecture == "sd3":
        _sd3(draft, given)
    else:
        _weighting(draft, given, sampling)
        _prediction(draft, given)
    _logit_mean(draft, given)
    if architecture == "flux":
        guidance = given.value(draft, "guidance_scale")
        if guidance is not None:
            draft.take("guidance_scale", guidance, "objective.guidance")
        else:
            draft.default("guidance_scale", "objective.guidance", GUIDANCE)
    for key in ("min_timestep", "max_timestep"):
        value = given.value(draft, key)
        if value is None:
            continue
        path = "objective.timestep_min" if key == "min_timestep" else "objective.timestep_max"
        why = "" if architecture == "sd3" else "sd-scripts takes no notice of it with this model"
        draft.take(key, value, path, value, why)


def _sampling(draft: Draft, given: Given) -> str:
    if draft.architecture == "sd3":
        draft.default("timestep sampling", "objective.timestep_sampling", "sigma")
        return "sigma"
    value = given.value(draft, "timestep_sampling")
    usual = SAMPLING[draft.architecture]
    if value is None:
        draft.default("timestep_sampling", "objective.timestep_sampling", usual)
        return usual
    taken = draft.take("timestep_sampling", value, "objective.timestep_sampling")
    return str(value) if taken else usual


def _weighting(draft: Draft, given: Given, sampling: str) -> None:
    """Densities count with the sampling sigma; weights of the loss only for Anima."""
    value = given.value(draft, "weighting_scheme")
    if value is None:
        draft.default("weighting_scheme", "objective.weighting", "uniform")
    elif value in _DENSITIES and sampling != "sigma":
        draft.take(
            "weighting_scheme",
            value,
            "objective.weighting",
            "none",
            f"with the sampling {sampling} it has no effect",
        )
    elif value in _WEIGHTS and draft.architecture != "anima":
        draft.take(
            "weighting_scheme",
            value,
            "objective.weighting",
            "none",
            "sd-scripts weighs so only with sigma_scaled",
        )
    else:
        draft.take("weighting_scheme", value, "objective.weighting")


def _prediction(draft: Draft, given: Given) -> None:
    value = given.value(draft, "model_prediction_type")
    path = "objective.prediction_scaling"
    if value is None and draft.architecture == "flux":
        draft.default(
            "model_prediction_type",
            path,
            "raw",
            "its default, sigma_scaled, compares the clean picture with the flow",
        )
    elif value == "raw":
        draft.take("model_prediction_type", value, path)
    elif value in ("sigma_scaled", "additive"):
        draft.take(
            "model_prediction_type",
            value,
            path,
            "raw",
            "it compares unlike things there; x0 counts the clean picture rightly",
        )
    elif value is not None:
        draft.take("model_prediction_type", value, path)


def _sd3(draft: Draft, given: Given) -> None:
    """There the loss is about the clean picture, which counts noisy levels by σ² more."""
    path = "objective.prediction_scaling"
    value = given.value(draft, "weighting_scheme")
    if value == "sigma_sqrt":
        draft.take("weighting_scheme", value, path, "raw", "together it is the plain flow loss")
        draft.default("weighting_scheme", "objective.weighting", "none")
    else:
        if value is None:
            draft.default("weighting_scheme", "objective.weighting", "uniform")
        else:
            draft.take("weighting_scheme", value, "objective.weighting")
        draft.default("SD3's loss", path, "x0", "it is about the clean picture there")
    rates: list[float] = []
    given_rates = {key: given.value(draft, key) for key in _DROPOUTS}
    for key, rate in given_rates.items():
        try:
            rates.append(number(rate) if rate is not None else 0.0)
        except Misfit as misfit:
            draft.refuse(key, rate, str(misfit))
            rates.append(0.0)
    for key, rate in given_rates.items():
        if rate is not None and not any(rates):
            draft.unset(key, rate)
        elif rate is not None:
            draft.take(key, rate, "objective.text_encoder_dropout", rates, "one of three numbers")


def _logit_mean(draft: Draft, given: Given) -> None:
    """u counts what is clean in sd-scripts' table of levels, and what is noise here."""
    value: Any = given.value(draft, "logit_mean")
    if value is None:
        return
    try:
        mean = number(value)
    except Misfit as misfit:
        draft.refuse("logit_mean", value, str(misfit))
        return
    if draft.architecture == "sd3" or mean == 0:
        draft.take("logit_mean", value, "objective.logit_mean", mean)
    else:
        draft.take(
            "logit_mean", value, "objective.logit_mean", -mean, "mirrored: above 0 is noisier here"
        )
