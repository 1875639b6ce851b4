"""What the person prefers for every run: folder, device, threads, where a job says nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from app.settings import Settings
from engine.schema.options import get_at, options, set_at

RUN_DEFAULTS = {
    "output.directory": "run/folder",
    "launch.device": "run/device",
    "launch.cpu_threads": "run/threads",
}
"""Field of the job → key of the preference that stands in for it while it is at its default."""


def preferred(settings: Settings, path: str) -> Any:
    """The preference for a field; None where there is none."""
    value = settings.get(RUN_DEFAULTS[path], None)
    return None if value in ("", "auto") else value


def with_run_defaults(data: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """A job to train, with the preferences where it says nothing of its own."""
    job = copy.deepcopy(dict(data))
    for path in RUN_DEFAULTS:
        value = preferred(settings, path)
        if value is not None and get_at(job, path) in (None, "", options()[path].default):
            set_at(job, path, value)
    return job
