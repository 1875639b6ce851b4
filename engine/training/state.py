"""States to resume from: folders that appear whole or not at all (spec: data-loop 4.8).

Only tensors, counters and the fingerprint of the plan are kept. Order, noise, captions and dropout
are functions of seed and step, so there is no random state.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

FORMAT = 1
NAME = re.compile(r"^step-(\d{8})$")
TENSORS = "tensors.pt"
FACTS = "state.json"
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "pytorch-optimizer")


@dataclass
class Progress:
    """How far a run has come, and what it remembers beside tensors.

    `baseline` holds the validation losses before the first step by measure ("path|timestep").
    """

    step: int = 0
    epoch: int = 0  # of the last step; 1 is the first
    loss_mean: float = 0.0  # exponential mean of the losses, without start correction
    losses: int = 0  # how many went into it
    seconds: float = 0.0  # spent in steps
    started: float = 0.0  # unix seconds of the first start
    not_finite: int = 0  # steps in a row without an update
    last_loss: float | None = None  # newest validation loss, and the step it is of
    last_loss_step: int = -1
    best_loss: float | None = None
    best_path: str = ""
    baseline: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """A state read back from disk."""

    path: Path
    progress: Progress
    fingerprint: str
    total_steps: int
    optimizer: str  # name and arguments, to tell whether the optimizer's state still fits
    versions: Mapping[str, str]
    tensors: Mapping[str, Any]  # network, optimizer, scaler, ema


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the numbers."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def save_state(
    folder: Path,
    progress: Progress,
    tensors: Mapping[str, Any],
    *,
    fingerprint: str,
    total_steps: int,
    optimizer: str,
    keep: int,
) -> Path:
    """Write `folder/step-00000012`, then drop all but the newest `keep` states.

    Raises:
        OSError: no space or no permission; older states are then still there.
    """
    path = folder / f"step-{progress.step:08d}"
    beside = folder / f"{path.name}.tmp-{os.getpid()}"
    facts = {
        "format": FORMAT,
        "progress": asdict(progress),
        "fingerprint": fingerprint,
        "total_steps": total_steps,
        "optimizer": optimizer,
        "versions": versions(),
    }
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        with (beside / TENSORS).open("wb") as file:
            torch.save(dict(tensors), file)
            file.flush()
            os.fsync(file.fileno())
        with (beside / FACTS).open("w", encoding="utf-8") as file:
            json.dump(facts, file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, RuntimeError) and _write_failed(error):
            raise OSError(28, "No space left on device", str(path)) from error
        raise
    for old in find_states(folder)[:-keep]:
        if old != path:
            shutil.rmtree(old, ignore_errors=True)
    return path


def find_states(folder: Path) -> list[Path]:
    """Whole states of a run, oldest first."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if NAME.match(p.name) and (p / FACTS).is_file()]
    return sorted(found, key=lambda p: p.name)


def load_state(path: Path) -> State:
    """Read a state; tensors come to the CPU.

    Raises:
        ValueError: the state was written by a newer program or is damaged.
    """
    facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
    if facts["format"] > FORMAT:
        raise ValueError(f"{path} was written by a newer Graft")
    tensors = torch.load(path / TENSORS, map_location="cpu", weights_only=True)
    return State(
        path=path,
        progress=Progress(**facts["progress"]),
        fingerprint=facts["fingerprint"],
        total_steps=facts["total_steps"],
        optimizer=facts["optimizer"],
        versions=facts["versions"],
        tensors=tensors,
    )


def newest_state(folder: Path) -> State | None:
    """The newest state that can be read; a damaged one is passed over."""
    for path in reversed(find_states(folder)):
        try:
            return load_state(path)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError):
            continue
    return None


def _write_failed(error: RuntimeError) -> bool:
    """torch.save reports a failed write as its own error, without the system's number."""
    words = str(error)
    return "PytorchStreamWriter" in words or "iostream" in words or "unexpected pos" in words
