"""One step: the passes of its micro-batches, one reduction, one change of the adapter.

Spec: data-loop 4.1, 4.2. Every picture of a step weighs the same, however the step is cut into
micro-batches and ranks: the loss is divided by the step's true number of samples, and gradients are
summed over ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import Parameter

from engine.architectures.architecture import LiveEncoders
from engine.plan.keys import key
from engine.training.levels import TRAIN_TIMESTEPS
from engine.training.noise import draw_noise, noise_keys
from engine.training.objective import Prior
from engine.training.text_dropout import drawn_silence, silenced

if TYPE_CHECKING:
    from engine.data.loader import Batch
    from engine.networks.network import Network
    from engine.training.session import Session


@dataclass(frozen=True)
class Update:
    """What came of a step: `applied` is False when the adapter was left as it was."""

    loss: float | None  # None: not finite
    grad_norm: float | None  # before clipping; None: not finite
    applied: bool
    scaled: int = 0  # adapters shrunk by the max-norm rule
    norms: dict[str, float] = field(default_factory=dict)  # what GGPO measured


def update(session: Session, micros: Sequence[Batch], step: int, n: int) -> Update:
    """Do the update after `step` updates with this rank's micro-batches.

    Args:
        session: the run.
        micros: the micro-batches of this rank; may be fewer than another's, or none.
        step: updates done so far.
        n: samples in the whole step, over all ranks.
    """
    accelerator, training = session.accelerator, session.job.training
    by_batch = training.loss_average == "batch"
    # On several ranks every one has as many micro-batches as the first, or fewer.
    parts = max(1, len(micros)) * session.together.world
    total = torch.zeros((), device=session.device.id)
    for i, batch in enumerate(micros):
        torch.manual_seed(key(training.seed, "step", step, i, session.together.rank))
        session.network.draw(training.seed, "directions", step, i)
        with accelerator.autocast():
            each = losses(session, batch)
        loss = each.mean() / parts if by_batch else each.sum() / n
        accelerator.backward(loss)
        total += loss.detach()
    session.network.hand_over_gradients()
    if session.together.world > 1:
        total = _sum_over_ranks(session.parameters, total)
    session.network.measure_noise(session.scaler.get_scale() if session.scaler else 1.0)
    limit = session.job.optimizer.max_grad_norm or math.inf
    norm = accelerator.clip_grad_norm_(session.parameters, limit)
    loss, grad_norm = torch.stack([total, torch.as_tensor(norm).to(total)]).tolist()
    finite = math.isfinite(loss) and math.isfinite(grad_norm)
    if finite or session.scaler is not None:  # a scaler skips by itself, and lowers its scale
        session.stepper.step()
    applied = finite and not accelerator.optimizer_step_was_skipped
    session.optimizer.zero_grad()
    scaled = 0
    if applied:
        if session.job.network.max_norm is not None:
            scaled = session.network.apply_max_norm(session.job.network.max_norm).scaled
        if session.ema is not None:
            session.ema.update()
    measured = session.network.noise_norms()
    norms = {name: norm for name, norm in measured.items() if math.isfinite(norm)}
    return Update(_or_none(loss), _or_none(grad_norm), applied, scaled, norms)


def losses(session: Session, batch: Batch, timestep: int | None = None) -> Tensor:
    """The loss of each sample of a micro-batch (b,), float32; call it under autocast.

    With `timestep` (σ·1000 for a flow model) every sample is measured at that one instead of at its
    own, unweighted.
    """
    model, objective = session.model, session.objective
    latents = model.pictures.scaled(latents_of(session, batch))
    silent = _silent_encoders(session, batch) if timestep is None else None
    sizes = batch.sizes.to(latents.device)
    text = {**silenced(model, text_of(session, batch), silent), "sizes": sizes}
    flow = model.prediction == "flow"
    times = None
    epoch: int | str = batch.epoch
    samples = batch.noise_keys
    if timestep is not None:
        times = torch.full((len(latents),), timestep, device=latents.device)
        times = times / TRAIN_TIMESTEPS if flow else times
        epoch = "validation"  # each timestep has noise of its own, the same every time
        samples = [(f"{path}|{timestep}", repeat) for path, repeat in samples]
    keys = noise_keys(session.job.training.seed, epoch, samples)
    noise = draw_noise(latents, keys, session.job.objective, times, flow=flow)
    mask = batch.mask.to(latents.device) if batch.mask is not None else None
    prior = None
    if timestep is None and bool(batch.preserve_prior.any()):
        prior = _prior(session, batch, silent)
    weights = batch.weights.to(latents.device) if timestep is None else None
    return objective.loss_each(model, latents, text, noise, mask=mask, weights=weights, prior=prior)


def latents_of(session: Session, batch: Batch) -> Tensor:
    """The unscaled latents of a batch on the device, encoded now if they were not kept."""
    device = session.device.id
    if batch.latents is not None:
        return batch.latents.to(device, torch.float32)
    assert batch.pixels is not None
    return session.model.pictures.encode(batch.pixels.to(device)).to(device)


def text_of(session: Session, batch: Batch) -> dict[str, Tensor]:
    """The encoded captions of a batch on the device; with gradient where they are trained.

    Of kept captions, what encoders with adapters say is said anew.
    """
    model, kept = session.model, kept_text(session, batch)
    if kept is not None and not session.live_encoders:
        return kept
    with torch.set_grad_enabled(session.trains_text and torch.is_grad_enabled()):
        if kept is None:
            return model.encode_text(batch.captions)
        assert isinstance(model, LiveEncoders)  # others keep no captions while they are trained
        return model.said_anew(kept, batch.captions, session.live_encoders)


def kept_text(session: Session, batch: Batch) -> dict[str, Tensor] | None:
    """What was kept of a batch's captions, on the device: the base model's words."""
    if batch.text is None:
        return None
    return {name: tensor.to(session.device.id) for name, tensor in batch.text.items()}


def _silent_encoders(session: Session, batch: Batch) -> Tensor | None:
    """Which text encoders say nothing of which sample (b, encoders); None where all speak."""
    rates = session.job.objective.text_encoder_dropout
    if not rates:
        return None
    return drawn_silence(rates, session.job.training.seed, batch.epoch, batch.noise_keys)


def _prior(session: Session, batch: Batch, silent: Tensor | None) -> Prior:
    text = None
    if session.adapts_text:
        encoded = kept_text(session, batch)
        if encoded is None:
            with torch.no_grad(), without(session.network):
                encoded = session.model.encode_text(batch.captions)
        sizes = batch.sizes.to(session.device.id)
        text = {**silenced(session.model, encoded, silent), "sizes": sizes}
    rows = batch.preserve_prior.to(session.device.id)
    return Prior(rows, lambda: without(session.network), text)


@contextmanager
def without(network: Network) -> Iterator[None]:
    """Inside, the adapter has no effect."""
    network.set_weight(0.0)
    try:
        yield
    finally:
        network.set_weight(1.0)


def _sum_over_ranks(parameters: Sequence[Parameter], loss: Tensor) -> Tensor:
    """Add up gradients and loss over the ranks in one flat buffer.

    No gradient counts as zeros; one that no rank has stays away, so that the optimizer leaves its
    parameter alone (DyLoRA's undrawn directions).
    """
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=loss.device)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([loss.reshape(1), present, *(g.reshape(-1).float() for g in gradients)])
    torch.distributed.all_reduce(flat)
    start = 1 + len(parameters)
    for parameter, gradient, count in zip(
        parameters, gradients, flat[1:start].tolist(), strict=True
    ):
        stop = start + gradient.numel()
        if count:
            gradient.copy_(flat[start:stop].view_as(gradient))
        else:
            parameter.grad = None
        start = stop
    return flat[0]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
