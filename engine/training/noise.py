"""Noise and timesteps of a micro-batch: a pure function of each sample's key (spec: data-loop 2.4).

Every sample draws from its own CPU generator, always in the same order (noise, timestep, mask,
offset, multires, perturbation), so that neither batch, device nor a later option changes a number
drawn before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.plan.keys import key
from engine.schema.objective import Objective as Options
from engine.training.levels import TRAIN_TIMESTEPS, draw_level


@dataclass(frozen=True)
class Noise:
    """What was drawn for a micro-batch, on the latents' device.

    Attributes:
        target: (b, c, h, w) float32, offset and multires included; the loss is about this.
        seen: (b, c, h, w) float32, mixed into the model's input; with input perturbation it is more
            than `target`.
        times: (b,) int64 timesteps of SD's schedule, or float32 noise levels σ of a flow model.
        masked: (b,) bool; False where this sample's mask is ignored.
    """

    target: Tensor
    seen: Tensor
    times: Tensor
    masked: Tensor


def noise_keys(seed: int, epoch: int | str, samples: Sequence[tuple[str, int]]) -> tuple[int, ...]:
    """The keys of samples given as (relative path, repeat); epoch "validation" is for measuring."""
    return tuple(key(seed, "noise", epoch, path, repeat) for path, repeat in samples)


def timestep_range(options: Options) -> tuple[int, int]:
    """Lowest timestep, and the one after the highest."""
    low = options.timestep_min or 0
    return low, TRAIN_TIMESTEPS if options.timestep_max is None else options.timestep_max


def quantile_timesteps(options: Options, count: int) -> tuple[int, ...]:
    """`count` fixed timesteps that stand for the training distribution, in rising order."""
    low, high = timestep_range(options)
    return tuple(low + int((high - low) * (i + 0.5) / count) for i in range(count))


def draw_noise(
    latents: Tensor,
    keys: Sequence[int],
    options: Options,
    times: Tensor | None = None,
    *,
    flow: bool = False,
) -> Noise:
    """Draw for scaled latents (b, c, h, w), one key a sample; times (b,) may be given."""
    if len(keys) != len(latents):
        raise ValueError(f"{len(latents)} samples need as many keys, not {len(keys)}")
    drawn = [
        _draw_one(sample, torch.Generator().manual_seed(each), options, flow)
        for sample, each in zip(latents.float().cpu(), keys, strict=True)
    ]
    device = latents.device
    return Noise(
        target=torch.stack([d[0] for d in drawn]).to(device),
        seen=torch.stack([d[1] for d in drawn]).to(device),
        times=torch.stack([d[2] for d in drawn]).to(device) if times is None else times,
        masked=torch.stack([d[3] for d in drawn]).to(device),
    )


def _draw_one(
    latent: Tensor, generator: torch.Generator, options: Options, flow: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Target noise, seen noise, time and mask switch of one latent (c, h, w)."""
    noise = torch.randn(latent.shape, generator=generator)
    if flow:
        time = torch.tensor(draw_level(options, (latent.shape[1], latent.shape[2]), generator))
    else:
        time = torch.randint(*timestep_range(options), (), generator=generator)
    masked = torch.rand((), generator=generator) >= options.mask_off_share
    if options.noise_offset:
        noise = noise + _offset(latent, generator, options)
    if options.multires_iterations:
        noise = _multires(noise, generator, options)
    seen = noise
    if options.input_perturbation:
        strength = options.input_perturbation
        if options.input_perturbation_random:
            strength = strength * torch.rand((), generator=generator)
        seen = noise + strength * torch.randn(latent.shape, generator=generator)
    return noise, seen, time, masked


def _offset(latent: Tensor, generator: torch.Generator, options: Options) -> Tensor:
    """One shift a channel (c, 1, 1) (spec: training-sd-flux 4.1)."""
    strength = torch.tensor(options.noise_offset or 0.0)
    if options.noise_offset_random:
        strength = strength * torch.rand((), generator=generator)
    if options.adaptive_noise_scale:
        brightness = latent.mean(dim=(1, 2), keepdim=True).abs()
        strength = (strength + options.adaptive_noise_scale * brightness).clamp_min(0)
    return strength * torch.randn(latent.shape[0], 1, 1, generator=generator)


def _multires(noise: Tensor, generator: torch.Generator, options: Options) -> Tensor:
    """Add ever coarser noise, then bring the sample back to deviation 1."""
    channels, height, width = noise.shape
    for i in range(options.multires_iterations or 0):
        shrink = (2 + 2 * torch.rand((), generator=generator).item()) ** i
        size = max(1, int(height / shrink)), max(1, int(width / shrink))
        coarse = torch.randn(1, channels, *size, generator=generator)
        enlarged = functional.interpolate(coarse, size=(height, width), mode="bilinear")
        noise = noise + enlarged[0] * options.multires_discount**i
        if 1 in size:
            break
    return noise / noise.std()


def per_sample(values: Tensor) -> Tensor:
    """(b,) → (b, 1, 1, 1)."""
    return values[:, None, None, None]
