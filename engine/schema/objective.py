"""`[objective]`: noise, timesteps, loss and its weights (spec: training-sd-flux 4.1)."""

from __future__ import annotations

from typing import Literal

from engine.schema.architectures import FLOW, UNET
from engine.schema.field import When, option
from engine.schema.table import FloatList, Table

_V = When("model.prediction", not_equals=("epsilon",))
_EPSILON = When("model.prediction", not_equals=("v",))
_SHIFTED = When("objective.timestep_sampling", equals=("shift", "sigma"))
_SIGMOID = When("objective.timestep_sampling", equals=("sigmoid", "shift", "flux_shift"))
_TABLE = When("objective.timestep_sampling", equals=("sigma",))
_HUBER = When("objective.loss", equals=("huber", "smooth_l1"))
_OFFSET = When("objective.noise_offset", is_set=True)
_MULTIRES = When("objective.multires_iterations", is_set=True)


class Objective(Table):
    """What the adapter is asked to get right."""

    loss: Literal["l2", "l1", "huber", "smooth_l1"] = option(
        "l2",
        "Loss",
        "How errors are counted. Huber forgives large errors, such as odd pictures in the set.",
        basic=True,
        aliases=("loss_type",),
    )
    huber_schedule: Literal["snr", "exponential", "constant"] = option(
        "snr",
        "Huber schedule",
        "How the bend of the Huber loss changes with the noise level.",
        only_if=_HUBER,
    )
    huber_c: float = option(
        0.1,
        "Huber bend",
        "Errors above it count less.",
        gt=0,
        le=1,
        only_if=_HUBER,
    )
    huber_scale: float = option(
        1.0,
        "Huber scale",
        "Multiplies the bend of the constant and exponential schedules.",
        gt=0,
        only_if=(_HUBER, When("objective.huber_schedule", not_equals=("snr",))),
    )
    min_snr_gamma: float | None = option(
        None,
        "Min-SNR gamma",
        "Lets easy, nearly clean steps count less, so that training is steadier. 5 is usual.",
        gt=0,
        empty="off",
        section="Weighting",
        applies_to=UNET,
        basic=True,
    )
    debiased: bool = option(
        False,
        "Debiased estimation",
        "Another weighting: by one over the root of the SNR.",
        section="Weighting",
        applies_to=UNET,
        aliases=("debiased_estimation_loss",),
    )
    v_loss_like_noise: bool = option(
        False,
        "Weight v like noise",
        "Scales a v-prediction model's loss to that of noise prediction.",
        section="Weighting",
        applies_to=UNET,
        aliases=("scale_v_pred_loss_like_noise_pred",),
        only_if=_V,
    )
    v_like_loss: float | None = option(
        None,
        "Add v-like loss",
        "Adds a loss like that of v-prediction, times this.",
        ge=0,
        empty="off",
        section="Weighting",
        applies_to=UNET,
        aliases=("v_pred_like_loss",),
        only_if=_EPSILON,
    )
    timestep_sampling: Literal[
        "uniform", "sigmoid", "shift", "flux_shift", "nextdit_shift", "sigma"
    ] = option(
        "shift",
        "Timestep sampling",
        "Which noise levels are trained how often. Sigmoid prefers the middle; shift moves it to "
        "noisier levels, flux_shift by the size of the picture; nextdit_shift is uniform moved by "
        "size; sigma draws by the weighting below.",
        section="Noise",
        applies_to=FLOW,
        basic=True,
        choice_labels={
            "uniform": "uniform",
            "sigmoid": "sigmoid",
            "shift": "sigmoid, shifted",
            "flux_shift": "sigmoid, shifted by size",
            "nextdit_shift": "uniform, shifted by size",
            "sigma": "by the weighting, shifted",
        },
    )
    flow_shift: float = option(
        3.0,
        "Flow shift",
        "How far the noise levels are moved towards noise; 1 leaves them.",
        gt=0,
        le=100,
        section="Noise",
        applies_to=FLOW,
        aliases=("discrete_flow_shift", "training_shift"),
        only_if=_SHIFTED,
    )
    sigmoid_scale: float = option(
        1.0,
        "Sigmoid width",
        "Larger spreads the noise levels from the middle to both ends.",
        gt=0,
        le=20,
        section="Noise",
        applies_to=FLOW,
        only_if=_SIGMOID,
    )
    weighting: Literal["none", "uniform", "logit_normal", "mode", "sigma_sqrt", "cosmap"] = option(
        "none",
        "Weighting",
        "logit_normal and mode say which noise levels the sampling 'sigma' draws; sigma_sqrt and "
        "cosmap weigh the loss by noise level with any sampling.",
        section="Weighting",
        applies_to=FLOW,
        aliases=("weighting_scheme",),
    )
    logit_mean: float = option(
        0.0,
        "Logit mean",
        "Above 0 prefers noisy levels, below 0 clean ones.",
        ge=-10,
        le=10,
        section="Weighting",
        applies_to=FLOW,
        only_if=(_TABLE, When("objective.weighting", equals=("logit_normal",))),
    )
    logit_std: float = option(
        1.0,
        "Logit width",
        "Larger spreads the noise levels from the middle to both ends.",
        gt=0,
        le=10,
        section="Weighting",
        applies_to=FLOW,
        only_if=(_TABLE, When("objective.weighting", equals=("logit_normal",))),
    )
    mode_scale: float = option(
        1.29,
        "Mode scale",
        "How strongly the weighting 'mode' prefers the middle.",
        ge=-1,
        le=1.75,
        section="Weighting",
        applies_to=FLOW,
        only_if=(_TABLE, When("objective.weighting", equals=("mode",))),
    )
    prediction_scaling: Literal["raw", "x0"] = option(
        "raw",
        "Loss about",
        "The flow itself, or the clean picture it leads to: that counts noisy levels more, by the "
        "square of the noise level.",
        section="Weighting",
        applies_to=("flux", "sd3", "lumina2", "hunyuan_image"),
        aliases=("model_prediction_type",),
        choice_labels={"raw": "the flow", "x0": "the clean picture"},
    )
    guidance: float = option(
        1.0,
        "Guidance while training",
        "The number told to FLUX dev in training. 1 is best for adapters; previews have their own.",
        ge=0,
        le=100,
        section="Noise",
        applies_to=("flux",),
        aliases=("guidance_scale",),
    )
    timestep_min: int | None = option(
        None,
        "Lowest timestep",
        "Noise levels below this are not trained.",
        ge=0,
        le=999,
        empty="0",
        section="Noise",
        aliases=("min_timestep",),
    )
    timestep_max: int | None = option(
        None,
        "Highest timestep",
        "Noise levels from here on are not trained.",
        ge=1,
        le=1000,
        empty="1000",
        section="Noise",
        aliases=("max_timestep",),
    )
    noise_offset: float | None = option(
        None,
        "Noise offset",
        "Shifts the noise of whole pictures, so that very dark and very bright ones can be "
        "learned. Try 0.03–0.1.",
        gt=0,
        le=1,
        empty="off",
        section="Noise",
        applies_to=UNET,
    )
    noise_offset_random: bool = option(
        False,
        "Random offset strength",
        "Draw the offset between 0 and the value each time.",
        section="Noise",
        applies_to=UNET,
        only_if=_OFFSET,
        aliases=("noise_offset_random_strength",),
    )
    adaptive_noise_scale: float | None = option(
        None,
        "Adaptive offset",
        "Adds the picture's own mean brightness, times this, to the offset.",
        empty="off",
        section="Noise",
        applies_to=UNET,
        only_if=_OFFSET,
    )
    multires_iterations: int | None = option(
        None,
        "Multi-resolution noise",
        "Adds coarse noise at so many scales; helps brightness and composition. 6–10 is usual.",
        ge=1,
        le=10,
        empty="off",
        section="Noise",
        applies_to=UNET,
        aliases=("multires_noise_iterations",),
    )
    multires_discount: float = option(
        0.3,
        "Multi-resolution discount",
        "How much weaker each coarser scale is.",
        gt=0,
        le=1,
        section="Noise",
        applies_to=UNET,
        only_if=_MULTIRES,
        aliases=("multires_noise_discount",),
    )
    input_perturbation: float | None = option(
        None,
        "Input perturbation",
        "Extra noise that the model sees but is not asked for; 0.1 is from the paper.",
        gt=0,
        le=1,
        empty="off",
        section="Noise",
        aliases=("ip_noise_gamma",),
    )
    input_perturbation_random: bool = option(
        False,
        "Random perturbation",
        "Draw its strength between 0 and the value each time.",
        section="Noise",
        aliases=("ip_noise_gamma_random_strength",),
        only_if=When("objective.input_perturbation", is_set=True),
    )
    zero_terminal_snr: bool = option(
        False,
        "Zero terminal SNR",
        "Makes the last noise level pure noise, for models trained so (v-prediction only).",
        section="Noise",
        applies_to=UNET,
        only_if=_V,
    )
    text_encoder_dropout: FloatList | None = option(
        None,
        "Text encoder dropout",
        "Chances that CLIP-L, OpenCLIP-G and T5 say nothing about a sample, each by itself: three "
        "numbers from 0 to 1. SD3 was made with 0.464 each; small sets rarely need any.",
        empty="off",
        section="Text",
        applies_to=("sd3",),
    )
    mask_floor: float = option(
        0.0,
        "Weight outside the mask",
        "How much the dark part of a mask still counts.",
        ge=0,
        le=1,
        section="Masks",
        aliases=("unmasked_weight",),
    )
    mask_off_share: float = option(
        0.0,
        "Ignore masks in",
        "Share of the steps in which masks are ignored; 0.1 is usual.",
        ge=0,
        le=1,
        section="Masks",
        aliases=("unmasked_probability",),
    )
    mask_normalize: bool = option(
        True,
        "Masks of any size count alike",
        "Divide by the mask's area, so that a small mask does not make a small loss.",
        section="Masks",
    )
