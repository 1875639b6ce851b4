"""What the adapter is asked to get right: the noisy input, the target and the weighted loss.

What only SD's discrete schedule or only flow matching has is in `discrete` and `flow`. Everything
from the loss on is float32 (spec: training-sd-flux 4).
"""

from __future__ import annotations

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
from engine.training.discrete import Discrete
from engine.training.flow import Flow
from engine.training.noise import Noise, per_sample


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


class Objective:
    """The loss of one run.

    Attributes:
        process: how picture and noise are mixed, and what each time weighs.
    """

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
        self.process: Discrete | Flow
        if prediction == "flow":
            self.process = Flow(options)
        else:
            self.process = Discrete(options, prediction, zero_terminal_snr, device)

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
        noisy = self.process.noisy(latents, noise)
        target = self.process.target(latents, noise)
        if prior is not None and bool(prior.rows.any()):
            target = _with_prior(model, target, noisy, noise.times, text, prior)
        predicted = model.predict(noisy, noise.times, text)
        loss = self.element_loss(predicted.float(), target, noise.times)
        if mask is not None:
            loss = loss * self.mask_factor(mask, noise.masked, latents.shape[-2:])
        each = loss.mean(dim=(1, 2, 3)) * self.process.weight(noise.times)
        return each if weights is None else each * weights

    def element_loss(self, predicted: Tensor, target: Tensor, times: Tensor) -> Tensor:
        """The loss of every element, unweighted, in the shape of its arguments."""
        difference = predicted - target
        if self.options.loss == "l2":
            return difference.square()
        if self.options.loss == "l1":
            return difference.abs()
        bend = per_sample(self.process.huber_bend(times))
        shape = (difference.square() + bend.square()).sqrt() - bend
        return 2 * bend * shape if self.options.loss == "huber" else 2 * shape

    def mask_factor(self, mask: Tensor, masked: Tensor, size: torch.Size) -> Tensor:
        """The factor (b, 1, h, w) on the element loss, area-resized from the mask."""
        mask = mask[:, None] if mask.ndim == 3 else mask
        factor = functional.interpolate(mask.float(), size=tuple(size), mode="area")
        factor = factor.clamp_min(self.options.mask_floor)
        factor = torch.where(per_sample(masked), factor, torch.ones_like(factor))
        if self.options.mask_normalize:
            factor = factor / factor.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
        return factor


@torch.no_grad()
def _with_prior(
    model: TrainableModel,
    target: Tensor,
    noisy: Tensor,
    times: Tensor,
    text: Text,
    prior: Prior,
) -> Tensor:
    """Replace the target of the prior's rows by the base model's own prediction."""
    rows = prior.rows
    chosen = {name: tensor[rows] for name, tensor in (prior.text or text).items()}
    with prior.without_adapter():
        own = model.predict(noisy[rows], times[rows], chosen).float()
    target = target.clone()
    target[rows] = own
    return target
