"""`[launch]`: on which device the engine runs, and how much it says."""

from __future__ import annotations

from typing import Literal

from engine.schema.field import When, option
from engine.schema.table import Table

_SEVERAL = When("launch.processes", not_equals=(1,))
_MACHINES = When("launch.machines", not_equals=(1,))


class Launch(Table):
    """Device, threads and network for the engine process."""

    device: str = option(
        "auto",
        "Device",
        "auto takes the first GPU, or the processor where there is none.",
        suggestions=("auto", "cuda:0", "cuda:1", "cpu", "mps"),
        basic=True,
    )
    processes: int = option(
        1,
        "Processes",
        "How many graphics cards of this machine train together, one process each. A step then has "
        "so many times the batch. They are started by accelerate.",
        ge=1,
        le=64,
        section="Several cards",
        aliases=("num_processes",),
    )
    devices: str | None = option(
        None,
        "Cards",
        "Which cards, by their numbers: 0,1.",
        empty="the first ones",
        section="Several cards",
        aliases=("gpu_ids",),
        only_if=_SEVERAL,
    )
    machines: int = option(
        1,
        "Machines",
        "How many machines train together; start the same job on each.",
        ge=1,
        le=64,
        section="Several cards",
        aliases=("num_machines",),
    )
    machine_rank: int = option(
        0,
        "This machine's number",
        "0 is the one that saves; the others count up.",
        ge=0,
        le=63,
        section="Several cards",
        only_if=_MACHINES,
    )
    main_address: str | None = option(
        None,
        "Address of machine 0",
        "Its name or IP address, as the others reach it.",
        empty="none",
        section="Several cards",
        aliases=("main_process_ip",),
        only_if=_MACHINES,
    )
    port: int | None = option(
        None,
        "Port",
        "Where the processes meet. Empty: a free one, or 29500 with several machines.",
        ge=1024,
        le=65535,
        empty="chosen by itself",
        section="Several cards",
        aliases=("main_process_port",),
    )
    timeout_minutes: int = option(
        240,
        "Patience",
        "How long the processes wait for each other, as while the first draws previews or while "
        "the run is paused.",
        ge=1,
        le=10080,
        unit="minutes",
        section="Several cards",
        aliases=("ddp_timeout",),
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
