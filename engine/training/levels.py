"""Noise levels σ of flow models: which are trained how often (spec: training-sd-flux 4.2, dit 1.1).

σ is the share of noise on every architecture; 1 is pure noise.
"""

from __future__ import annotations

import math

import torch

from engine.schema.objective import Objective as Options

TRAIN_TIMESTEPS = 1000
LOWEST = 1e-3  # σ: below it weights by 1/σ² grow without bound
TRIES = 100  # draws until a level lies in the job's range
SAMPLES = 4096  # levels that quantiles are read from


def shift_for(tokens: int) -> float:
    """The shift e^μ for a picture of so many 2×2 patches, as FLUX was trained."""
    return math.exp(0.5 + 0.65 * (tokens - 256) / 3840)


def tokens_of(latent: tuple[int, int]) -> int:
    """2×2 patches of a latent (height, width)."""
    return (latent[0] // 2) * (latent[1] // 2)


def shifted(sigma: float, shift: float) -> float:
    """Move a level towards noise: s·σ / (1 + (s−1)·σ)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def draw_level(options: Options, latent: tuple[int, int], generator: torch.Generator) -> float:
    """Draw one σ for a latent (height, width) by the job's sampling, inside its timestep range.

    Where the sampling all but never falls into the range, any level of the range is as likely as
    another.
    """
    low, high = level_range(options)
    for _ in range(TRIES):
        sigma = _draw(options, latent, generator)
        if low <= sigma <= high:
            return sigma
    return low + (high - low) * torch.rand((), generator=generator).item()


def level_range(options: Options) -> tuple[float, float]:
    """Lowest and highest σ that the job trains."""
    low = (options.timestep_min or 0) / TRAIN_TIMESTEPS
    high = 1.0 if options.timestep_max is None else options.timestep_max / TRAIN_TIMESTEPS
    return max(low, LOWEST), high


def quantile_levels(options: Options, latent: tuple[int, int], count: int) -> tuple[int, ...]:
    """`count` fixed levels, as σ·1000, that stand for the training distribution, rising."""
    generator = torch.Generator().manual_seed(0)
    drawn = sorted(draw_level(options, latent, generator) for _ in range(SAMPLES))
    middles = (drawn[int(SAMPLES * (i + 0.5) / count)] for i in range(count))
    return tuple(max(1, round(TRAIN_TIMESTEPS * sigma)) for sigma in middles)


def _draw(options: Options, latent: tuple[int, int], generator: torch.Generator) -> float:
    sampling = options.timestep_sampling
    if sampling == "sigma":
        return shifted(_by_weighting(options, generator), options.flow_shift)
    if sampling in ("uniform", "nextdit_shift"):
        sigma = torch.rand((), generator=generator).item()
    else:
        drawn = options.sigmoid_scale * torch.randn((), generator=generator)
        sigma = torch.sigmoid(drawn).item()
    if sampling == "shift":
        return shifted(sigma, options.flow_shift)
    if sampling in ("flux_shift", "nextdit_shift"):
        return shifted(sigma, shift_for(tokens_of(latent)))
    return sigma


def _by_weighting(options: Options, generator: torch.Generator) -> float:
    if options.weighting == "logit_normal":
        drawn = options.logit_mean + options.logit_std * torch.randn((), generator=generator)
        return torch.sigmoid(drawn).item()
    u = torch.rand((), generator=generator).item()
    if options.weighting == "mode":
        return 1 - u - options.mode_scale * (math.cos(math.pi * u / 2) ** 2 - 1 + u)
    return u
