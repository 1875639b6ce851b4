"""What the plan costs at each keystroke, as a part of one frame of a 60 Hz screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.plan.ranks import place
from engine.plan.sites import RULES, sites_of
from engine.plan.summary import summarize
from engine.schema.job import Job
from engine.schema.network import Network

FRAME_MS = 1000 / 60


def run(quick: bool = False) -> dict[str, Any]:
    """Measure, for every architecture: placing ranks by two patterns, and the whole summary.

    Returns:
        Milliseconds of processor time, the best of some, and the summary's part of a frame.
    """
    rounds = 3 if quick else 20
    figures: dict[str, Any] = {}
    for architecture in RULES:
        sites = sites_of(architecture)
        network = Network(network_reg_dims=["blocks_0_=8", "mlp=2"])
        spec = Job.model_validate({"model": {"architecture": architecture}})
        placing = _best_ms(lambda n=network, s=sites, a=architecture: place(n, s, a), rounds)
        whole = _best_ms(lambda job=spec: summarize(job), rounds)
        figures[architecture] = {
            "sites": len(sites),
            "place_ms": placing,
            "summary_ms": whole,
            "summary_to_frame": whole / FRAME_MS,
        }
    return figures


def _best_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of a call, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best * 1000
