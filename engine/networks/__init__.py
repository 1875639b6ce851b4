"""The adapters: one forward for every architecture, their training parameters and their files."""

from __future__ import annotations

from engine.networks.attach import Handle, attach_file
from engine.networks.groups import GroupSpec
from engine.networks.max_norm import MaxNormReport
from engine.networks.network import LoadReport, Network
from engine.networks.problem import AdapterProblem
from engine.networks.start import start_network

__all__ = [
    "AdapterProblem",
    "GroupSpec",
    "Handle",
    "LoadReport",
    "MaxNormReport",
    "Network",
    "attach_file",
    "start_network",
]
