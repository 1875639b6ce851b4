"""The training loop: load, prepare, step, log, save (spec: data-loop 4.1)."""

from __future__ import annotations

import logging
import time
from typing import Literal

import torch

from engine.protocol import Finished, Step
from engine.schema.job import Job
from engine.training.checkpoints import Due, due_after, step_name
from engine.training.control import Control
from engine.training.events import Events
from engine.training.failures import RunError, StopRun, failure_of, is_out_of_memory, not_finite
from engine.training.memory import memory_in_use
from engine.training.optimizer import set_rates
from engine.training.resume import require_resumable
from engine.training.run import Run
from engine.training.session import Session, prepare
from engine.training.state import find_states
from engine.training.together import Together
from engine.training.update import Update, update
from engine.training.validation import validate, validation_due

log = logging.getLogger(__name__)
Reason = Literal["done", "stopped", "aborted", "failed"]
SMOOTHING = 0.98  # of the smoothed loss
PATIENCE = 5  # steps in a row without a finite loss before the run ends
SCALER_PATIENCE = 40  # an fp16 scaler starts high, and finds its scale by such steps


def train(
    job: Job, run: Run, events: Events, control: Control, together: Together | None = None
) -> Finished:
    """Train until the job is done or the person stops it; every way out is in the result.

    Raises:
        StopRun: stopped before there was anything to save.
        Exception: what kept the run from starting; `failure_of` has words for it.
    """
    require_resumable(run)
    session = prepare(job, run, events, control, together or Together(1, 0))
    try:
        with session.model.attention_context():
            _steps(session)
            return _finish(session, "done")
    except StopRun:
        session.together.end(control)
        return _finish(session, "aborted" if control.abort else "stopped")
    except Exception as error:  # the person gets words, the log the traceback
        log.exception("the run failed at step %d", session.progress.step)
        failure = failure_of(error, job, session.progress.step)
        if is_out_of_memory(error):
            error.__traceback__ = None  # it holds the tensors that did not fit
            _keep_state(session)
        events.emit(failure.model_copy(update={"resumable": bool(find_states(run.states))}))
        return _finish(session, "failed")
    finally:
        session.loader.close()
        session.network.detach()
        session.accelerator.end_training()


def _steps(session: Session) -> None:
    """All steps of the run, from where its progress stands."""
    progress, total = session.progress, session.total_steps
    if progress.step == 0:
        _measure_and_draw(session)
    session.events.phase("training", "Training", progress.step, total)
    started = time.monotonic()
    for planned in session.loader.steps(progress.step):
        _before_step(session)
        rates = set_rates(session.optimizer, session.groups, session.schedule, progress.step)
        done = update(session, planned.micros, progress.step, planned.samples)
        progress.step, progress.epoch = progress.step + 1, planned.epoch
        seconds = time.monotonic() - started  # waiting for the pictures included
        progress.seconds += seconds
        _tell_step(session, done, rates, seconds)
        _require_finite(session, done)
        _after_step(session, session.found.length.is_epoch_end(progress.step))
        started = time.monotonic()


def _before_step(session: Session) -> None:
    """Go on together, or not; freeze the text encoder's adapter when its time is over.

    Raises:
        StopRun: rank 0 was told to stop.
    """
    session.together.follow(session.control)
    stop_after = session.stop_text_after
    if session.trains_text and stop_after is not None and session.progress.step >= stop_after:
        session.stop_text_encoder()
        session.events.warn(
            f"The text encoder's adapter stays as it is from step {session.progress.step} on, as "
            "the job asks.",
            "training.stop_text_encoder_after",
        )


def _after_step(session: Session, epoch_ends: bool) -> None:
    """In this order: validation, checkpoint and state, previews, commands; rank 0 alone."""
    if not session.together.leads:
        return
    progress, control = session.progress, session.control
    total, output = session.total_steps, session.job.output
    due = due_after(output, session.run.name, progress.step, total, progress.epoch, epoch_ends)
    busy = _validate_if_due(session, epoch_ends)
    if control.take_save() and not due:
        due = Due(step_name(session.run.name, progress.step))
    if due:
        keep_state = output.state_at_end if due.final else output.save_state
        session.saver.save(progress, due, state=keep_state)
        busy = True
    busy = _draw_if_due(session, epoch_ends) or busy
    control.check()
    if control.paused:
        _pause(session)
        busy = True
    if busy and progress.step < total:
        session.events.phase("training", "Training", progress.step, total)


def _measure_and_draw(session: Session) -> None:
    if not session.together.leads:
        return
    _validate_if_due(session, False)
    _draw_if_due(session, False)
    session.control.check()


def _validate_if_due(session: Session, epoch_ends: bool) -> bool:
    progress = session.progress
    if not session.measurements or not validation_due(
        session.job.training, progress.step, session.total_steps, progress.epoch, epoch_ends
    ):
        return False
    with session.showing():
        measured = validate(session, session.measurements)
    session.events.emit(measured)
    _track(session, {"validation/loss": measured.loss})
    return True


def _draw_if_due(session: Session, epoch_ends: bool) -> bool:
    progress, previews = session.progress, session.previews
    asked = session.control.take_sample()
    if not asked and not previews.due(
        progress.step, session.total_steps, progress.epoch, epoch_ends
    ):
        return False
    with session.showing(ema=session.job.samples.ema), session.accelerator.autocast():
        previews.draw(progress.step, progress.epoch)
    return True


def _pause(session: Session) -> None:
    """Wait until the person goes on; saving and previews work meanwhile."""
    control, progress = session.control, session.progress
    session.events.phase("paused", "Paused", progress.step, session.total_steps)
    while control.paused and not control.ending:
        control.wait(1.0)
        if control.take_save():
            due = Due(step_name(session.run.name, progress.step))
            session.saver.save(progress, due, state=session.job.output.save_state)
            session.events.phase("paused", "Paused", progress.step, session.total_steps)
        if control.sample and _draw_if_due(session, False):
            session.events.phase("paused", "Paused", progress.step, session.total_steps)
    control.check()


def _tell_step(session: Session, done: Update, rates: dict[str, float], seconds: float) -> None:
    """Send the step's event; the smoothed loss leaves out what was not finite."""
    progress = session.progress
    if done.loss is not None:
        before = progress.loss_mean
        progress.loss_mean = SMOOTHING * before + (1 - SMOOTHING) * done.loss
        progress.losses += 1
    smooth = progress.loss_mean / (1 - SMOOTHING**progress.losses) if progress.losses else None
    now, peak = memory_in_use(session.device)
    session.events.emit(
        Step(
            step=progress.step,
            epoch=progress.epoch,
            loss=done.loss,
            loss_smooth=smooth,
            learning_rates=rates,
            grad_norm=done.grad_norm,
            seconds=seconds,
            memory_bytes=now,
            memory_peak_bytes=peak,
            max_norm_scaled=done.scaled,
            norms=done.norms,
        )
    )
    if session.job.output.trackers:
        values = {f"lr/{name}": rate for name, rate in rates.items()}
        if done.loss is not None:
            values["loss"] = done.loss
        values |= {f"norm/{name}": norm for name, norm in done.norms.items()}
        _track(session, values)


def _track(session: Session, values: dict[str, float]) -> None:
    if session.job.output.trackers:
        session.accelerator.log(values, step=session.progress.step)


def _require_finite(session: Session, done: Update) -> None:
    """Warn of a skipped update, and end the run after too many in a row.

    Raises:
        RunError: the training has diverged.
    """
    progress = session.progress
    if done.applied:
        progress.not_finite = 0
        return
    progress.not_finite += 1
    scaling = session.scaler is not None and done.loss is not None
    if not scaling:
        what = "loss" if done.loss is None else "gradient"
        session.events.warn(
            f"The {what} of step {progress.step} was not finite; the adapter was left as it was."
        )
    if progress.not_finite >= (SCALER_PATIENCE if scaling else PATIENCE):
        raise RunError(not_finite(session.job, progress.step))


def _finish(session: Session, reason: Reason) -> Finished:
    """Save what the reason asks for, and say where things are."""
    progress, run, saver = session.progress, session.run, session.saver
    if not session.together.leads:
        return Finished(reason=reason, step=progress.step, epoch=progress.epoch, resumable=True)
    session.events.phase("finishing", "Finishing", progress.step, session.total_steps)
    if reason == "done" and not session.job.output.state_at_end:
        saver.drop_states()
    if reason == "stopped" and progress.step > 0:
        try:
            _save_stopped(session)
        except Exception as error:  # as in train: words for the person, the traceback in the log
            log.exception("the stopped run could not be saved")
            session.events.emit(failure_of(error, session.job, progress.step))
            reason = "failed"
    newest = saver.newest
    return Finished(
        reason=reason,
        step=progress.step,
        epoch=progress.epoch,
        path=run.relative(newest) if newest is not None and newest.exists() else "",
        best_path=progress.best_path,
        resumable=reason != "done" or session.job.output.state_at_end,
    )


def _save_stopped(session: Session) -> None:
    """Write adapter and state of this step, unless they are there already."""
    progress, saver = session.progress, session.saver
    if saver.newest_step != progress.step:
        due = Due(step_name(session.run.name, progress.step))
        saver.save(progress, due, state=not saver.has_state(progress.step))
    elif not saver.has_state(progress.step):
        saver.save_state(progress)


def _keep_state(session: Session) -> None:
    """After running out of memory the adapter is whole: keep it, so that a mend can go on."""
    if not session.together.leads or session.progress.step == 0:
        return
    if session.saver.has_state(session.progress.step):
        return
    session.optimizer.zero_grad()
    if session.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        session.saver.save_state(session.progress)
    except Exception:
        log.exception("the state could not be kept")
