"""The straight path between picture and noise, its target, loss and weights.

training-sd-flux 4.2, 4.3; training-dit 1.2.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.training_utils import compute_loss_weighting_for_sd3
from torch import Tensor

from engine.architectures.running.flow_preview import denoise
from engine.schema.objective import Objective as Options
from engine.training.flow import Flow
from engine.training.noise import Noise, draw_noise, per_sample
from engine.training.objective import Objective

SHAPE = (16, 8, 12)


def options(**values: Any) -> Options:
    return Options(**values)


def noise_at(levels: list[float]) -> Noise:
    target = torch.randn(len(levels), *SHAPE, generator=torch.Generator().manual_seed(5))
    masked = torch.ones(len(levels), dtype=torch.bool)
    return Noise(target, target, torch.tensor(levels), masked)


def latents_of(count: int) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(6))


class Exact:
    """Knows picture and noise, and answers n − x; remembers the levels it was told."""

    def __init__(self, latents: Tensor, noise: Tensor, error: float = 0.0) -> None:
        self.velocity = noise - latents + error
        self.told: list[Tensor] = []

    def predict(self, noisy: Tensor, times: Tensor, text: Any) -> Tensor:
        self.told.append(times)
        return self.velocity


def loss(noise: Noise, error: float, **values: Any) -> Tensor:
    latents = latents_of(len(noise.times))
    model: Any = Exact(latents, noise.target, error)
    text = {"states": torch.zeros(1)}
    return Objective(options(**values), "flow").loss_each(model, latents, text, noise)


def test_the_path_goes_straight_from_picture_to_noise() -> None:
    noise, latents = noise_at([0.0, 0.25, 1.0]), latents_of(3)
    mixed = Flow(options()).noisy(latents, noise)
    assert torch.equal(mixed[0], latents[0])
    assert torch.allclose(mixed[1], 0.75 * latents[1] + 0.25 * noise.target[1])
    assert torch.equal(mixed[2], noise.target[2])
    assert torch.equal(Flow(options()).target(latents, noise), noise.target - latents)


def test_levels_and_mixing_are_float32_whatever_the_latents_are() -> None:
    """training-dit 1.1: in bfloat16 the model would be told a level up to .004 off."""
    latents = latents_of(4).to(torch.bfloat16)
    noise = draw_noise(latents, range(4), options(), flow=True)
    flow = Flow(options())
    assert noise.times.dtype == torch.float32
    assert not torch.equal(noise.times, noise.times.to(torch.bfloat16).float())
    assert flow.noisy(latents, noise).dtype == torch.float32
    assert flow.target(latents, noise).dtype == torch.float32


@pytest.mark.parametrize("level", [0.001, 0.3, 0.9, 1.0])
def test_the_exact_velocity_has_no_loss_and_leads_to_the_picture(level: float) -> None:
    """training-dit 7, check 12: one Euler step from any σ to 0 returns x."""
    noise, latents = noise_at([level, level]), latents_of(2)
    assert loss(noise, 0.0).tolist() == [0, 0]
    model = Exact(latents, noise.target)
    mixed = Flow(options()).noisy(latents, noise)
    picture = denoise(
        lambda x, times: model.predict(x, times, None), mixed, torch.tensor([level, 0.0])
    )
    assert torch.allclose(picture, latents, atol=1e-6)
    assert model.told[0].tolist() == pytest.approx([level] * 2)


def test_a_model_is_told_the_share_of_noise() -> None:
    noise, latents = noise_at([0.1, 0.9]), latents_of(2)
    model: Any = Exact(latents, noise.target)
    Objective(options(), "flow").loss_each(model, latents, {"states": torch.zeros(1)}, noise)
    assert torch.equal(model.told[0], torch.tensor([0.1, 0.9]))


def test_the_plain_loss_is_the_same_at_every_level() -> None:
    assert loss(noise_at([0.01, 0.5, 1.0]), 0.5).tolist() == pytest.approx([0.25] * 3, rel=1e-5)


def test_the_loss_about_the_picture_counts_by_the_square_of_the_level() -> None:
    """training-sd-flux 9, check 22: x0 loss equals σ²·flow loss; sigma_sqrt undoes it."""
    levels = [0.1, 0.5, 0.9]
    noise, latents = noise_at(levels), latents_of(3)
    about_x0 = loss(noise, 0.5, prediction_scaling="x0")
    assert about_x0.tolist() == pytest.approx([0.25 * s * s for s in levels], rel=1e-5)
    both = loss(noise, 0.5, prediction_scaling="x0", weighting="sigma_sqrt")
    assert torch.allclose(both, loss(noise, 0.5), rtol=1e-5)
    # The same from its definition: the picture that the prediction leads to, against the picture.
    mixed = Flow(options()).noisy(latents, noise)
    led_to = mixed - per_sample(noise.times) * (noise.target - latents + 0.5)
    by_definition = (led_to - latents).square().mean(dim=(1, 2, 3))
    assert torch.allclose(about_x0, by_definition, rtol=1e-4)


def test_weights() -> None:
    """training-sd-flux 9, check 22."""
    cosmap = Flow(options(weighting="cosmap")).weight(torch.tensor([0.5]))
    assert cosmap.item() == pytest.approx(1.27324, abs=1e-5)
    root = Flow(options(weighting="sigma_sqrt")).weight(torch.tensor([0.1]))
    assert root.item() == pytest.approx(100, rel=1e-5)


@pytest.mark.parametrize("scheme", ["sigma_sqrt", "cosmap", "logit_normal", "mode", "none"])
def test_weights_are_the_librarys(scheme: Any) -> None:
    levels = torch.tensor([0.01, 0.2, 0.5, 0.99])
    ours = Flow(options(weighting=scheme)).weight(levels)
    assert torch.allclose(ours, compute_loss_weighting_for_sd3(scheme, levels).float(), rtol=1e-5)


def test_a_weight_has_an_end() -> None:
    """training-sd-flux 4.2: σ = 0 would weigh without end."""
    weight = Flow(options(weighting="sigma_sqrt")).weight(torch.tensor([0.0, 1e-9]))
    assert weight.isfinite().all()
    assert weight.max() == pytest.approx(1e6, rel=1e-4)


def test_weights_act_with_any_sampling() -> None:
    """training-dit 1.1: they apply whenever chosen."""
    for sampling in ("uniform", "shift", "flux_shift", "sigma"):
        heavy = loss(noise_at([0.1]), 0.5, weighting="sigma_sqrt", timestep_sampling=sampling)
        assert heavy.item() == pytest.approx(25, rel=1e-4)


def test_perturbed_noise_is_seen_and_clean_noise_is_the_target() -> None:
    """training-dit 1.1: the input has n + γ·ξ, the target keeps n."""
    latents = latents_of(4)
    noise = draw_noise(latents, range(4), options(input_perturbation=0.1), flow=True)
    plain = draw_noise(latents, range(4), options(), flow=True)
    assert torch.equal(noise.times, plain.times)
    flow = Flow(options())
    assert torch.equal(flow.target(latents, noise), flow.target(latents, plain))
    extra = flow.noisy(latents, noise) - flow.noisy(latents, plain)
    expected = 0.1 * noise.times[:, None].expand(-1, extra[0].numel()).flatten()
    assert extra.square().mean().sqrt() == pytest.approx(
        expected.square().mean().sqrt().item(), rel=0.05
    )


@pytest.mark.parametrize(
    ("schedule", "bends"),
    [("constant", [0.1, 0.1, 0.1]), ("exponential", [1.0, 0.1**0.5, 0.1]),
     ("snr", [1.0, 0.9 * 0.25 + 0.1, 0.1])],
)  # fmt: skip
def test_bend_of_the_huber_loss(schedule: Any, bends: list[float]) -> None:
    """Exponential with t = 1000σ; snr with the SNR of the straight path, ((1−σ)/σ)²."""
    flow = Flow(options(loss="huber", huber_schedule=schedule, huber_c=0.1))
    assert flow.huber_bend(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx(bends)


def test_huber_losses() -> None:
    """training-sd-flux 9, check 17: d = 1, c = 0.1."""
    values = {"huber_schedule": "constant", "huber_c": 0.1}
    assert loss(noise_at([0.5]), 1.0, loss="huber", **values).item() == pytest.approx(
        0.180998, rel=1e-4
    )
    smooth = loss(noise_at([0.5]), 1.0, loss="smooth_l1", **values)
    assert smooth.item() == pytest.approx(1.809975, rel=1e-4)


def test_half_a_mask() -> None:
    """training-sd-flux 9, check 32."""
    latents, noise = latents_of(1), noise_at([0.5])
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., :48] = 1
    model: Any = Exact(latents, noise.target, 1.0)
    for normalize, expected in ((False, 0.5), (True, 1.0)):
        chosen = Objective(options(mask_normalize=normalize), "flow")
        each = chosen.loss_each(model, latents, {"states": torch.zeros(1)}, noise, mask=mask)
        assert each.item() == pytest.approx(expected, rel=1e-5)
