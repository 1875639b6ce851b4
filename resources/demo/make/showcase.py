"""The pictures that tell what the demo does: one prompt from the base model to the adapter."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.protocol import Sample, parse_event


def write_showcase(run: Path, folder: Path, prompt_index: int = 0) -> list[Path]:
    """Copy the previews of one prompt out of a demo run's folder, in the order of their steps.

    A name is a number and what stands under the picture: 2-step_50.png.

    Raises:
        ValueError: the run has drawn no preview of that prompt.
    """
    lines = (run / "events.jsonl").read_bytes().splitlines()
    events = [parse_event(line) for line in lines]
    samples = [
        event
        for event in events
        if isinstance(event, Sample) and event.prompt_index == prompt_index
    ]
    if not samples:
        raise ValueError(f"{run} has no preview of prompt {prompt_index}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    written = []
    for number, sample in enumerate(sorted(samples, key=lambda one: one.step), start=1):
        words = f"step_{sample.step}" if sample.step else "base_model"
        written.append(folder / f"{number}-{words}.png")
        shutil.copyfile(run / sample.path, written[-1])
    return written
