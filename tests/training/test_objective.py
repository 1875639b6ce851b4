from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from engine.architectures.architecture import Prediction
from engine.schema.objective import Objective as Options
from engine.schema.problem import JobError
from engine.training.discrete import alphas_cumprod
from engine.training.noise import Noise
from engine.training.objective import Objective, Prior, check_objective


def objective(prediction: Prediction = "epsilon", zero: bool = False, **values: Any) -> Any:
    return Objective(Options(**values), prediction, zero_terminal_snr=zero)


def noise_at(timesteps: list[int], shape: tuple[int, ...] = (4, 8, 8)) -> Noise:
    generator = torch.Generator().manual_seed(5)
    target = torch.randn(len(timesteps), *shape, generator=generator)
    steps = torch.tensor(timesteps)
    return Noise(target, target, steps, torch.ones(len(timesteps), dtype=torch.bool))


def latents_like(noise: Noise) -> Tensor:
    return torch.randn(noise.target.shape, generator=torch.Generator().manual_seed(6))


class FakeModel:
    """Answers with what it was told to, and remembers what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.adapter = True
        self.asked: list[tuple[int, bool, bool]] = []

    def predict(self, noisy: Tensor, timesteps: Tensor, text: Any) -> Tensor:
        self.asked.append((len(noisy), self.adapter, torch.is_grad_enabled()))
        return self.answer(noisy, timesteps, text, self.adapter)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        self.adapter = False
        yield
        self.adapter = True


def loss(chosen: Objective, answer: Any, noise: Noise, **extra: Any) -> Tensor:
    model: Any = FakeModel(answer)
    return chosen.loss_each(model, latents_like(noise), {"states": torch.zeros(1)}, noise, **extra)


# The schedule


def test_snr_of_sds_schedule() -> None:
    """training-sd-flux 9, check 14."""
    snr = objective().process.snr
    assert snr[0].item() == pytest.approx(1175.44, rel=1e-4)
    assert snr[500].item() == pytest.approx(0.38185, rel=1e-4)
    assert snr[999].item() == pytest.approx(0.0046819, rel=1e-4)


def test_zero_terminal_schedule() -> None:
    """training-sd-flux 9, check 14."""
    alphas = alphas_cumprod(True)
    assert alphas[999] == 0
    assert alphas[0].item() == pytest.approx(0.99915, abs=1e-5)
    assert alphas[500].item() == pytest.approx(0.24102, abs=1e-5)
    assert torch.equal(objective("v", zero_terminal_snr=True).process.alphas, alphas)
    assert torch.equal(objective("v", zero=True).process.alphas, alphas)


@pytest.mark.parametrize("zero", [False, True])
def test_mixing_and_velocity_are_the_librarys(zero: bool) -> None:
    noise = noise_at([0, 500, 999])
    latents = latents_like(noise)
    library = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        rescale_betas_zero_snr=zero,
    )  # fmt: skip
    chosen = objective("v", zero)
    steps: Any = noise.times
    mixed = library.add_noise(latents, noise.target, steps)
    assert torch.allclose(chosen.process.noisy(latents, noise), mixed, atol=1e-6)
    velocity = library.get_velocity(latents, noise.target, steps)
    assert torch.allclose(chosen.process.target(latents, noise), velocity, atol=1e-6)


def test_pure_noise_at_the_end_of_a_zero_terminal_schedule() -> None:
    """training-sd-flux 9, check 29."""
    noise = noise_at([999])
    latents = latents_like(noise)
    chosen = objective("v", zero=True)
    assert torch.equal(chosen.process.noisy(latents, noise), noise.target)
    assert torch.equal(chosen.process.target(latents, noise), -latents)


def test_perturbed_noise_is_mixed_and_clean_noise_is_the_target() -> None:
    base = noise_at([300])
    noise = Noise(base.target, base.target + 1, base.times, base.masked)
    latents = latents_like(noise)
    chosen = objective()
    shift = (1 - chosen.process.alphas[300]).sqrt()
    difference = chosen.process.noisy(latents, noise) - chosen.process.noisy(latents, base)
    assert torch.allclose(difference, shift.expand_as(difference), atol=1e-6)
    assert torch.equal(chosen.process.target(latents, noise), base.target)


# Weights: the table is replaced by the SNRs that the checks name.


def weights(prediction: Prediction, snr: list[float], **values: Any) -> list[float]:
    chosen = objective(prediction, **values)
    chosen.process.snr = torch.tensor(snr)
    return chosen.process.weight(torch.arange(len(snr))).tolist()


def test_min_snr() -> None:
    """training-sd-flux 9, check 15."""
    assert weights("epsilon", [25, 0.1], min_snr_gamma=5) == pytest.approx([0.2, 1])
    v = weights("v", [25, 0.1, 0], min_snr_gamma=5)
    assert v == pytest.approx([5 / 26, 0.090909, 0], rel=1e-4)


def test_debiased_and_the_v_weightings() -> None:
    """training-sd-flux 9, check 16."""
    assert weights("epsilon", [25, 4000], debiased=True) == pytest.approx([0.2, 1000**-0.5])
    assert weights("v", [25], debiased=True) == pytest.approx([1 / 26])
    assert weights("v", [25], v_loss_like_noise=True) == pytest.approx([0.96154], rel=1e-4)
    assert weights("epsilon", [25], v_like_loss=0.5) == pytest.approx([1.52])


def test_weightings_multiply() -> None:
    both = weights("epsilon", [25], min_snr_gamma=5, debiased=True)
    assert both == pytest.approx([0.2 * 0.2])
    assert weights("epsilon", [25, 0.1]) == [1, 1]


def test_weights_act_on_the_loss() -> None:
    noise = noise_at([0, 500])
    plain = loss(objective(), lambda x, *_: torch.zeros_like(x), noise)
    weighted = loss(objective(min_snr_gamma=5), lambda x, *_: torch.zeros_like(x), noise)
    assert torch.allclose(weighted / plain, torch.tensor([5 / 1175.44, 1.0]), rtol=1e-4)


# Losses


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("l2", 4.0), ("l1", 2.0), ("huber", 0.380499), ("smooth_l1", 3.804994)],
)
def test_element_losses_at_a_difference_of_two(kind: str, expected: float) -> None:
    chosen = objective(loss=kind, huber_schedule="constant", huber_c=0.1)
    found = chosen.element_loss(
        torch.full((1, 1, 1, 1), 3.0), torch.ones(1, 1, 1, 1), torch.tensor([7])
    )
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_huber_reference_values() -> None:
    """training-sd-flux 9, check 17."""
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    for kind, expected in (("huber", 0.180998), ("smooth_l1", 1.809975)):
        chosen = objective(loss=kind, huber_schedule="constant", huber_c=0.1)
        found = chosen.element_loss(one, zero, torch.tensor([0])).item()
        assert found == pytest.approx(expected, abs=1e-6)


def test_huber_schedules() -> None:
    """training-sd-flux 9, check 17."""
    steps = torch.tensor([0, 500, 999])
    snr = objective(loss="huber").process.huber_bend(steps).tolist()
    assert snr == pytest.approx([0.94971, 0.23128, 0.10369], abs=1e-5)
    exponential = (
        objective(loss="huber", huber_schedule="exponential").process.huber_bend(steps).tolist()
    )
    assert exponential == pytest.approx([1.0, 0.31623, 0.10023], abs=1e-5)
    scaled = objective(loss="huber", huber_schedule="exponential", huber_scale=2.0)
    assert scaled.process.huber_bend(steps).tolist() == pytest.approx([2 * e for e in exponential])
    constant = objective(loss="huber", huber_schedule="constant", huber_scale=2.0)
    assert constant.process.huber_bend(steps).tolist() == pytest.approx([0.2] * 3)
    assert objective("v", True, loss="huber").process.huber_bend(steps)[2].item() == pytest.approx(
        0.1
    )


def test_a_perfect_answer_has_no_loss() -> None:
    noise = noise_at([10, 700])
    for prediction in ("epsilon", "v"):
        chosen = objective(prediction)
        target = chosen.process.target(latents_like(noise), noise)
        assert loss(chosen, lambda *_, t=target: t, noise).tolist() == [0, 0]


def test_the_loss_is_float32_whatever_the_model_answers() -> None:
    noise = noise_at([10, 700])
    found = loss(objective(), lambda x, *_: torch.zeros_like(x, dtype=torch.bfloat16), noise)
    assert found.dtype == torch.float32
    assert torch.allclose(found, noise.target.square().mean(dim=(1, 2, 3)))


def test_sample_weights_multiply() -> None:
    noise = noise_at([10, 700])
    plain = loss(objective(), lambda x, *_: torch.zeros_like(x), noise)
    given = torch.tensor([0.5, 0.0])
    weighted = loss(objective(), lambda x, *_: torch.zeros_like(x), noise, weights=given)
    assert torch.equal(weighted, plain * given)


# Masks


def unit_loss(mask: Tensor, masked: bool = True, **values: Any) -> list[float]:
    """The loss where every element's own is 1."""
    base = noise_at([100])
    noise = Noise(base.target, base.seen, base.times, torch.tensor([masked]))
    return loss(objective(**values), lambda *_: noise.target + 1, noise, mask=mask).tolist()


HALF = torch.cat([torch.ones(1, 1, 64, 32), torch.zeros(1, 1, 64, 32)], dim=3)


def test_a_half_mask_halves_the_loss_unless_normalized() -> None:
    """training-sd-flux 9, check 32."""
    assert unit_loss(HALF, mask_normalize=False) == pytest.approx([0.5])
    assert unit_loss(HALF, mask_normalize=True) == pytest.approx([1.0])
    assert unit_loss(HALF[:, 0], mask_normalize=False) == pytest.approx([0.5])


def test_the_dark_part_keeps_its_floor() -> None:
    assert unit_loss(HALF, mask_normalize=False, mask_floor=0.1) == pytest.approx([0.55])


def test_an_ignored_mask_changes_nothing() -> None:
    assert unit_loss(HALF, masked=False, mask_normalize=False) == pytest.approx([1.0])


def test_a_black_mask_gives_no_loss_and_no_nan() -> None:
    assert unit_loss(torch.zeros(1, 1, 64, 64)) == [0.0]


def test_the_mask_is_averaged_over_each_latent_pixel() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :4, :8] = 1  # half of the first latent pixel
    factor = objective(mask_normalize=False).mask_factor(
        mask, torch.tensor([True]), torch.Size((8, 8))
    )
    assert factor[0, 0, 0, 0] == 0.5
    assert factor.sum() == 0.5


# The base model's own answer


def test_marked_samples_are_held_to_the_base_models_answer() -> None:
    noise = noise_at([10, 300, 700])

    def answer(x: Tensor, t: Tensor, text: Any, adapter: bool) -> Tensor:
        return torch.full_like(x, 2.0 if adapter else 5.0, requires_grad=True)

    model: Any = FakeModel(answer)
    prior = Prior(torch.tensor([False, True, False]), model.without_adapter)
    text = {"states": torch.zeros(3, 77, 8)}
    found = objective().loss_each(model, latents_like(noise), text, noise, prior=prior)
    assert found[1].item() == pytest.approx(9.0)
    assert found[0].item() == pytest.approx((noise.target[0] - 2).square().mean().item())
    assert model.asked == [(1, False, False), (3, True, True)]


def test_the_base_model_reads_its_own_text() -> None:
    noise = noise_at([10, 300])
    seen: list[Tensor] = []

    def answer(x: Tensor, t: Tensor, text: Any, adapter: bool) -> Tensor:
        seen.append(text["states"])
        return torch.zeros_like(x)

    model: Any = FakeModel(answer)
    own = {"states": torch.ones(2, 77, 8)}
    prior = Prior(torch.tensor([True, False]), model.without_adapter, own)
    text = {"states": torch.zeros(2, 77, 8)}
    objective().loss_each(model, latents_like(noise), text, noise, prior=prior)
    assert seen[0].shape == (1, 77, 8)
    assert seen[0].min() == 1
    assert seen[1].max() == 0


def test_no_marked_sample_costs_no_pass() -> None:
    noise = noise_at([10, 300])
    model: Any = FakeModel(lambda x, *_: torch.zeros_like(x))
    prior = Prior(torch.tensor([False, False]), model.without_adapter)
    objective().loss_each(model, latents_like(noise), {"s": torch.zeros(2)}, noise, prior=prior)
    assert len(model.asked) == 1


# Options against the model


@pytest.mark.parametrize("name", ["zero_terminal_snr", "v_loss_like_noise"])
def test_v_options_are_refused_where_noise_is_predicted(name: str) -> None:
    """training-sd-flux 9, check 15: eps with zero SNR is refused."""
    with pytest.raises(JobError) as caught:
        objective("epsilon", **{name: True})
    assert [p.path for p in caught.value.problems] == [f"objective.{name}"]


def test_a_noise_predicting_model_with_zero_snr_is_refused() -> None:
    with pytest.raises(JobError, match="pure noise"):
        check_objective(Options(), "epsilon", True)


def test_the_noise_option_is_refused_where_v_is_predicted() -> None:
    with pytest.raises(JobError) as caught:
        objective("v", v_like_loss=0.5)
    assert caught.value.problems[0].path == "objective.v_like_loss"
    check_objective(Options(zero_terminal_snr=True, v_loss_like_noise=True), "v", False)
