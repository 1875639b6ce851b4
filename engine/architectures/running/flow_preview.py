"""Previews of flow models: Euler's steps down the noise levels (spec: training-sd-flux 6).

One loop for every architecture: the model's `predict` already answers n − x at σ, whatever its own
clock, so a step is x += (σ' − σ)·(n − x).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from engine.architectures.architecture import OnStep, PreviewRequest

Predict = Callable[[Tensor, Tensor], Tensor]
"""Latents (b, c, h, w) at noise levels σ (b,) → n − x, of the same shape."""


def even_levels(steps: int) -> list[float]:
    """Levels from 1 to 1/steps at equal distance: where FLUX and its kin begin before the shift."""
    return torch.linspace(1.0, 1.0 / steps, steps, dtype=torch.float64).tolist()


def picture_shift(tokens: int) -> float:
    """The shift e^μ of a picture of so many tokens, as FLUX.1-dev was trained."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    return math.exp(calculate_shift(tokens))


def noise_levels(steps: int, shift: float, levels: Sequence[float] | None = None) -> Tensor:
    """The σ that a preview visits, (steps + 1,) float32, from the noisiest down to 0.

    They are those of the library's Euler scheduler for flow models.

    Args:
        steps: how many steps.
        shift: the timestep shift s in s·σ / (1 + (s−1)·σ). A dynamic shift of μ is s = e^μ.
        levels: the levels before the shift; None for the scheduler's own, as SD3 uses them.
    """
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
        FlowMatchEulerDiscreteScheduler,
    )

    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    if levels is None:
        scheduler.set_timesteps(steps)
    else:
        scheduler.set_timesteps(sigmas=list(levels))
    return scheduler.sigmas


def start_noise(request: PreviewRequest, channels: int, scale: int = 8, step: int = 16) -> Tensor:
    """Noise (1, c, h, w) for a request, float32 on the CPU, from its seed alone.

    It is drawn on the CPU so that pictures can be compared between devices; sides are brought down
    to multiples of `step` pixels, of which `scale` make a side of the latent.
    """
    generator = torch.Generator().manual_seed(request.seed)
    height, width = (max(64, side // step * step) for side in (request.height, request.width))
    return torch.randn(1, channels, height // scale, width // scale, generator=generator)


def guided(predict: Predict, negative: Predict, cfg: float) -> Predict:
    """Predict away from the negative prompt; a `cfg` of 1 or less asks for the prompt alone."""
    if cfg <= 1:
        return predict

    def both(latents: Tensor, times: Tensor) -> Tensor:
        wanted, unwanted = predict(latents, times).float(), negative(latents, times).float()
        return unwanted + cfg * (wanted - unwanted)

    return both


@torch.no_grad()
def denoise(
    predict: Predict, latents: Tensor, sigmas: Tensor, on_step: OnStep | None = None
) -> Tensor:
    """From noise to scaled latents (b, c, h, w), float32, on the latents' device.

    Args:
        predict: answers n − x; see `guided` for a negative prompt.
        latents: pure noise, on the denoiser's device.
        sigmas: the levels to visit, the last being where it ends (0).
        on_step: told after each step; it may raise to stop.
    """
    latents = latents.float()
    total = len(sigmas) - 1
    for step, (sigma, after) in enumerate(pairwise(sigmas.tolist())):
        times = torch.full((len(latents),), sigma, device=latents.device)
        latents = latents + (after - sigma) * predict(latents, times).float()
        if on_step is not None:
            on_step(step + 1, total)
    return latents
