"""What stands before the script in a command: accelerate's own arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.values import Misfit, whole

_TAKEN = {
    "num_processes": "launch.processes",
    "num_machines": "launch.machines",
    "machine_rank": "launch.machine_rank",
    "main_process_ip": "launch.main_address",
    "main_process_port": "launch.port",
    "gpu_ids": "launch.devices",
}
_NOTHING = {
    "multi_gpu": "the number of processes says it",
    "mixed_precision": "the script's own option counts",
    "num_cpu_threads_per_process": "threads are chosen by themselves; launch.cpu_threads sets them",
    "dynamo_backend": "training.compile is the switch",
    "quiet": "a matter of accelerate's terminal",
    "config_file": "accelerate's own settings are not read; see Several cards under Launch",
}


def read_launcher(draft: Draft, values: Mapping[str, Any]) -> None:
    """Put accelerate's arguments into the draft."""
    for key, value in values.items():
        name = f"accelerate {key}"
        if key in _TAKEN:
            _take(draft, name, value, _TAKEN[key])
        else:
            draft.drop(name, value, _NOTHING.get(key, "accelerate is started by Graft itself"))


def _take(draft: Draft, name: str, value: Any, path: str) -> None:
    try:
        unset = path == "launch.port" and whole(value) == 0
    except Misfit:
        unset = False
    if unset or value in ("", "all"):
        draft.unset(name, value)
    else:
        draft.take(name, value, path)
