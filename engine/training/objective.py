"""What the adapter is asked to get right: the noisy input, the target and the weighted loss.

For models that predict noise or velocity on SD's discrete schedule (spec: training-sd-flux 4.1).
Everything from the loss on is float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.architectures.architecture import Prediction, Text, TrainableModel
from engine.schema.objective import Objective as Options
from engine.schema.options import option_at
from engine.schema.problem import JobError, Problem
from engine.training.noise import TRAIN_TIMESTEPS, Noise

SNR_CAP = 1000.0


@dataclass(frozen=True)
class Prior:
    """Samples whose target is the base model's own answer.

    Attributes:
        rows: (b,) bool.
        without_adapter: opens a context in which the adapter has no effect.
        text: the whole batch's text, encoded without the adapter; None: the text given to the loss.
    """

    rows: Tensor
    without_adapter: Callable[[], AbstractContextManager[object]]
    text: Text | None = None


def check_objective(options: Options, prediction: Prediction, zero_terminal_snr: bool) -> None:
    """Compare the options with what the model turned out to predict.

    Raises:
        JobError: naming each field that does not go with the model.
    """
    wrong = []
    if prediction == "epsilon":
        for name in ("zero_terminal_snr", "v_loss_like_noise"):
            if getattr(options, name):
                wrong.append((name, "is for v-prediction models; this one predicts noise"))
        if zero_terminal_snr and not options.zero_terminal_snr:
            wrong.append(("zero_terminal_snr", "is what this model's schedule has, but a model "
                          "that predicts noise learns nothing from pure noise"))  # fmt: skip
    elif options.v_like_loss:
        wrong.append(("v_like_loss", "is for models that predict noise; this one predicts v"))
    if wrong:
        raise JobError(
            [
                Problem(
                    f"objective.{name}",
                    f"{option_at(f'objective.{name}').hints.label} {words}.",
                )
                for name, words in wrong
            ]
        )


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


class Objective:
    """The loss of one run; holds the schedule's tables on the device."""

    def __init__(
        self,
        options: Options,
        prediction: Prediction,
        *,
        zero_terminal_snr: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take the job's options and what the model predicts.

        Raises:
            JobError: if they do not go together.
        """
        check_objective(options, prediction, zero_terminal_snr)
        self.options = options
        self.prediction = prediction
        self.alphas = alphas_cumprod(zero_terminal_snr or options.zero_terminal_snr).to(device)
        # From the rescaled schedule, unlike sd-scripts (spec: training-sd-flux 0.12).
        self.snr = self.alphas / (1 - self.alphas)

    def noisy(self, latents: Tensor, noise: Noise) -> Tensor:
        """The model's input √ᾱ·x + √(1−ᾱ)·n, float32."""
        alpha = _per_sample(self.alphas[noise.timesteps])
        return alpha.sqrt() * latents.float() + (1 - alpha).sqrt() * noise.seen

    def target(self, latents: Tensor, noise: Noise) -> Tensor:
        """What the model should answer: the noise, or the velocity √ᾱ·n − √(1−ᾱ)·x."""
        if self.prediction == "epsilon":
            return noise.target
        alpha = _per_sample(self.alphas[noise.timesteps])
        return alpha.sqrt() * noise.target - (1 - alpha).sqrt() * latents.float()

    def loss_each(
        self,
        model: TrainableModel,
        latents: Tensor,
        text: Text,
        noise: Noise,
        *,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        prior: Prior | None = None,
    ) -> Tensor:
        """Predict and compare: the loss of each sample (b,), float32.

        Args:
            model: the model, adapter attached; call this under the run's autocast.
            latents: scaled latents (b, c, h, w).
            text: encoded captions of the batch.
            noise: as drawn for these latents.
            mask: (b, 1, H, W) or (b, H, W) in [0, 1] at any size; 1 is learned.
            weights: (b,) loss weights of the samples.
            prior: samples to be held to the base model's own answer.
        """
        noisy = self.noisy(latents, noise)
        target = self.target(latents, noise)
        if prior is not None and bool(prior.rows.any()):
            target = _with_prior(model, target, noisy, noise.timesteps, text, prior)
        predicted = model.predict(noisy, noise.timesteps, text)
        loss = self.element_loss(predicted.float(), target, noise.timesteps)
        if mask is not None:
            loss = loss * self.mask_factor(mask, noise.masked, latents.shape[-2:])
        each = loss.mean(dim=(1, 2, 3)) * self.weight(noise.timesteps)
        return each if weights is None else each * weights

    def element_loss(self, predicted: Tensor, target: Tensor, timesteps: Tensor) -> Tensor:
        """The loss of every element, unweighted, in the shape of its arguments."""
        difference = predicted - target
        if self.options.loss == "l2":
            return difference.square()
        if self.options.loss == "l1":
            return difference.abs()
        bend = _per_sample(self.huber_bend(timesteps))
        shape = (difference.square() + bend.square()).sqrt() - bend
        return 2 * bend * shape if self.options.loss == "huber" else 2 * shape

    def huber_bend(self, timesteps: Tensor) -> Tensor:
        """The c of the pseudo-Huber loss for each timestep (b,)."""
        c, scale = self.options.huber_c, self.options.huber_scale
        if self.options.huber_schedule == "constant":
            return torch.full_like(timesteps, c * scale, dtype=torch.float32)
        if self.options.huber_schedule == "exponential":
            return scale * torch.exp(math.log(c) * timesteps / TRAIN_TIMESTEPS)
        alpha = self.alphas[timesteps]
        return (1 - c) / (1 + ((1 - alpha) / alpha).sqrt()) ** 2 + c

    def weight(self, timesteps: Tensor) -> Tensor:
        """The product of the chosen weightings for each timestep (b,)."""
        options, v = self.options, self.prediction == "v"
        snr = self.snr[timesteps]
        capped = snr.clamp_max(SNR_CAP)
        weight = torch.ones_like(snr)
        if options.min_snr_gamma:
            limited = snr.clamp_max(options.min_snr_gamma)
            weight = weight * limited / (snr + 1 if v else snr)
        if options.v_loss_like_noise:
            weight = weight * capped / (capped + 1)
        if options.v_like_loss:
            weight = weight * (1 + options.v_like_loss * (capped + 1) / capped)
        if options.debiased:
            weight = weight / (capped + 1) if v else weight * capped.rsqrt()
        return weight

    def mask_factor(self, mask: Tensor, masked: Tensor, size: torch.Size) -> Tensor:
        """The factor (b, 1, h, w) on the element loss, area-resized from the mask."""
        mask = mask[:, None] if mask.ndim == 3 else mask
        factor = functional.interpolate(mask.float(), size=tuple(size), mode="area")
        factor = factor.clamp_min(self.options.mask_floor)
        factor = torch.where(_per_sample(masked), factor, torch.ones_like(factor))
        if self.options.mask_normalize:
            factor = factor / factor.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
        return factor


def _per_sample(values: Tensor) -> Tensor:
    """(b,) → (b, 1, 1, 1)."""
    return values[:, None, None, None]


@torch.no_grad()
def _with_prior(
    model: TrainableModel,
    target: Tensor,
    noisy: Tensor,
    timesteps: Tensor,
    text: Text,
    prior: Prior,
) -> Tensor:
    """Replace the target of the prior's rows by the base model's own prediction."""
    rows = prior.rows
    chosen = {name: tensor[rows] for name, tensor in (prior.text or text).items()}
    with prior.without_adapter():
        own = model.predict(noisy[rows], timesteps[rows], chosen).float()
    target = target.clone()
    target[rows] = own
    return target
