"""The noise levels and the steps of flow previews, against the libraries' scheduler."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from engine.architectures.architecture import PreviewRequest
from engine.architectures.running.flow_preview import (
    denoise,
    even_levels,
    guided,
    noise_levels,
    picture_shift,
    start_noise,
)


def test_the_shift_grows_with_the_picture() -> None:
    """training-sd-flux 9, check 20: μ is 0.63 at 512², 1.15 at 1024²."""
    assert math.log(picture_shift(1024)) == pytest.approx(0.63)
    assert math.log(picture_shift(4096)) == pytest.approx(1.15)
    assert math.log(picture_shift(3840)) == pytest.approx(1.10667, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_a_dynamic_shift_is_the_shift_of_the_same_levels(steps: int) -> None:
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    theirs.set_timesteps(sigmas=even_levels(steps), mu=1.15)
    ours = noise_levels(steps, math.exp(1.15), even_levels(steps))
    assert torch.allclose(ours, torch.as_tensor(theirs.sigmas), atol=1e-6)
    assert (ours[0], ours[-1]) == (1, 0)


def test_without_levels_they_are_the_schedulers_own() -> None:
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(28)
    assert torch.equal(noise_levels(28, 3.0), torch.as_tensor(theirs.sigmas))


def test_steps_follow_the_flow_to_the_picture() -> None:
    """A model that knows the picture is led there, whatever the levels; told are all steps."""
    picture, noise = torch.full((1, 4, 2, 2), 3.0), torch.randn(1, 4, 2, 2)
    seen: list[float] = []
    told: list[tuple[int, int]] = []

    def predict(latents: Tensor, times: Tensor) -> Tensor:
        assert torch.allclose(latents, times * noise + (1 - times) * picture, atol=1e-5)
        seen.extend(times.tolist())
        return noise - picture

    sigmas = noise_levels(3, 2.0, even_levels(3))
    end = denoise(predict, noise, sigmas, lambda done, total: told.append((done, total)))
    assert torch.allclose(end, picture, atol=1e-5)
    assert seen == sigmas[:-1].tolist()
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_guidance_goes_away_from_the_negative_prompt() -> None:
    calls: list[str] = []

    def of(name: str, value: float) -> object:
        def predict(latents: Tensor, times: Tensor) -> Tensor:
            calls.append(name)
            return torch.full_like(latents, value)

        return predict

    wanted, unwanted = of("wanted", 2.0), of("unwanted", 1.0)
    latents, times = torch.zeros(1, 1, 2, 2), torch.ones(1)
    both = guided(wanted, unwanted, 4.0)  # pyright: ignore[reportArgumentType]
    assert both(latents, times).unique().tolist() == [5.0]
    assert calls == ["wanted", "unwanted"]
    assert guided(wanted, unwanted, 1.0) is wanted  # pyright: ignore[reportArgumentType]


def test_noise_is_the_seeds_alone_in_whole_patches() -> None:
    before = torch.get_rng_state()
    request = PreviewRequest(width=100, height=40, seed=3)
    noise = start_noise(request, 16)
    assert noise.shape == (1, 16, 8, 12)
    assert torch.equal(noise, start_noise(request, 16))
    assert torch.equal(torch.get_rng_state(), before)
