from __future__ import annotations

import pytest
import torch

from engine.schema.objective import Objective as Options
from engine.training.noise import draw_noise, noise_keys, quantile_timesteps, timestep_range


def options(**values: object) -> Options:
    return Options(**values)  # pyright: ignore[reportArgumentType]


def keys(n: int) -> tuple[int, ...]:
    return noise_keys(42, 1, [(f"{i}.png", 0) for i in range(n)])


def latents(b: int = 4, size: int = 16) -> torch.Tensor:
    return torch.randn(b, 4, size, size, generator=torch.Generator().manual_seed(0))


def test_keys_differ_in_every_part() -> None:
    sample = [("a.png", 0)]
    several = {
        noise_keys(1, 1, sample), noise_keys(2, 1, sample), noise_keys(1, 2, sample),
        noise_keys(1, "validation", sample), noise_keys(1, 1, [("b.png", 0)]),
        noise_keys(1, 1, [("a.png", 1)]),
    }  # fmt: skip
    assert len(several) == 6
    assert noise_keys(1, 1, sample) == noise_keys(1, 1, sample)


def test_a_samples_noise_does_not_depend_on_its_batch() -> None:
    chosen = options(noise_offset=0.1, noise_offset_random=True, multires_iterations=3,
                     input_perturbation=0.1, input_perturbation_random=True, mask_off_share=0.5,
                     adaptive_noise_scale=0.1)  # fmt: skip
    whole = draw_noise(latents(), keys(4), chosen)
    for i in range(4):
        alone = draw_noise(latents()[i : i + 1], keys(4)[i : i + 1], chosen)
        for name in ("target", "seen", "times", "masked"):
            assert torch.equal(getattr(alone, name)[0], getattr(whole, name)[i]), name


def test_global_random_state_neither_matters_nor_changes() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw_noise(latents(), keys(4), options())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(draw_noise(latents(), keys(4), options()).target, first.target)


def test_later_options_leave_timesteps_alone() -> None:
    plain = draw_noise(latents(), keys(4), options())
    rich = draw_noise(latents(), keys(4), options(noise_offset=0.1, multires_iterations=2))
    assert torch.equal(plain.times, rich.times)
    assert not torch.equal(plain.target, rich.target)
    assert torch.equal(plain.target, plain.seen)


def test_keys_and_samples_must_match() -> None:
    with pytest.raises(ValueError, match="4 samples"):
        draw_noise(latents(), keys(3), options())


def test_timesteps_stay_in_their_range() -> None:
    """training-sd-flux 9, check 19."""
    small = torch.zeros(4000, 1, 1, 1)
    every = draw_noise(small, range(4000), options()).times
    assert every.min() >= 0
    assert every.max() == 999  # 4000 draws of 1000 miss it once in 50 keys; these do not
    some = draw_noise(small, range(4000), options(timestep_min=200, timestep_max=400)).times
    assert (some.min(), some.max()) == (200, 399)
    assert abs(some.float().mean() - 299.5) < 3


def test_timesteps_can_be_given() -> None:
    given = torch.tensor([1, 2, 3, 4])
    noise = draw_noise(latents(), keys(4), options(), given)
    assert torch.equal(noise.times, given)
    assert torch.equal(noise.target, draw_noise(latents(), keys(4), options()).target)


def test_quantiles_stand_for_the_range() -> None:
    assert timestep_range(options()) == (0, 1000)
    assert quantile_timesteps(options(), 4) == (125, 375, 625, 875)
    assert quantile_timesteps(options(timestep_min=200, timestep_max=400), 2) == (250, 350)


# Options; zero latents and many samples make the added part measurable.


def offset_of(chosen: Options, level: float = 0.0) -> torch.Tensor:
    """What the option adds to each channel (b, c) of latents at a constant level."""
    flat = torch.full((4000, 4, 2, 2), level)
    with_it = draw_noise(flat, range(4000), chosen).target
    without = draw_noise(flat, range(4000), options()).target
    added = with_it - without
    assert torch.allclose(added, added[..., :1, :1].expand_as(added), atol=1e-6)
    return added[..., 0, 0]


def test_noise_offset_shifts_whole_channels() -> None:
    """training-sd-flux 9, check 18."""
    added = offset_of(options(noise_offset=0.1))
    assert added.std() == pytest.approx(0.1, abs=0.003)
    assert added.mean() == pytest.approx(0, abs=0.003)


def test_adaptive_offset_follows_brightness() -> None:
    """training-sd-flux 9, check 18: 0.1 + 0.2·0.5."""
    added = offset_of(options(noise_offset=0.1, adaptive_noise_scale=0.2), level=-0.5)
    assert added.std() == pytest.approx(0.2, abs=0.005)
    gone = offset_of(options(noise_offset=0.1, adaptive_noise_scale=-1.0), level=0.5)
    assert gone.abs().max() < 1e-6


def test_random_offset_strength_lies_between_nothing_and_the_value() -> None:
    added = offset_of(options(noise_offset=0.1, noise_offset_random=True))
    assert added.std() == pytest.approx(0.1 / 3**0.5, abs=0.003)  # √E[u²] of U(0, 1)


def test_multires_noise_has_deviation_one_in_every_sample() -> None:
    """training-sd-flux 9, check 18."""
    chosen = options(multires_iterations=6, multires_discount=0.8)
    noise = draw_noise(latents(8, 32), keys(8), chosen).target
    assert torch.allclose(noise.std(dim=(1, 2, 3)), torch.ones(8), atol=1e-5)
    plain = draw_noise(latents(8, 32), keys(8), options()).target

    def neighbors(x: torch.Tensor) -> float:
        return (x[..., 1:] * x[..., :-1]).mean().item()

    assert abs(neighbors(plain)) < 0.03
    assert neighbors(noise) > 0.15


def test_multires_stops_at_the_smallest_size() -> None:
    chosen = options(multires_iterations=10)
    noise = draw_noise(latents(2, 2), keys(2), chosen).target
    assert noise.isfinite().all()


def test_perturbation_is_seen_but_not_asked_for() -> None:
    noise = draw_noise(latents(8, 32), keys(8), options(input_perturbation=0.1))
    plain = draw_noise(latents(8, 32), keys(8), options())
    assert torch.equal(noise.target, plain.target)
    assert (noise.seen - noise.target).std() == pytest.approx(0.1, abs=0.002)


def test_masks_are_ignored_in_the_given_share() -> None:
    small = torch.zeros(4000, 1, 1, 1)
    masked = draw_noise(small, range(4000), options(mask_off_share=0.1)).masked
    assert (~masked).float().mean() == pytest.approx(0.1, abs=0.015)
    assert draw_noise(small, range(4000), options()).masked.all()
