"""Going on from a state: tensors and counters, nothing else (spec: data-loop 4.8)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from engine.protocol import Failure
from engine.schema.problem import JobError, Problem
from engine.training.failures import RunError
from engine.training.optimizer import own_arguments
from engine.training.run import Run
from engine.training.saving import optimizer_identity
from engine.training.state import State, find_states, versions

if TYPE_CHECKING:
    from engine.training.session import Session

log = logging.getLogger(__name__)


def require_resumable(run: Run) -> None:
    """Refuse a finished run without a state; one that never came to a state starts anew.

    Raises:
        RunError: the run is finished and kept no state.
    """
    final = run.checkpoints / f"{run.name}.safetensors"
    if final.exists() and not find_states(run.states):
        raise RunError(
            Failure(
                kind="job",
                message=f"The run in {run.path} is finished and kept no state, so it cannot be "
                "continued.",
                mend="Start a new run with network.start_from set to its adapter file. To train "
                "longer next time, turn on output.state_at_end.",
                field="output.state_at_end",
            )
        )


def restore(session: Session, state: State) -> None:
    """Put the session where the state was written; differences that matter become warnings.

    Raises:
        JobError: the job's adapters are not those of the state.
        RunError: the run already has as many steps as the job asks for.
    """
    tensors, job, events = state.tensors, session.job, session.events
    try:
        session.network.load_state_dict(tensors["network"])
    except RuntimeError as error:
        log.info("the state does not fit: %s", error)
        words = (
            "The adapters are not those of the run that is to be continued: rank, trained parts "
            "and blocks must stay as they were."
        )
        raise JobError([Problem("network", words)]) from error
    if state.optimizer == optimizer_identity(job):
        _load_optimizer(session, tensors["optimizer"])
        _keep_arguments(session)
    else:
        events.warn("Another optimizer than before: it starts without memory.", "optimizer.name")
    if session.scaler is not None and tensors["scaler"]:
        session.scaler.load_state_dict(tensors["scaler"])
    if session.ema is not None and tensors["ema"]:
        session.ema.load_state(tensors["ema"])
    session.progress = state.progress
    _tell_differences(session, state)
    if state.progress.step >= session.total_steps:
        raise RunError(
            Failure(
                kind="job",
                message=f"The run has {state.progress.step} steps already, and the job asks for "
                f"{session.total_steps}.",
                mend="Give more epochs or steps to train longer.",
                field="training.epochs" if job.training.epochs else "training.steps",
            )
        )


def _load_optimizer(session: Session, saved: dict[str, Any]) -> None:
    """Give each group what the group of its name has kept; others begin without memory."""
    groups = session.optimizer.param_groups
    now, before = _sizes(groups), _sizes(saved["param_groups"])
    if now != before:
        changed = ", ".join(sorted({name for name, _ in set(now) ^ set(before)}))
        session.events.warn(
            f"Other parts are trained than before ({changed}): what is new starts without memory.",
            "network.train",
        )
        saved = _of_groups(saved, groups)
    session.optimizer.load_state_dict(saved)


def _sizes(groups: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(group.get("name", ""), len(group["params"])) for group in groups]


def _of_groups(saved: dict[str, Any], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Sort a saved state into these groups; parameters are numbered through, as torch does."""
    kept = dict(zip(_sizes(saved["param_groups"]), saved["param_groups"], strict=True))
    sorted_groups: list[dict[str, Any]] = []
    state: dict[int, Any] = {}
    number = 0
    for group, size in zip(groups, _sizes(groups), strict=True):
        numbers = list(range(number, number + size[1]))
        number += size[1]
        before = kept.get(size, group)
        sorted_groups.append({**before, "params": numbers})
        if before is not group:
            of_old = zip(numbers, before["params"], strict=True)
            state |= {new: saved["state"][old] for new, old in of_old if old in saved["state"]}
    return {"state": state, "param_groups": sorted_groups}


def _keep_arguments(session: Session) -> None:
    """A loaded optimizer has the arguments of before: the job's own are set again, and told."""
    changed = set()
    for name, value in own_arguments(session.job.optimizer).items():
        for group in session.optimizer.param_groups:
            if name in group and group[name] != value:
                group[name] = value
                changed.add(name)
    if changed:
        names = ", ".join(sorted(changed))
        session.events.warn(
            f"Other optimizer arguments than before ({names}): the new ones count from here on.",
            "optimizer.args",
        )


def _tell_differences(session: Session, state: State) -> None:
    if state.fingerprint != session.found.fingerprint:
        session.events.warn(
            "The pictures, sizes or batches are not those of before. The run goes on from step "
            f"{state.progress.step} with a fresh order.",
            "dataset",
        )
    if state.total_steps != session.total_steps:
        session.events.warn(
            f"The run is now {session.total_steps} steps long instead of {state.total_steps}; the "
            "learning-rate schedule follows the new length.",
            "training",
        )
    changed = [n for n, v in versions().items() if state.versions.get(n, v) != v]
    if changed:
        session.events.warn(
            f"Other versions than before of {', '.join(changed)}: the last bits may differ."
        )
