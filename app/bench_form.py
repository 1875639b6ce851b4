"""Bench: how long the window stands still at its start and while its form becomes another one.

A turn is what the event loop does between two looks at mouse and keys; processor time of the
window's own thread, so that what others do on the machine does not count.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAME = 1 / 60
SETTLED = 40  # idle turns in a row after which nothing more comes


def run(quick: bool, rounds: int = 0) -> dict[str, Any]:
    """Do each act `rounds` times (0: 3 or 7); medians of the longest turn, in frames of 60 Hz."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    rounds = rounds or (3 if quick else 7)
    with tempfile.TemporaryDirectory() as home:
        os.environ["GRAFT_HOME"] = home
        return _measure(Path(home), rounds)


def _measure(home: Path, rounds: int) -> dict[str, Any]:
    from PySide6.QtCore import QTimer

    from app.main import make_application, open_window, parser
    from app.theme import switch

    app = make_application()
    window = open_window(parser().parse_args([]))

    def longest(act: Callable[[], object]) -> float:
        """Seconds of the longest turn until all that the act brings about is done."""
        QTimer.singleShot(0, act)
        turns, idle, end = [0.0], 0, time.monotonic() + 10
        while idle < SETTLED and time.monotonic() < end:
            start = time.thread_time()
            app.processEvents()
            turns.append(time.thread_time() - start)
            idle = 0 if turns[-1] > 1e-3 else idle + 1
            time.sleep(1e-3)
        return max(turns)

    def preset(number: int) -> Callable[[], object]:
        return lambda: window.load_preset(window.store.all("sdxl")[number])

    figures: dict[str, Any] = {"start": round(longest(lambda: None) / FRAME, 2)}
    (home / "pictures").mkdir()
    window.document.set("model.path", str(home / "model.safetensors"))
    window.document.set("dataset.folders", [{"path": str(home / "pictures")}])
    longest(lambda: None)
    acts: dict[str, Callable[[], object]] = {
        "sd1_to_flux": lambda: window.choose_architecture("flux"),
        "flux_to_sdxl": lambda: window.choose_architecture("sdxl"),
        "another_preset": preset(1),
        "basic_to_all": lambda: window.pane.set_shows_all(True),
        "all_preset": preset(2),
        "all_to_basic": lambda: window.pane.set_shows_all(False),
        "to_dark": lambda: switch().apply("dark"),
        "to_light": lambda: switch().apply("light"),
        "sdxl_to_sd1": lambda: window.choose_architecture("sd1"),
    }
    found: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            found[name].append(longest(act) / FRAME)
    for name, frames in found.items():
        figures[name] = {
            "first": round(frames[0], 2),
            "later": round(statistics.median(frames[1:]), 2),
        }
    return figures
