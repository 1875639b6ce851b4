"""A report of a run for whoever is asked for help; the person's folders are not named in it."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from app.run_model import RunModel


def report_text(run: RunModel) -> str:
    """What happened, on what machine, with which settings, and the last of the log."""
    state = run.state
    hello, failure = state.hello, state.failure
    lines = [f"Graft report: {run.name}, {state.status}, step {state.step} of {state.total_steps}"]
    if hello is not None:
        lines.append(
            f"Graft {hello.version}, {hello.architecture}, {hello.device}, {hello.precision}"
        )
    lines.append(f"{platform.platform()}, Python {platform.python_version()}")
    if failure is not None:
        lines += ["", f"{failure.kind} ({failure.field}): {failure.message}", failure.mend]
    elif state.died:
        lines += ["", state.died]
    lines += ["", "Settings", json.dumps(run.settings, indent=1, default=str, ensure_ascii=False)]
    lines += ["", "Log", *(str(line) for line in list(run.log)[-80:])]
    text = "\n".join(lines)
    if run.directory is not None:
        text = text.replace(str(run.directory), "…")
    return text.replace(str(Path.home()), "~")
