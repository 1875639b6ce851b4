"""`bench`: speed and memory as ratios, measured in one run; a table and JSON."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

PARTS = {
    "adapters": "engine.bench.adapters",
    "files": "engine.bench.files",
    "startup": "engine.bench.startup",
    "plan": "engine.bench.plan",
    "window": "app.bench_window",
    "form": "app.bench_form",
    "chart": "app.bench_chart",
    "pipe": "app.bench_pipe",
}
"""Part → module with `run(quick: bool) -> dict`; each runs in a process of its own."""

_ONE = (
    "import importlib, json, sys; print(json.dumps(importlib.import_module(sys.argv[1]).run({})))"
)


def main(argv: list[str]) -> int:
    """Run the parts asked for and print their figures; exit 1 if one could not be measured."""
    parser = argparse.ArgumentParser(
        prog="main.py bench",
        description=__doc__,
        epilog="example: python main.py bench adapters window --json bench.json",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--quick", action="store_true", help="toy sizes: seconds, not minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args(argv)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part '{unknown[0]}'; there are {', '.join(PARTS)}")
    figures: dict[str, Any] = {"machine": _machine(), "quick": options.quick, "parts": {}}
    failed = False
    for part in options.parts or PARTS:
        print(f"{part} …", flush=True)
        start = time.perf_counter()
        figures["parts"][part], words = _measure(PARTS[part], options.quick)
        if words:
            failed = True
            print(f"  could not be measured: {words}")
        for line in _rows(figures["parts"][part]):
            print(line)
        print(f"  ({time.perf_counter() - start:.0f} s)")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        print(f"written: {options.json}")
    return 1 if failed else 0


def _measure(module: str, quick: bool) -> tuple[dict[str, Any], str]:
    """Run one part; its figures, and why there are none."""
    code = _ONE.format(f"quick={quick}")
    done = subprocess.run(
        [sys.executable, "-c", code, module],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return {}, f"{module} ended with code {done.returncode}"
    return json.loads(lines[-1]), ""


def _rows(figures: dict[str, Any], indent: int = 2) -> list[str]:
    """Nested figures as lines of name and number."""
    rows = []
    for name, value in figures.items():
        words = name.replace("_", " ")
        if isinstance(value, dict):
            rows.append(f"{' ' * indent}{words}")
            rows.extend(_rows(value, indent + 2))
        elif isinstance(value, float):
            rows.append(f"{' ' * indent}{words:<{44 - indent}}{value:>12.4g}")
        else:
            rows.append(f"{' ' * indent}{words:<{44 - indent}}{value!s:>12}")
    return rows


def _machine() -> dict[str, Any]:
    import os

    machine: dict[str, Any] = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    if importlib.util.find_spec("torch") is not None:
        machine["torch"] = importlib.metadata.version("torch")
    return machine
