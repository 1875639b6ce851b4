"""`[launch]`: on which device the engine runs, and how much it says."""

from __future__ import annotations

from typing import Literal

from engine.schema.field import option
from engine.schema.table import Table


class Launch(Table):
    """Device, threads and network for the engine process."""

    device: str = option(
        "auto",
        "Device",
        "auto takes the first GPU, or the processor where there is none.",
        suggestions=("auto", "cuda:0", "cuda:1", "cpu", "mps"),
        basic=True,
    )
    cpu_threads: int | None = option(
        None,
        "Processor threads",
        "Threads for computing on the processor.",
        ge=1,
        le=1024,
        empty="all cores",
    )
    offline: bool = option(
        True,
        "Stay offline",
        "Never use the network: a hub id must already be in the cache. Off lets the engine "
        "download what the base model needs.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "info",
        "Log detail",
        "How much the log says.",
        aliases=("console_log_level",),
    )
