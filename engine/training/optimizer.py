"""Optimizers of torch, pytorch-optimizer, prodigyopt, schedulefree and bitsandbytes.

Their own arguments are checked against the constructor's signature before anything loads (spec:
data-loop 4.5).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import Parameter

from engine.networks.groups import GroupSpec
from engine.schema.optimizer import Optimizer as Options
from engine.schema.optimizers import OptimizerKind, kind_of
from engine.schema.problem import JobError, Problem
from engine.schema.table import steps_of
from engine.training.schedule import Schedule

SOAP_LARGEST_SIDE = 1024  # pytorch-optimizer's 10,000 can take minutes a step


def check_optimizer(options: Options, device: str) -> None:
    """Make the optimizer once on two small matrices, so that wrong arguments show at once.

    Raises:
        JobError: the optimizer's package or device is missing, or it does not take an argument.
    """
    kind = _kind(options)
    if kind.cuda_only and not device.startswith("cuda"):
        words = f"{kind.name} needs an NVIDIA card; this run is on {device}. AdamW is its equal."
        raise JobError(
            [
                Problem(
                    "optimizer.name", words, fix=(("optimizer.name", "AdamW"),), fix_label="AdamW"
                )
            ]
        )
    factory = _factory(kind)
    allowed = _argument_names(factory)
    problems = [
        Problem(
            f"optimizer.{table}.{key}", f"{kind.name} has no argument '{key}'.{_near(key, allowed)}"
        )
        for table, arguments in (("args", _given(options)), ("extra_args", options.extra_args))
        for key in arguments
        if key not in allowed
    ]
    if problems:
        raise JobError(problems)
    small = [Parameter(torch.zeros(4, 8)), Parameter(torch.zeros(8, 4))]
    try:
        factory(
            [{"params": small, "lr": options.learning_rate}], **_arguments(options, kind, 1, "cpu")
        )
    except Exception as error:  # whatever a library raises about its arguments
        path = "optimizer.args" if _given(options) else "optimizer.name"
        path = "optimizer.extra_args" if options.extra_args else path
        raise JobError([Problem(path, f"{kind.name} cannot be made so: {error}")]) from error


def make_optimizer(
    options: Options, groups: Sequence[GroupSpec], total: int, device: str
) -> torch.optim.Optimizer:
    """Make the optimizer for a run of `total` steps; groups keep their order and their names."""
    kind = _kind(options)
    arguments = _arguments(options, kind, total, device)
    given = [{"params": list(g.params), "lr": g.lr, "name": g.name} for g in groups]
    return _factory(kind)(given, **arguments)


def set_rates(
    optimizer: torch.optim.Optimizer, groups: Sequence[GroupSpec], schedule: Schedule, step: int
) -> dict[str, float]:
    """Set every group's rate for the update after `step` updates; returns them by group name."""
    factor = schedule.factor(step)
    rates = {}
    for state, group in zip(optimizer.param_groups, groups, strict=True):
        state["lr"] = group.lr * factor
        rates[group.name] = _effective_rate(state)
    return rates


def _effective_rate(group: dict[str, Any]) -> float:
    """The rate that acts: Prodigy and D-Adaptation multiply theirs by the one they found."""
    found = group.get("d", 1.0)
    return float(group["lr"]) * float(found)


def is_schedule_free(options: Options) -> bool:
    """Say whether the optimizer has two points: one to train at and one to use."""
    return _kind(options).schedule_free


@contextmanager
def averaged(optimizer: torch.optim.Optimizer, options: Options) -> Iterator[None]:
    """Inside, the parameters of a schedule-free optimizer are those to use, not those to train.

    Afterwards they are bit for bit what they were: its own way there and back rounds, and then a
    preview more or less would change the run.
    """
    if not is_schedule_free(options):
        yield
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    kept = [p.detach().clone() for p in parameters]
    optimizer.eval()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        optimizer.train()  # pyright: ignore[reportAttributeAccessIssue]
        for parameter, tensor in zip(parameters, kept, strict=True):
            parameter.data.copy_(tensor)


def _kind(options: Options) -> OptimizerKind:
    kind = kind_of(options.name)
    if kind is None:
        raise JobError([Problem("optimizer.name", f"'{options.name}' is not an optimizer.")])
    return kind


def _factory(kind: OptimizerKind) -> Callable[..., torch.optim.Optimizer]:
    """The optimizer's class; its package is imported now."""
    if kind.library == "torch":
        return getattr(torch.optim, kind.class_name)
    try:
        module = __import__(kind.library)
    except ImportError as error:
        words = f"{kind.name} needs the package {kind.library}, which is not there ({error})."
        fix = (("optimizer.name", "AdamW"),)
        raise JobError([Problem("optimizer.name", words, fix=fix, fix_label="AdamW")]) from error
    if kind.library == "bitsandbytes":
        return getattr(module.optim, kind.class_name)
    found = getattr(module, kind.class_name, None)
    return found if found is not None else module.load_optimizer(kind.class_name)


def own_arguments(options: Options) -> dict[str, Any]:
    """The optimizer's arguments that the job names, as its constructor takes them."""
    given = _given(options) | options.extra_args
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


def _given(options: Options) -> dict[str, Any]:
    return {k: v for k, v in options.args.model_dump().items() if v is not None}


def _arguments(options: Options, kind: OptimizerKind, total: int, device: str) -> dict[str, Any]:
    """What the constructor gets beside the groups: the person's arguments and our defaults."""
    arguments: dict[str, Any] = {}
    if kind.name == "AdamW" and device.partition(":")[0] in ("cuda", "cpu", "mps"):
        arguments["fused"] = True
    if kind.name == "SOAP":
        arguments["max_precondition_dim"] = SOAP_LARGEST_SIDE
    if kind.schedule_free and "warmup_steps" in _argument_names(_factory(kind)):
        arguments["warmup_steps"] = steps_of(options.warmup, total)
    arguments["lr"] = options.learning_rate
    return arguments | own_arguments(options)


def _argument_names(factory: Callable[..., Any]) -> set[str]:
    """Names the constructor takes, without those that are ours to give."""
    names: set[str] = set()
    for cls in getattr(factory, "__mro__", (factory,)):
        function = cls.__dict__.get("__init__", cls) if isinstance(cls, type) else cls
        if not callable(function) or function is object.__init__:
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break  # what the class does not take, its parents do not get
    return names - {"self", "params", "lr", "defaults"}


def _near(key: str, allowed: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(key, list(allowed), n=1)
    return f" Did you mean {near[0]}?" if near else f" It takes {', '.join(sorted(allowed))}."
