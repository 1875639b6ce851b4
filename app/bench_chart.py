"""Benchmark (c): one point more on a chart that holds 100,000."""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from typing import Any

POINTS = 100_000


def run(quick: bool = False) -> dict[str, Any]:
    """Milliseconds of processor time: one step more with its lines renewed; the rest apart."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance() or QApplication([])
    from app.run_model import RunModel
    from app.widgets.chart import LossChart
    from engine.protocol import Hello, Step

    model = RunModel("bench")
    state, draw = model.state, random.Random(1)
    state.apply(
        Hello(run_directory="", name="bench", architecture="sd1", device="", total_steps=POINTS * 2)
    )

    def step(number: int) -> Step:
        loss = 0.4 + 0.1 * math.exp(-number / 20_000) + draw.gauss(0, 0.05)
        rates = {"unet": 1e-4 * (1 - number / (3 * POINTS)), "text": 5e-5}
        return Step(
            step=number, epoch=1, loss=loss, learning_rates=rates, grad_norm=1.0, seconds=0.1
        )

    for number in range(1, POINTS + 1):
        state.apply(step(number))
    chart = LossChart()
    chart.resize(1000, 460)
    chart.plots.show_grad_norm = True
    chart.set_model(model)
    chart.show()
    app.processEvents()
    appends: list[float] = []
    redraws: list[float] = []
    paints: list[float] = []
    for number in range(POINTS + 1, POINTS + (40 if quick else 300)):
        event = step(number)
        start = time.thread_time()
        state.apply(event)
        chart.refresh()
        appends.append((time.thread_time() - start) * 1e3)
        if number % 5 == 0:
            start = time.thread_time()
            chart.plots.redraw()
            redraws.append((time.thread_time() - start) * 1e3)
        start = time.thread_time()
        chart.plots.viewport().repaint()
        paints.append((time.thread_time() - start) * 1e3)
    chart.close()
    return {
        "points": POINTS,
        "append_ms_median": statistics.median(appends),
        "append_ms_p95": sorted(appends)[int(len(appends) * 0.95)],
        "all_strips_and_marks_ms_median": statistics.median(redraws),
        "paint_ms_median": statistics.median(paints),
    }
