"""Bench (b): from the start of the process to the first paint, against a bare QMainWindow.

The window goes the way of a whole start: one instance, form, pages. It is measured in a new home,
and with the job of a last session, whose rows fill the form.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "diffusers", "transformers", "numpy", "pyqtgraph", "superqt")

_TAIL = """
import json, os, sys, time
from PySide6.QtCore import QEvent, QObject, QTimer
class Watch(QObject):
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint and watched is window:
            QTimer.singleShot(0, done)
        return False
def done():
    wall = time.time() - float(os.environ["GRAFT_BENCH_START"])
    heavy = [name for name in HEAVY if name in sys.modules]
    print(json.dumps({"wall": wall, "cpu": time.process_time(), "heavy": heavy}), flush=True)
    os._exit(0)
watch = Watch()
window.installEventFilter(watch)
window.show()
app.exec()
"""
_BARE = """
from PySide6.QtWidgets import QApplication, QMainWindow
app = QApplication([])
window = QMainWindow()
window.resize(1280, 800)
"""
_SESSION = """
schema = 1
[session]
preset = "First steps, 6 GB"
[model]
architecture = "sd1"
path = "/models/model.safetensors"
[[dataset.folders]]
path = "/pictures"
"""
_OURS = """
from app.main import make_application, open_window, parser
from app.settings import places
from app.single_instance import SingleInstance
app = make_application()
assert SingleInstance(places().state).claim()
window = open_window(parser().parse_args([]))
"""


def run(quick: bool, rounds: int = 0) -> dict[str, Any]:
    """Start both in turn, `rounds` times (0: 3 or 7); medians of seconds, and their ratio.

    The ratio is of processor time, as wall time also counts what others do on the machine.
    """
    rounds = rounds or (3 if quick else 7)
    sides = ("bare", "window", "restored")
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as new, tempfile.TemporaryDirectory() as used:
        session = Path(used, "state", "session.toml")
        session.parent.mkdir()
        session.write_text(_SESSION, encoding="utf-8")
        starts = {"bare": (_BARE, new), "window": (_OURS, new), "restored": (_OURS, used)}
        for round_ in range(rounds + 1):
            for side, start in starts.items():
                measured = _start(*start)
                if round_:  # the first warms the disk cache
                    found[side].append(measured)
    median = {
        (side, kind): statistics.median(m[kind] for m in found[side])
        for side in sides for kind in ("cpu", "wall")
    }  # fmt: skip
    return {
        **{f"{s}_{kind}_seconds": round(value, 4) for (s, kind), value in median.items()},
        "ratio": round(median["window", "cpu"] / median["bare", "cpu"], 3),
        "restored_ratio": round(median["restored", "cpu"] / median["bare", "cpu"], 3),
        "goal": 3.0,
        "heavy_modules": sorted({n for s in sides[1:] for m in found[s] for n in m["heavy"]}),
    }


def _start(program: str, home: str) -> dict[str, Any]:
    """Start a window in a process of its own; seconds to its first paint."""
    import time

    environment = {**os.environ, "GRAFT_HOME": home, "PYTHONPATH": str(ROOT)}
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: modules are compiled once
    environment["GRAFT_BENCH_START"] = str(time.time())
    text = f"HEAVY = {HEAVY!r}\n{program}{_TAIL}"
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"The window did not paint: {done.stderr[-800:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
