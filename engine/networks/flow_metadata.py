"""What a flow model's adapter says of its noise levels, in sd-scripts' words (networks 2.2)."""

from __future__ import annotations

from typing import Any

from engine.schema.job import Job

_LEVELS = ("ss_logit_mean", "ss_logit_std", "ss_mode_scale")
_SAMPLING = ("ss_timestep_sampling", "ss_sigmoid_scale", "ss_discrete_flow_shift")
_SCALED = "ss_model_prediction_type"
_WEIGHTED = "ss_weighting_scheme"

WRITTEN: dict[str, tuple[str, ...]] = {
    "flux": (
        "ss_model_type", "ss_apply_t5_attn_mask", "ss_guidance_scale", _WEIGHTED, *_LEVELS,
        *_SAMPLING, _SCALED,
    ),
    "sd3": ("ss_apply_lg_attn_mask", "ss_apply_t5_attn_mask", _WEIGHTED, *_LEVELS),
    "lumina2": (_WEIGHTED, *_LEVELS, *_SAMPLING, _SCALED),
    "hunyuan_image": (*_LEVELS, *_SAMPLING, _SCALED),
    "anima": (_WEIGHTED, *_LEVELS, *_SAMPLING),
}  # fmt: skip
"""Architecture → the entries that its files have."""


def flow_entries(job: Job) -> dict[str, Any]:
    """The entries for a job's architecture; none for models without flow."""
    objective, model = job.objective, job.model
    values = {
        "ss_model_type": "flux",
        "ss_apply_lg_attn_mask": model.clip_attention_mask,
        "ss_apply_t5_attn_mask": model.t5_attention_mask,
        "ss_guidance_scale": objective.guidance,
        "ss_weighting_scheme": objective.weighting,
        "ss_logit_mean": objective.logit_mean,
        "ss_logit_std": objective.logit_std,
        "ss_mode_scale": objective.mode_scale,
        "ss_timestep_sampling": objective.timestep_sampling,
        "ss_sigmoid_scale": objective.sigmoid_scale,
        "ss_discrete_flow_shift": objective.flow_shift,
        "ss_model_prediction_type": objective.prediction_scaling,
    }
    return {name: values[name] for name in WRITTEN.get(model.architecture, ())}
