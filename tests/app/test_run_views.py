"""The pages of a run: chart, previews, panel, log (spec: gui 7, checks 17 and 23)."""

from __future__ import annotations

import csv
import io
import math
import time
from pathlib import Path

import numpy
import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QImage

from app import theme
from app.chart_data import ChartData, Peaks
from app.run_model import RunModel
from app.run_state import RunState
from app.runs import RunController
from app.series import Column, Smoother
from app.training_views import TrainingViews
from app.widgets.chart import LossChart
from engine.protocol import (
    Checkpoint,
    Event,
    Failure,
    Finished,
    Hello,
    Phase,
    Sample,
    Step,
    Validation,
    encode,
)
from engine.schema.job import Job
from engine.schema.job_file import save_job
from tests.app.run_support import controller, fake


def hello(folder: Path, total: int = 50) -> Hello:
    return Hello(
        run_directory=str(folder), name="otter", architecture="sd1", device="CPU",
        total_steps=total, total_epochs=5, steps_per_epoch=10,
    )  # fmt: skip


def step(number: int, loss: float | None = 0.5) -> Step:
    return Step(
        step=number, epoch=1 + (number - 1) // 10, loss=loss, loss_smooth=0.4,
        learning_rates={"unet": 1e-4 / number}, grad_norm=1.5, seconds=2.0, time=1000.0 + number,
        memory_bytes=2_000_000_000, memory_peak_bytes=3_000_000_000,
    )  # fmt: skip


def model_of(events: list[Event], folder: Path) -> RunModel:
    model = RunModel("otter")
    model.directory = folder
    model.state.apply_all(events)
    return model


def write_run(folder: Path, events: list[Event]) -> Path:
    (folder / "samples").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    job = Job().model_dump()
    job["samples"].update(every_steps=10, every_epochs=None)
    save_job(folder / "job.toml", job)
    for event in events:
        if isinstance(event, Sample):
            shade = (event.step * 5 % 256, event.prompt_index * 20, 90)
            Image.new("RGB", (32, 32), shade).save(folder / event.path)
        if isinstance(event, Checkpoint):
            (folder / event.path).write_bytes(b"x")
    (folder / "events.jsonl").write_bytes(b"".join(encode(event) for event in events))
    return folder


def gallery_events(folder: Path, prompts: int, steps: int) -> list[Event]:
    events: list[Event] = [hello(folder, steps * 10)]
    for column in range(steps):
        at = column * 10
        if at:
            events.append(step(at))
        events += [
            Sample(step=at, path=f"samples/{p}_{at}.png", prompt_index=p, prompt=f"cat {p}", seed=p)
            for p in range(prompts)
        ]
        if at and at % 20 == 0:
            events.append(
                Checkpoint(step=at, path=f"checkpoints/otter-{at}.safetensors", size_bytes=1)
            )
    return events


# Numbers


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


# Chart


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


# Previews


@pytest.fixture
def views(qtbot, tmp_path):
    runs = RunController(tmp_path / "state", fake("train"))
    made = TrainingViews(runs)
    for _, _, page in made.pages:
        qtbot.addWidget(page)
    qtbot.addWidget(made.panel)
    return made


def opened(qtbot, views: TrainingViews, folder: Path) -> RunModel:
    model = views.runs.open_run(folder)
    with qtbot.waitSignal(model.reloaded, timeout=5000):
        pass
    qtbot.waitUntil(lambda: bool(model.settings), timeout=5000)
    return model


def test_check_23_twelve_prompts_and_fifty_steps(qtbot, views, tmp_path):
    folder = write_run(tmp_path / "run", gallery_events(tmp_path / "run", 12, 50))
    opened(qtbot, views, folder)
    grid = views.grid
    assert (grid.rowCount(), len(grid.steps)) == (12, 50)
    titles = [grid.headerData(n, Qt.Orientation.Horizontal) for n in (1, 2, 50)]
    assert titles == ["Base model", "Step 10", "Step 490"]
    assert grid.data(grid.index(3, 0)) == "cat 3"
    index = grid.index_of(3, 250)
    sample = grid.sample_at(index)
    assert sample is not None
    assert (sample.step, sample.prompt_index, sample.path) == (250, 3, "samples/3_250.png")
    urls = grid.mimeData([index]).urls()
    assert urls[0].toLocalFile() == str(folder / "samples/3_250.png")
    samples = views.samples
    samples.resize(900, 600)
    samples.show()
    assert not samples.gallery.frozen.isColumnHidden(1)
    assert samples.gallery.table.isColumnHidden(1)
    samples.show_two(3, 0, 250)
    pane = samples.compare.pane
    qtbot.waitUntil(lambda: pane._images[1] is not None and pane._images[0] is not None)
    assert (pane.title(0), pane.title(1)) == ("Base model", "Step 250")
    first, second = pane._images
    assert first.pixelColor(4, 4).red() == 0
    assert second.pixelColor(4, 4).red() == 250 * 5 % 256
    pane.set_mode("difference")
    difference = pane._make_difference(first, second)
    assert difference.pixelColor(4, 4).red() == min(255, 2 * (250 * 5 % 256))
    assert difference.pixelColor(4, 4).green() == 0


def test_check_23_a_star_protects_its_file(qtbot, views, tmp_path):
    folder = write_run(tmp_path / "run", gallery_events(tmp_path / "run", 1, 6))
    opened(qtbot, views, folder)
    mark = folder / "checkpoints/otter-40.safetensors.keep"
    views.samples.show_one(0, 40)
    views.samples.star.click()
    qtbot.waitUntil(mark.exists)
    assert views.grid.is_starred(40)
    assert not views.grid.is_starred(20)
    views.samples.star.click()
    qtbot.waitUntil(lambda: not mark.exists())
    with qtbot.waitSignal(views.samples.trouble) as signal:
        views.samples._star(30)
    assert "step 30" in signal.args[0]


def test_the_real_engine_spares_a_starred_file(tmp_path):
    import os

    from app.run_folder import set_star, stars
    from engine.training import checkpoints

    run = tmp_path / "run"
    folder = run / "checkpoints"
    folder.mkdir(parents=True)
    files = [folder / f"otter-step{n:08d}.safetensors" for n in (10, 20, 30)]
    for number, file in enumerate(files):
        file.write_bytes(b"x")
        os.utime(file, (number, number))
    set_star(files[0], True)
    assert stars(run) == {files[0].name}
    assert checkpoints.remove_old(folder, "otter", 1, set()) == [files[1]]
    assert files[0].exists()


def test_wiping_stepping_and_closing_a_picture(qtbot, views, tmp_path):
    folder = write_run(tmp_path / "run", gallery_events(tmp_path / "run", 2, 4))
    opened(qtbot, views, folder)
    samples = views.samples
    samples.resize(800, 600)
    samples.show()
    samples.show_two(0, 0, 30)
    pane = samples.compare.pane
    qtbot.waitUntil(lambda: pane._images[0] is not None)
    at = QPoint(round(pane._first_spot().x() + pane._first_spot().width() * 0.25), 60)
    qtbot.mouseClick(pane, Qt.MouseButton.LeftButton, pos=at)
    assert pane.wipe == pytest.approx(0.25, abs=0.02)
    samples.show_one(0, 10)
    qtbot.keyClick(pane, Qt.Key.Key_Period)
    assert samples.compare.step == 20
    qtbot.keyClick(pane, Qt.Key.Key_Right)
    assert samples.compare.prompt == 1
    samples.compare.slider.setValue(0)
    assert samples.compare.step == 0
    qtbot.keyClick(pane, Qt.Key.Key_Escape)
    assert samples.view.value() == "grid"
    assert samples.gallery.current() == (1, 0)
    qtbot.keyClick(samples.gallery.table, Qt.Key.Key_Space)
    assert samples.view.value() == "one"


def test_a_new_preview_is_seen_at_once_and_the_next_is_told(qtbot, views, tmp_path):
    folder = write_run(tmp_path / "run", gallery_events(tmp_path / "run", 1, 3))
    model = opened(qtbot, views, folder)
    model.state.alive = True
    Image.new("RGB", (32, 32)).save(folder / "samples/0_30.png")
    start = time.monotonic()
    model._on_events([step(25), Sample(step=30, path="samples/0_30.png", prompt_index=0,
                                       prompt="cat 0", seed=0)])  # fmt: skip
    qtbot.waitUntil(lambda: 30 in views.grid.steps, timeout=2000)
    assert time.monotonic() - start < 1.0
    assert views.grid.steps == [0, 10, 20, 30]
    model.state.hello = hello(folder, 100)
    model.state.apply(step(31))
    views.grid.refresh()
    assert views.grid.planned == [40, 50, 60]
    assert views.grid.planned_words(40) == ("in 9 steps", "18 s")


# Panel, log


def test_the_header_tells_phase_figures_and_commands(qtbot, tmp_path):
    runs = controller(tmp_path, 'train:{"steps":100000,"pause":0.002}')
    views = TrainingViews(runs)
    qtbot.addWidget(views.panel)
    runs.start({"model": {"architecture": "sd1"}})
    views.panel.show()
    model = runs.running
    assert model is not None
    qtbot.waitUntil(lambda: model.state.step > 2, timeout=20_000)
    header = views.panel.header
    qtbot.waitUntil(lambda: header.pause.isEnabled(), timeout=5000)
    assert header.isVisible()
    assert "of 100,000 steps" in header.figures.accessibleName()
    header.pause.click()
    qtbot.waitUntil(lambda: header.pause.accessibleName() == "Resume", timeout=5000)
    assert header.phase.text() == "paused"
    header.pause.click()
    qtbot.waitUntil(lambda: header.pause.accessibleName() == "Pause", timeout=5000)
    header.save.click()
    qtbot.waitUntil(lambda: len(model.state.files()) == 1, timeout=5000)
    with qtbot.waitSignal(runs.run_ended, timeout=10_000):
        header.stop.click()
        qtbot.waitUntil(lambda: "stopping" in header.phase.text() or not model.is_live)
    assert views.panel.result.isVisible()
    assert "was stopped and saved" in views.panel.result.title.text()


def test_a_failure_is_told_in_words_and_mended(qtbot, tmp_path):
    runs = controller(tmp_path, "fails")
    views = TrainingViews(runs)
    qtbot.addWidget(views.panel)
    views.panel.show()
    with qtbot.waitSignal(runs.run_ended, timeout=20_000):
        runs.start({"model": {"architecture": "sd1"}, "training": {"batch_size": 4}})
    model = runs.shown
    assert model is not None
    banner = views.panel.failure
    assert banner.isVisible()
    assert banner.title.text() == "The GPU ran out of memory at step 6."
    assert banner.safe.text() == "The curve and the file of step 4 are safe."
    assert banner.main.accessibleName() == "Apply and resume from step 4"
    with qtbot.waitSignal(views.field_asked) as signal:
        banner.show_field.click()
    assert signal.args == ["training.batch_size"]
    banner.copy.click()
    assert "ran out of memory" in QGuiApplication.clipboard().text()
    with qtbot.waitSignal(runs.run_started):
        banner.main.click()
    assert runs._item is not None
    assert runs._item.arguments()[-4:] == [
        "--set", "training.gradient_checkpointing=true", "--set", "training.batch_size=1",
    ]  # fmt: skip
    with qtbot.waitSignal(runs.run_ended, timeout=20_000):
        pass


def test_an_engine_that_dies_leaves_its_words_and_the_curve(qtbot, tmp_path):
    runs = controller(tmp_path, "dies")
    views = TrainingViews(runs)
    qtbot.addWidget(views.panel)
    views.panel.show()
    with qtbot.waitSignal(runs.run_ended, timeout=20_000):
        runs.start({"model": {"architecture": "sd1"}})
    banner = views.panel.failure
    assert banner.isVisible()
    assert banner.title.text().startswith("The engine stopped unexpectedly (killed by the system")
    assert banner.words.text().endswith("last words before the end")
    assert banner.main.accessibleName() == "Resume from step 8"


def test_the_log_filters_and_stays_at_its_end(qtbot, views, tmp_path):
    model = RunModel("x", views.runs)
    views.runs.show(model)
    page = views.log
    page.resize(600, 300)
    page.show()
    model._on_log([f"line {n}" for n in range(6000)])
    model._on_log(["2026-11-24 10:00:00,123 WARNING lib.part: slow disk", "ValueError: broken"])
    pane = page.pane
    assert pane.blockCount() == 5000
    assert pane.verticalScrollBar().value() == pane.verticalScrollBar().maximum()
    pane.set_filter({"warning", "error"}, "")
    assert pane.toPlainText().splitlines()[0] == "10:00:00  slow disk"
    assert len(pane.toPlainText().splitlines()) == 2
    page.words.line.setText("BROKEN")
    assert page.pane.toPlainText().endswith("ValueError: broken")
    assert len(page.pane.toPlainText().splitlines()) == 1


def test_pages_fit_the_least_work_area_and_name_their_parts(qtbot, views, tmp_path):
    from PySide6.QtWidgets import QWidget

    events = gallery_events(tmp_path / "run", 2, 4)
    events += [Phase(name="training"), Finished(reason="done", step=30)]
    opened(qtbot, views, write_run(tmp_path / "run", events))
    for key, _, page in views.pages:
        page.resize(520, 400)
        page.show()
        assert page.minimumSizeHint().width() <= 520, key
        for widget in page.findChildren(QWidget):
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible():
                named = widget.accessibleName() or getattr(widget, "text", str)()
                named = named or widget.metaObject().className() in (
                    "QScrollArea", "GraphicsView", "LossPlots", "_Readout", "Frame", "TextEdit",
                )  # fmt: skip
                assert named, f"{key}: {widget}"
    views.panel.resize(520, 100)
    views.panel.show()
    assert views.panel.minimumSizeHint().width() <= 520


def test_light_and_dark_at_run_time(qtbot, views, tmp_path):
    folder = write_run(tmp_path / "run", gallery_events(tmp_path / "run", 1, 3))
    opened(qtbot, views, folder)
    page = views.progress
    page.resize(700, 600)
    page.show()
    assert page.chart is not None
    theme.switch().apply("dark")
    assert page.chart.grab().toImage().pixelColor(12, 12).name() == theme.DARK.raised.lower()
    theme.switch().apply("light")
    assert page.chart.grab().toImage().pixelColor(12, 12).name() == theme.LIGHT.raised.lower()
