"""Previews of SD 1.x, 2.x and SDXL: diffusers' own pipeline around the live denoiser (spec: 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.architectures.architecture import (
    ModelProblem,
    OnStep,
    Prediction,
    PreviewRequest,
    Text,
)

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
    "dpm++_2m": ("DPMSolverMultistepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
ZERO_SNR_RESCALE = 0.7


def make_scheduler(sampler: str, prediction: Prediction, zero_terminal_snr: bool) -> Any:
    """The library's scheduler for a sampler of the job.

    Raises:
        ModelProblem: if there is no such sampler.
    """
    import diffusers

    if sampler not in SAMPLERS:
        raise ModelProblem(
            f"There is no sampler '{sampler}'.", f"Use {', '.join(SAMPLERS)}.", "samples.sampler"
        )
    name, extra = SAMPLERS[sampler]
    # Pure noise is only met when the last timestep is among those visited.
    ending = {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
    return getattr(diffusers, name)(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        prediction_type="v_prediction" if prediction == "v" else "epsilon",
        **extra,
        **(ending if zero_terminal_snr else {}),
    )


def denoise(
    unet: UNet2DConditionModel,
    request: PreviewRequest,
    text: Text,
    negative: Text,
    *,
    prediction: Prediction,
    zero_terminal_snr: bool,
    on_step: OnStep | None = None,
) -> Tensor:
    """From noise to scaled latents (1, 4, h, w), on the denoiser's device.

    The noise is drawn on the CPU from the request's seed, so that pictures can be compared between
    devices; no global random state is used. Text with a pooled vector is for SDXL, whose U-Net is
    told a picture of the request's size, not cropped.
    """
    given, wanted = negative["states"].shape, text["states"].shape
    if given != wanted:
        raise ValueError(
            f"prompt {tuple(wanted)} and negative {tuple(given)} differ in length; "
            "encode them in one call of encode_prompts"
        )
    device = next(unet.parameters()).device
    scheduler = make_scheduler(request.sampler, prediction, zero_terminal_snr)
    pipeline = _pipeline(unet, scheduler, two_encoders="pooled" in text)
    generator = torch.Generator().manual_seed(request.seed)
    height, width = (max(64, side // 8 * 8) for side in (request.height, request.width))
    noise = torch.randn(1, 4, height // 8, width // 8, generator=generator)
    output = pipeline(
        **_embeds(text, "", device),
        **(_embeds(negative, "negative_", device) if request.cfg > 1 else {}),
        latents=noise.to(device),
        height=height,
        width=width,
        num_inference_steps=request.steps,
        guidance_scale=request.cfg,
        guidance_rescale=ZERO_SNR_RESCALE if zero_terminal_snr else 0.0,
        generator=generator,
        output_type="latent",
        callback_on_step_end=_callback(on_step, request.steps),
    )
    return output.images


def _pipeline(unet: UNet2DConditionModel, scheduler: Any, *, two_encoders: bool) -> Any:
    """The library's pipeline around the U-Net alone.

    The VAE stays outside: the pipeline would take its device for the denoiser's.
    """
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
        StableDiffusionPipeline,
    )
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
        StableDiffusionXLPipeline,
    )

    names = ["vae", "text_encoder", "tokenizer"]
    if two_encoders:
        absent: dict[str, Any] = dict.fromkeys([*names, "text_encoder_2", "tokenizer_2"])
        pipeline: Any = StableDiffusionXLPipeline(
            unet=unet, scheduler=scheduler, add_watermarker=False, **absent
        )
    else:
        absent = dict.fromkeys([*names, "safety_checker", "feature_extractor"])
        pipeline = StableDiffusionPipeline(
            unet=unet, scheduler=scheduler, requires_safety_checker=False, **absent
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _embeds(text: Text, prefix: str, device: torch.device) -> dict[str, Tensor]:
    """The pipeline's arguments for an encoded prompt, in float32."""
    embeds = {f"{prefix}prompt_embeds": text["states"].to(device, torch.float32)}
    if "pooled" in text:
        embeds[f"{prefix}pooled_prompt_embeds"] = text["pooled"].to(device, torch.float32)
    return embeds


def _callback(
    on_step: OnStep | None, total: int
) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]] | None:
    if on_step is None:
        return None

    def after_step(
        pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        on_step(step + 1, total)
        return tensors

    return after_step
