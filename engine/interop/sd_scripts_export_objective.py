"""The objective of a job in sd-scripts' options; the reverse of `sd_scripts_objective`."""

from __future__ import annotations

from engine.interop.exported import Sheet
from engine.interop.sd_scripts_objective import SAMPLING
from engine.schema.architectures import FLOW

_PLAIN = (
    ("loss", "loss_type"), ("min_snr_gamma", "min_snr_gamma"),
    ("debiased", "debiased_estimation_loss"),
    ("v_loss_like_noise", "scale_v_pred_loss_like_noise_pred"), ("v_like_loss", "v_pred_like_loss"),
    ("timestep_min", "min_timestep"), ("timestep_max", "max_timestep"),
    ("noise_offset", "noise_offset"), ("noise_offset_random", "noise_offset_random_strength"),
    ("adaptive_noise_scale", "adaptive_noise_scale"),
    ("multires_iterations", "multires_noise_iterations"), ("input_perturbation", "ip_noise_gamma"),
    ("input_perturbation_random", "ip_noise_gamma_random_strength"),
    ("zero_terminal_snr", "zero_terminal_snr"), ("guidance", "guidance_scale"),
)  # fmt: skip


def put_objective(sheet: Sheet) -> None:
    """Write loss, noise and, for flow models, the noise levels."""
    objective = sheet.job.objective
    for field, name in _PLAIN:
        sheet.take(f"objective.{field}", name)
    if objective.loss in ("huber", "smooth_l1"):
        for field in ("huber_schedule", "huber_c", "huber_scale"):
            sheet.put(field, sheet.get(f"objective.{field}"))
    if objective.multires_iterations:
        sheet.put("multires_noise_discount", sheet.get("objective.multires_discount"))
    sheet.used |= {
        f"objective.{key}"
        for key in ("huber_schedule", "huber_c", "huber_scale", "multires_discount")
    }
    if sheet.architecture in FLOW:
        _levels(sheet)
    _masks(sheet)


def _levels(sheet: Sheet) -> None:
    objective, architecture = sheet.job.objective, sheet.architecture
    sampling, weighting = objective.timestep_sampling, objective.weighting
    sheet.used |= {
        f"objective.{key}"
        for key in (
            "timestep_sampling",
            "flow_shift",
            "sigmoid_scale",
            "weighting",
            "logit_mean",
            "logit_std",
            "mode_scale",
            "prediction_scaling",
            "text_encoder_dropout",
        )
    }
    if architecture == "sd3":
        _sd3(sheet)
    else:
        if sampling == "nextdit_shift" and architecture != "lumina2":
            sheet.lack("objective.timestep_sampling", "it is there for Lumina alone")
            sampling = SAMPLING[architecture]
        sheet.put("timestep_sampling", sampling)
        sheet.put("discrete_flow_shift", objective.flow_shift)
        sheet.put("sigmoid_scale", objective.sigmoid_scale)
        if architecture != "anima":
            sheet.put("model_prediction_type", "raw")
        if weighting in ("sigma_sqrt", "cosmap") and architecture != "anima":
            sheet.lack("objective.weighting", "sd-scripts weighs so for Anima and SD3 alone")
        else:
            sheet.put("weighting_scheme", weighting)
        if objective.prediction_scaling == "x0":
            sheet.lack("objective.prediction_scaling", "sd-scripts compares unlike things there")
    if weighting == "logit_normal":
        mean = objective.logit_mean if architecture == "sd3" else -objective.logit_mean
        sheet.words += ["--logit_mean", f"{mean + 0.0:g}"]
        sheet.put("logit_std", objective.logit_std)
    if weighting == "mode":
        sheet.put("mode_scale", objective.mode_scale)


def _sd3(sheet: Sheet) -> None:
    objective = sheet.job.objective
    sheet.put("training_shift", objective.flow_shift)
    if objective.timestep_sampling != "sigma":
        sheet.lack("objective.timestep_sampling", "SD3 draws by the weighting there")
    weighting = objective.weighting
    if objective.prediction_scaling == "raw" and weighting in ("none", "uniform"):
        sheet.put("weighting_scheme", "sigma_sqrt")
    else:
        sheet.put("weighting_scheme", weighting)
        if objective.prediction_scaling == "raw":
            words = "SD3's loss there is about the clean picture, which counts noise more"
            sheet.lack("objective.prediction_scaling", words)
    rates = objective.text_encoder_dropout or []
    for name, rate in zip(("clip_l", "clip_g", "t5"), rates, strict=False):
        sheet.put(f"{name}_dropout_rate", rate or None)


def _masks(sheet: Sheet) -> None:
    """Masks weigh the whole picture's mean there."""
    masked = any(f.mask != "none" for f in sheet.job.dataset.folders if f.enabled)
    sheet.put("masked_loss", masked)
    sheet.used |= {"objective.mask_normalize", "objective.mask_floor", "objective.mask_off_share"}
    if not masked:
        return
    if sheet.job.objective.mask_normalize:
        sheet.lack("objective.mask_normalize", "the loss is the mean over the whole picture there")
    for key in ("mask_floor", "mask_off_share"):
        if getattr(sheet.job.objective, key):
            sheet.lack(f"objective.{key}", "sd-scripts has no such option")
