"""SD's discrete schedule: how latents and noise are mixed, and what the timesteps weigh.

Spec: training-sd-flux 4.1. For models that predict noise, or the velocity √ᾱ·n − √(1−ᾱ)·x.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from engine.schema.objective import Objective as Options
from engine.training.levels import TRAIN_TIMESTEPS
from engine.training.noise import Noise, per_sample

SNR_CAP = 1000.0


def alphas_cumprod(zero_terminal_snr: bool = False) -> Tensor:
    """SD's ᾱ for each of the 1000 timesteps, float32; rescaled to end in 0 if asked."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    return DDPMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        rescale_betas_zero_snr=zero_terminal_snr,
    ).alphas_cumprod


class Discrete:
    """The schedule's tables on the device; times are int64 timesteps (b,)."""

    def __init__(
        self,
        options: Options,
        prediction: Literal["epsilon", "v"],
        zero_terminal_snr: bool,
        device: torch.device | str,
    ) -> None:
        self.options = options
        self.v = prediction == "v"
        self.alphas = alphas_cumprod(zero_terminal_snr or options.zero_terminal_snr).to(device)
        # From the rescaled schedule, unlike sd-scripts (spec: training-sd-flux 0.12).
        self.snr = self.alphas / (1 - self.alphas)

    def noisy(self, latents: Tensor, noise: Noise) -> Tensor:
        """The model's input √ᾱ·x + √(1−ᾱ)·n, float32."""
        alpha = per_sample(self.alphas[noise.times])
        return alpha.sqrt() * latents.float() + (1 - alpha).sqrt() * noise.seen

    def target(self, latents: Tensor, noise: Noise) -> Tensor:
        """What the model should answer: the noise, or the velocity √ᾱ·n − √(1−ᾱ)·x."""
        if not self.v:
            return noise.target
        alpha = per_sample(self.alphas[noise.times])
        return alpha.sqrt() * noise.target - (1 - alpha).sqrt() * latents.float()

    def huber_bend(self, times: Tensor) -> Tensor:
        """The c of the pseudo-Huber loss for each timestep (b,)."""
        c, scale = self.options.huber_c, self.options.huber_scale
        if self.options.huber_schedule == "constant":
            return torch.full_like(times, c * scale, dtype=torch.float32)
        if self.options.huber_schedule == "exponential":
            return scale * torch.exp(math.log(c) * times / TRAIN_TIMESTEPS)
        alpha = self.alphas[times]
        return (1 - c) / (1 + ((1 - alpha) / alpha).sqrt()) ** 2 + c

    def weight(self, times: Tensor) -> Tensor:
        """The product of the chosen weightings for each timestep (b,)."""
        options = self.options
        snr = self.snr[times]
        capped = snr.clamp_max(SNR_CAP)
        weight = torch.ones_like(snr)
        if options.min_snr_gamma:
            limited = snr.clamp_max(options.min_snr_gamma)
            weight = weight * limited / (snr + 1 if self.v else snr)
        if options.v_loss_like_noise:
            weight = weight * capped / (capped + 1)
        if options.v_like_loss:
            weight = weight * (1 + options.v_like_loss * (capped + 1) / capped)
        if options.debiased:
            weight = weight / (capped + 1) if self.v else weight * capped.rsqrt()
        return weight
