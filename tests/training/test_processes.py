"""Several processes train one adapter, started by accelerate as for several cards."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.protocol import Checkpoint, Failure, Finished, Hello, Step, parse_event
from engine.schema.job_file import save_job
from engine.schema.options import set_at

ROOT = Path(__file__).parents[2]
TOGETHER = {"launch.processes": 2, "training.batch_size": 1, "output.name": "two"}
SHORT = {
    # At 64 pixels the lowest level is one pixel, and its norms turn rounding into percents.
    "dataset.resolution": ["128"],
    "dataset.upscale": True,
    "training.epochs": 2,
    "training.gradient_accumulation": 1,
    # Adam would divide gradients that are all rounding by themselves.
    "optimizer.name": "SGD",
    "optimizer.learning_rate": 0.1,
}


def run(data: dict[str, Any], changes: dict[str, Any], folder: Path) -> tuple[list[Any], int]:
    """Train through the real command; its events and exit code."""
    tree = copy.deepcopy(data)
    for path, value in (SHORT | changes).items():
        set_at(tree, path, value)
    job = folder / f"{tree['output']['name']}.toml"
    save_job(job, tree)
    command = [sys.executable, str(ROOT / "main.py"), "train", str(job), "--events"]
    # An open stdin: its end would mean that the window is gone.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as engine:
        assert engine.stdout is not None
        assert engine.stderr is not None
        lines = engine.stdout.readlines()
        words = engine.stderr.read().decode()
        engine.wait()
    events = [event for event in map(parse_event, lines) if event is not None]
    assert any(isinstance(event, Hello) for event in events), words
    return events, engine.returncode


def of(events: list[Any], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def adapter(events: list[Any]) -> dict[str, torch.Tensor]:
    last = of(events, Finished)[-1]
    return load_file(Path(of(events, Hello)[-1].run_directory) / last.path)


def test_two_processes_end_with_the_adapter_of_one_with_twice_the_batch(
    job_data: dict[str, Any], tmp_path: Path
) -> None:
    alone, code = run(job_data, {"training.batch_size": 2, "output.name": "one"}, tmp_path)
    assert code == 0
    both, code = run(job_data, TOGETHER, tmp_path)
    assert code == 0
    assert not of(both, Failure)
    steps = [step.step for step in of(both, Step)]
    assert steps == list(range(1, len(of(alone, Step)) + 1))  # each told once, by one voice
    assert len(of(both, Checkpoint)) == len(of(alone, Checkpoint))
    losses = torch.tensor([step.loss for step in of(both, Step)])
    assert torch.allclose(losses, torch.tensor([s.loss for s in of(alone, Step)]), atol=1e-5)
    wanted, found = adapter(alone), adapter(both)
    assert wanted.keys() == found.keys()
    assert max(wanted[name].abs().max().item() for name in wanted if "lora_up" in name) > 1e-3
    worst = max((wanted[name] - found[name]).abs().max().item() for name in wanted)
    assert worst <= 1e-5
