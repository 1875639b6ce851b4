"""Flow matching: the straight path between picture and noise, and what its levels weigh.

Spec: training-sd-flux 4.2, 4.3; training-dit 1.2. Everything here is float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.schema.objective import Objective as Options
from engine.training.levels import LOWEST
from engine.training.noise import Noise, per_sample


class Flow:
    """The straight path; times are σ (b,) float32."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def noisy(self, latents: Tensor, noise: Noise) -> Tensor:
        """The model's input (1−σ)·x + σ·n, float32."""
        sigma = per_sample(noise.times)
        return (1 - sigma) * latents.float() + sigma * noise.seen

    def target(self, latents: Tensor, noise: Noise) -> Tensor:
        """What the model should answer: n − x."""
        return noise.target - latents.float()

    def huber_bend(self, times: Tensor) -> Tensor:
        """The c of the pseudo-Huber loss for each level (b,); the SNR is ((1−σ)/σ)²."""
        c, scale = self.options.huber_c, self.options.huber_scale
        if self.options.huber_schedule == "constant":
            return torch.full_like(times, c * scale)
        if self.options.huber_schedule == "exponential":
            return scale * torch.exp(math.log(c) * times)
        return (1 - c) * (1 - times) ** 2 + c  # 1 / (1 + σ/(1−σ)) = 1 − σ

    def weight(self, times: Tensor) -> Tensor:
        """The loss weight of each level (b,)."""
        weight = torch.ones_like(times)
        if self.options.weighting == "sigma_sqrt":
            weight = weight / times.clamp_min(LOWEST) ** 2
        if self.options.weighting == "cosmap":
            weight = weight * 2 / (math.pi * (1 - 2 * times + 2 * times**2))
        if self.options.prediction_scaling == "x0":
            weight = weight * times**2
        return weight
