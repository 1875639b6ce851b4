"""The adapters: one forward for every architecture, their training parameters and their files."""

from __future__ import annotations

from engine.networks.groups import GroupSpec
from engine.networks.max_norm import MaxNormReport
from engine.networks.network import LoadReport, Network
from engine.networks.problem import AdapterProblem

__all__ = [
    "AdapterProblem",
    "GroupSpec",
    "LoadReport",
    "MaxNormReport",
    "Network",
]
