"""Which noise levels are drawn how often (training-sd-flux 4.2; training-dit 1.1)."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.training_utils import compute_density_for_timestep_sampling

from engine.schema.architectures import ARCHITECTURES, FLOW
from engine.schema.objective import Objective as Options
from engine.training.levels import (
    LOWEST,
    draw_level,
    level_range,
    quantile_levels,
    shift_for,
    shifted,
    tokens_of,
)
from engine.training.noise import draw_noise

LATENT = (128, 128)  # of a picture of 1024 pixels at 8 a side
MANY = 8000


def options(**values: Any) -> Options:
    return Options(**values)


@cache
def drawn(count: int = MANY, latent: tuple[int, int] = LATENT, **values: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    chosen = options(**values)
    return torch.tensor([draw_level(chosen, latent, generator) for _ in range(count)])


def test_shift_by_size() -> None:
    """training-sd-flux 9, check 20: μ and where σ 0.5 goes; equal to the library's rule."""
    assert math.log(shift_for(1024)) == pytest.approx(0.63)
    assert math.log(shift_for(4096)) == pytest.approx(1.15)
    assert math.log(shift_for(3840)) == pytest.approx(1.10667, abs=1e-5)
    assert shifted(0.5, shift_for(4096)) == pytest.approx(0.75951, abs=1e-5)
    for tokens in (256, 1000, 4096, 9216):
        assert math.log(shift_for(tokens)) == pytest.approx(calculate_shift(tokens))


@pytest.mark.parametrize(
    ("side", "shift"), [(512, 1.88), (768, 2.33), (1024, 3.16), (1536, 7.5), (2048, 25.3)]
)
def test_shift_of_a_picture(side: int, shift: float) -> None:
    """training-dit 7, check 13, and the table of 1.1."""
    assert shift_for(tokens_of((side // 8, side // 8))) == pytest.approx(shift, rel=0.005)


def test_hunyuans_tokens_are_halved_too() -> None:
    """training-dit 1.1: 2048 px at 32 a side count 1024 tokens."""
    assert tokens_of((64, 64)) == 1024
    assert tokens_of((63, 65)) == 31 * 32


def test_the_shift_is_the_librarys() -> None:
    """Check 21: 3 maps 0.5 to 0.75. training-dit 7, check 13: 0.001 at 5 is 0.00498."""
    assert shifted(0.5, 3) == pytest.approx(0.75)
    assert shifted(0.001, 5) == pytest.approx(0.00498, abs=5e-6)
    for shift in (1.0, 3.0, 5.0):
        table: Any = FlowMatchEulerDiscreteScheduler(shift=shift).sigmas
        ours = torch.tensor([shifted((1000 - i) / 1000, shift) for i in range(1000)])
        assert torch.allclose(table, ours, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "median", "mean", "deviation"),
    [
        ({"timestep_sampling": "uniform"}, 0.5, 0.5, 12**-0.5),
        ({"timestep_sampling": "uniform", "flow_shift": 9.0}, 0.5, 0.5, 12**-0.5),
        ({"timestep_sampling": "sigmoid"}, 0.5, 0.5, 0.208),
        ({"timestep_sampling": "sigmoid", "flow_shift": 9.0}, 0.5, 0.5, 0.208),
        ({"timestep_sampling": "shift", "flow_shift": 6.0}, 0.857, None, None),
        ({"timestep_sampling": "flux_shift"}, 0.7595, None, None),
        ({"timestep_sampling": "nextdit_shift"}, 0.7595, None, None),
        ({"timestep_sampling": "sigma", "flow_shift": 5.0}, 0.833, 0.747, None),
        ({"timestep_sampling": "sigma", "flow_shift": 1.0, "weighting": "logit_normal"},
         0.5, 0.5, 0.208),
    ],
    ids=str,
)  # fmt: skip
def test_samplers(
    values: dict[str, Any], median: float, mean: float | None, deviation: float | None
) -> None:
    """training-dit 7, check 13, at the accuracy of 8000 draws."""
    levels = drawn(**values)
    assert levels.median() == pytest.approx(median, abs=0.012)
    if mean is not None:
        assert levels.mean() == pytest.approx(mean, abs=0.01)
    if deviation is not None:
        assert levels.std() == pytest.approx(deviation, abs=0.005)


def test_the_ends_of_uniform_and_sigmoid_sampling_differ_under_one_shift() -> None:
    """Lumina's own sampling reaches nearly clean levels more often than FLUX's."""
    by_sigmoid = (drawn(timestep_sampling="flux_shift") < 0.2).float().mean()
    by_uniform = (drawn(timestep_sampling="nextdit_shift") < 0.2).float().mean()
    expected = 0.2 / (3.1582 - 2.1582 * 0.2)  # the level that the shift brings to 0.2
    assert by_uniform == pytest.approx(expected, abs=0.01)
    assert by_sigmoid < 0.02


@pytest.mark.parametrize("scheme", ["logit_normal", "mode", "none", "uniform", "cosmap"])
def test_densities_are_the_librarys(scheme: Any) -> None:
    """Quantiles of ours and of the library's; both have u = share of noise at these settings."""
    torch.manual_seed(0)
    library = compute_density_for_timestep_sampling(
        scheme, batch_size=20_000, logit_mean=0.0, logit_std=1.0, mode_scale=1.29
    )
    ours = drawn(timestep_sampling="sigma", weighting=scheme, flow_shift=1.0)
    at = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    assert torch.allclose(library.quantile(at), ours.quantile(at), atol=0.025)


def test_a_higher_logit_mean_is_noisier() -> None:
    """Check 21: one meaning on every architecture."""
    plain = {"timestep_sampling": "sigma", "weighting": "logit_normal", "flow_shift": 1.0}
    raised = drawn(**plain, logit_mean=1.0)
    assert raised.median() == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item(), abs=0.012)
    assert drawn(**plain, logit_std=0.3).std() < 0.1


def test_mode_stays_in_range_at_every_scale() -> None:
    """Check 21: u = 0 gives pure noise and nothing crashes."""
    for scale in (-1.0, 0.0, 1.75):
        levels = drawn(500, timestep_sampling="sigma", weighting="mode", mode_scale=scale)
        assert levels.min() >= LOWEST
        assert levels.max() <= 1
    middle = drawn(timestep_sampling="sigma", weighting="mode", flow_shift=1.0)
    assert ((middle > 0.25) & (middle < 0.75)).float().mean() > 0.6


def test_a_wider_sigmoid_spreads_to_both_ends() -> None:
    wide = drawn(timestep_sampling="sigmoid", sigmoid_scale=2.0)
    assert wide.std() > 0.29
    assert wide.mean() == pytest.approx(0.5, abs=0.012)


@pytest.mark.parametrize("architecture", FLOW)
def test_a_larger_shift_is_noisier_on_every_architecture(architecture: str) -> None:
    """training-dit 7, check 12; with each architecture's own sampling where that has a shift."""
    defaults = ARCHITECTURES[architecture].defaults
    own = defaults.get("objective.timestep_sampling", "shift")
    sampling = own if own in ("shift", "sigma") else "shift"
    low = drawn(2000, timestep_sampling=sampling, flow_shift=1.0)
    high = drawn(2000, timestep_sampling=sampling, flow_shift=6.0)
    assert high.mean() > low.mean() + 0.15


@pytest.mark.parametrize("sampling", ["uniform", "sigmoid", "shift", "flux_shift", "sigma"])
def test_levels_stay_in_the_jobs_range(sampling: str) -> None:
    """training-dit 1.1: lowest and highest timesteps are honored in σ·1000, with any sampling."""
    limits = {"timestep_min": 200, "timestep_max": 400}
    levels = drawn(1000, timestep_sampling=sampling, **limits)
    assert levels.min() >= 0.2
    assert levels.max() <= 0.4
    assert levels.std() > 0.03  # redrawn, and not heaped up at the ends
    assert ((levels == 0.2) | (levels == 0.4)).sum() == 0


def test_a_range_that_is_hardly_ever_hit_is_drawn_evenly() -> None:
    levels = drawn(200, timestep_sampling="shift", flow_shift=100.0, timestep_max=101)
    assert levels.min() < 0.02
    assert levels.max() > 0.08
    assert levels.mean() == pytest.approx(0.051, abs=0.008)


def test_no_level_is_clean() -> None:
    """At σ = 0 a weight by 1/σ² has no end."""
    assert level_range(options()) == (LOWEST, 1.0)
    assert drawn(timestep_sampling="uniform").min() >= LOWEST


def test_quantiles_stand_for_the_distribution() -> None:
    levels = quantile_levels(options(timestep_sampling="flux_shift"), LATENT, 4)
    assert list(levels) == sorted(levels)
    ours = drawn(timestep_sampling="flux_shift").quantile(torch.tensor([1, 3, 5, 7]) / 8) * 1000
    assert torch.allclose(torch.tensor(levels).float(), ours, atol=15)
    again = quantile_levels(options(timestep_sampling="flux_shift"), LATENT, 4)
    assert levels == again
    smaller = quantile_levels(options(timestep_sampling="flux_shift"), (64, 64), 4)
    assert all(a < b for a, b in zip(smaller, levels, strict=True))


def test_each_sample_draws_its_own_level_by_its_own_size() -> None:
    """A level depends on the sample's key and the size of its picture, and on nothing else."""
    chosen = options(timestep_sampling="flux_shift")
    small, large = torch.zeros(3, 16, 16, 16), torch.zeros(3, 16, 32, 32)
    keys = (5, 6, 7)
    times = draw_noise(small, keys, chosen, flow=True).times
    assert times.dtype == torch.float32
    assert len(set(times.tolist())) == 3
    assert torch.equal(times, draw_noise(small, keys, chosen, flow=True).times)
    alone = draw_noise(small[1:2], keys[1:2], chosen, flow=True).times
    assert torch.equal(alone, times[1:2])
    assert not torch.equal(times, draw_noise(large, keys, chosen, flow=True).times)
