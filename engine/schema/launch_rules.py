"""Rules of `[launch]`: which device, how many cards and machines, and what needs a card."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.schema.job import Job
from engine.schema.problem import Problem


def broken_launch(job: Job) -> Iterator[Problem]:
    """Yield what is wrong among the options of devices and processes."""
    device = job.launch.device
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        yield Problem("launch.device", f"'{device}' is no device: auto, cpu, mps, cuda, cuda:1.")
    if job.model.weights == "nf4" and device in ("cpu", "mps"):
        yield Problem(
            "model.weights",
            f"nf4 weights need an NVIDIA card, and this run is on {device}. Set Weights kept as to "
            "int8.",
            fix=(("model.weights", "int8"),),
            fix_label="Set int8",
        )
    yield from _several(job)


def _several(job: Job) -> Iterator[Problem]:
    launch = job.launch
    if launch.processes > 1 and re.fullmatch(r"mps|cuda:\d+", launch.device):
        yield Problem(
            "launch.device",
            f"{launch.processes} processes need a card each, and {launch.device} is one. Set "
            "Device to auto.",
            fix=(("launch.device", "auto"),),
            fix_label="Set auto",
        )
    if launch.processes > 1 and launch.devices:
        yield from _cards(launch.devices, launch.processes)
    if launch.machines > 1:
        if launch.machine_rank >= launch.machines:
            yield Problem(
                "launch.machine_rank",
                f"{launch.machines} machines have the numbers 0 to {launch.machines - 1}, not "
                f"{launch.machine_rank}.",
            )
        if not launch.main_address:
            yield Problem(
                "launch.main_address",
                "Several machines meet at machine 0: give its name or IP address.",
            )


def _cards(text: str, processes: int) -> Iterator[Problem]:
    numbers = [each.strip() for each in text.split(",")]
    if not all(each.isascii() and each.isdigit() for each in numbers):
        yield Problem("launch.devices", f"'{text}' are no cards: write their numbers, as 0,1.")
    elif len(set(numbers)) != len(numbers):
        yield Problem("launch.devices", f"'{text}' names a card twice.")
    elif len(numbers) != processes:
        yield Problem(
            "launch.devices",
            f"{len(numbers)} cards are named, and there are {processes} processes. Name one for "
            "each.",
            fix=(("launch.processes", len(numbers)),),
            fix_label=f"Set Processes to {len(numbers)}",
        )
