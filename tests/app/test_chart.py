"""The loss chart and its numbers (spec: gui 7, check 17)."""

from __future__ import annotations

import csv
import io
import math

import numpy
import pytest
from PySide6.QtCore import QPointF
from PySide6.QtGui import QImage

from app.chart_data import ChartData, Peaks
from app.run_folder import read_facts
from app.run_state import RunState
from app.series import Column, Smoother
from app.widgets.chart import LossChart
from engine.protocol import (
    Event,
    Failure,
    Sample,
    Step,
    Validation,
)
from tests.app.run_events import hello, model_of, opened, step, write_run


def test_columns_grow_cut_and_fill():
    column = Column()
    for value in range(5000):
        column.append(value if value % 7 else None)
    assert len(column) == 5000
    assert math.isnan(column.values[7])
    assert column.values[4999] == 4999
    column.cut(10)
    column.fill_to(12)
    assert numpy.isnan(column.values[10:]).all()


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.98, 0.999])
def test_smoothing_goes_on_where_it_stopped_and_passes_gaps(weight):
    values = numpy.random.default_rng(1).random(5000)
    values[[0, 3, 4000]] = numpy.nan
    whole = Smoother(weight).extend(values)
    parts = Smoother(weight)
    joined = numpy.concatenate([parts.extend(values[:1]), parts.extend(values[1:1700]),
                                parts.extend(values[1700:])])  # fmt: skip
    numpy.testing.assert_allclose(joined, whole, rtol=1e-9)
    total = norm = 0.0
    for index, value in enumerate(values[:300]):
        present = math.isfinite(value)
        total = weight * total + (value if present else 0.0)
        norm = weight * norm + present
        if norm:
            assert whole[index] == pytest.approx(total / norm, rel=1e-9)


def test_thinning_keeps_every_spike():
    x = numpy.arange(100_000.0)
    y = numpy.zeros(100_000)
    y[54_321], y[99_999] = 9.0, 5.0
    for low, high, points in ((0, 1e5, 1500), (50_000, 60_000, 300), (54_300, 54_350, 300)):
        _, thinned = Peaks().cut(x, y, low, high, points)
        assert thinned.max() == 9.0
        assert len(thinned) <= points + 80
    assert Peaks().cut(x, y, 0, 1e5, 1500)[1][-1] == 5.0


def test_a_resume_throws_away_what_is_done_anew(tmp_path):
    state = RunState()
    state.apply(hello(tmp_path))
    state.apply_all(step(n) for n in range(1, 13))
    state.apply(Validation(step=10, loss=0.3))
    state.apply(Sample(step=12, path="a", prompt_index=0, prompt="", seed=0))
    state.apply(hello(tmp_path).model_copy(update={"resumed_from": 8}))
    assert state.columns["step"].values.tolist() == list(range(1, 9))
    assert (state.validations, state.samples, state.cuts) == ([], [], 1)
    data = ChartData(state)
    data.update()
    assert len(data.smoothed) == 8


def test_axes_of_steps_epochs_and_minutes(tmp_path):
    state = RunState()
    state.apply(hello(tmp_path))
    state.apply_all(step(n) for n in range(1, 31))
    data = ChartData(state)
    data.update()
    assert data.x()[-1] == 30
    assert data.x_of([15]).tolist() == [15]
    data.axis = "epoch"
    assert (data.x()[-1], data.end()) == (3.0, 5.0)
    data.axis = "time"
    assert data.x()[-1] == pytest.approx(1.0)  # 30 steps of 2 s
    assert data.x_of([15])[0] == pytest.approx(0.5)
    assert data.index_at(0.51) == 14


def test_check_17_csv_equals_the_events(qtbot, tmp_path):
    events = [hello(tmp_path), Validation(step=0, loss=0.61)]
    events += [step(n, None if n == 4 else 0.1 + 1 / (3 * n)) for n in range(1, 11)]
    events.append(Validation(step=10, loss=0.123456789))
    model = model_of(events, tmp_path)
    chart = LossChart()
    qtbot.addWidget(chart)
    chart.set_model(model)
    chart.export(tmp_path / "loss.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "loss.csv").read_text())))
    assert [row["step"] for row in rows] == [str(n) for n in range(11)]
    told = {event.step: event for event in events if isinstance(event, Step)}
    for row in rows[1:]:
        event = told[int(row["step"])]
        assert (float(row["loss"]) if row["loss"] else None) == event.loss
        assert float(row["learning_rate unet"]) == event.learning_rates["unet"]
        assert float(row["grad_norm"]) == event.grad_norm
        assert float(row["time"]) == event.time
        assert int(row["memory"]) == event.memory_bytes
    assert float(rows[0]["validation"]) == 0.61
    assert float(rows[10]["validation"]) == 0.123456789


def test_check_17_panning_stops_following_and_follow_comes_back(qtbot, tmp_path):
    model = model_of([hello(tmp_path), *(step(n) for n in range(1, 21))], tmp_path)
    chart = LossChart()
    qtbot.addWidget(chart)
    chart.resize(700, 420)
    chart.set_model(model)
    chart.show()
    box = chart.plots.loss_plot.getViewBox()
    assert box.viewRange()[0][1] == pytest.approx(50)
    box.setXRange(3, 9, padding=0)
    box.taken_over.emit()
    assert not chart.follow.isChecked()
    model.state.apply(step(21))
    chart.refresh()
    assert box.viewRange()[0] == pytest.approx([3, 9])
    chart.follow.setChecked(True)
    assert box.viewRange()[0][1] == pytest.approx(50)
    assert box.viewRange()[0][0] < 0


def test_the_chart_shows_gaps_marks_failures_and_a_read_out(qtbot, tmp_path):
    events: list[Event] = [hello(tmp_path), *(step(n, None if n == 5 else 0.5 / n)
                                              for n in range(1, 21))]  # fmt: skip
    events += [Sample(step=10, path="s", prompt_index=0, prompt="", seed=0),
               Failure(kind="memory", message="m", step=20)]  # fmt: skip
    chart = LossChart()
    qtbot.addWidget(chart)
    chart.resize(700, 420)
    chart.set_model(model_of(events, tmp_path))
    chart.show()
    marks = chart.plots._marks
    assert len(marks.flags.points()) == 1
    assert marks.fail_line.isVisible()
    assert "out of memory, step 20" in marks.fail_words.toPlainText()
    with qtbot.waitSignal(chart.step_chosen) as signal:
        marks._on_clicked(None, [marks.marks.points()[0]])
    assert signal.args == [10]
    place = chart.plots.loss_plot.getViewBox().mapViewToScene(QPointF(10.2, 0.1))
    chart.plots._on_mouse_moved(place)
    assert chart._readout.isVisible()
    assert chart._readout._title == "Step 10"
    assert ("raw", "Raw", "0.0500") in chart._readout._rows
    chart.log.setChecked(True)
    low, high = chart.plots.loss_plot.getViewBox().viewRange()[1]
    assert 10**low < 0.03 < 0.3 < 10**high


def test_the_chart_is_written_as_picture_and_drawing(qtbot, tmp_path):
    chart = LossChart()
    qtbot.addWidget(chart)
    chart.resize(600, 300)
    chart.set_model(model_of([hello(tmp_path), *(step(n) for n in range(1, 9))], tmp_path))
    chart.show()
    chart.export(tmp_path / "c.png")
    chart.export(tmp_path / "c.svg")
    assert QImage(str(tmp_path / "c.png")).width() >= 600
    assert "<svg" in (tmp_path / "c.svg").read_text()
    with qtbot.waitSignal(chart.trouble):
        chart.export(tmp_path / "missing" / "c.gif")


def test_check_17_a_point_more_at_100_000_is_cheap(qtbot):
    from app.bench_chart import run

    figures = run(quick=True)
    assert figures["points"] == 100_000
    assert figures["append_ms_median"] < 2.0


def test_other_runs_are_laid_over_the_chart(qtbot, tmp_path, views):
    folders = [
        write_run(tmp_path / name, [hello(tmp_path / name), *map(step, range(1, 41)), *marks])
        for name, marks in (
            ("one", [Validation(step=20, loss=0.3)]),
            ("two", [Validation(step=10, loss=0.6), Validation(step=40, loss=2.5)]),
        )
    ]
    opened(qtbot, views, folders[0])
    other = read_facts(folders[1])
    page = views.progress
    page.set_other_runs([read_facts(folders[0]), other])
    page.resize(900, 600)
    page.show()
    chart = page.chart
    assert chart is not None
    assert [run.directory for run in chart._other_runs()] == [other.directory]
    overlays = chart.plots.overlays
    before = chart.plots.loss_plot.getViewBox().viewRange()[1][1]
    with qtbot.waitSignal(overlays.changed, timeout=5000):
        chart.lay_over(other, True)
    drawn = overlays._shown[other.directory]
    x, y = drawn.smoothed.getData()
    assert (x[0], x[-1]) == (1, 40)
    assert y == pytest.approx(drawn.data.smoothed)
    assert drawn.validation.getData()[1].tolist() == [0.6, 2.5]
    assert drawn.words.isVisible()
    assert chart.plots.loss_plot.getViewBox().viewRange()[1][1] > max(before, 2.5)
    chart.set_axis("epoch")
    assert drawn.smoothed.getData()[0][-1] == pytest.approx(4.0)
    chart.lay_over(other, False)
    assert overlays.names == {}
    assert chart.plots.loss_plot.getViewBox().viewRange()[1][1] < 2.5


def test_no_more_than_four_runs_lie_over_the_chart(qtbot, tmp_path):
    chart = LossChart()
    qtbot.addWidget(chart)
    for number in range(6):
        folder = tmp_path / str(number)
        events = [hello(folder), *map(step, range(1, 5))]
        with qtbot.waitSignal(chart.plots.overlays.changed, timeout=5000):
            chart.lay_over(read_facts(write_run(folder, events)), True)
    qtbot.waitUntil(lambda: len(chart.plots.overlays._shown) == 4, timeout=5000)
    assert list(chart.plots.overlays.names.values()) == ["otter"] * 4
    assert {o.look for o in chart.plots.overlays._shown.values()} == {0, 1, 2, 3}


def test_a_chart_without_a_run_tells_no_failure(qtbot):
    chart = LossChart()
    qtbot.addWidget(chart)
    chart.show()
    marks = chart.plots._marks
    assert not marks.fail_line.isVisible()
    assert not marks.fail_words.isVisible()
    assert chart.plots.rate_plot not in chart.plots.ci.items
    assert chart.plots.norm_plot not in chart.plots.ci.items
