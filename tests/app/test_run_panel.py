"""What stands over the pages of a run, its log, and how all of it fits and follows the theme."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from app import theme
from app.run_model import RunModel
from app.training_room import DEMO_JOB, TrainingRoom
from app.training_views import TrainingViews
from app.widgets.result_card import ResultCard
from app.widgets.run_header import RunHeader, figure_pairs
from engine.protocol import (
    Finished,
    Phase,
)
from tests.app.run_events import gallery_events, hello, model_of, opened, step, write_run
from tests.app.run_support import controller, set_up


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
    header.stop.setFocus()
    with qtbot.waitSignal(runs.run_ended, timeout=10_000):
        header.stop.click()
        qtbot.waitUntil(lambda: "stopping" in header.phase.text() or not model.is_live)
    assert views.panel.result.isVisible()
    assert "was stopped and saved" in views.panel.result.title.text()
    assert views.panel.result.resume.hasFocus()  # and no text of the form takes the next keys


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
    with qtbot.waitSignal(views.panel.field_asked) as signal:
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
    qtbot.waitSignal(runs.run_ended, timeout=20_000).wait()


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


def test_the_logs_ground_follows_the_theme(qtbot, views):
    page = views.log
    page.resize(600, 300)
    page.show()
    for tokens in (theme.DARK, theme.LIGHT, theme.DARK):
        theme.switch().apply("dark" if tokens.dark else "light")
        ground = page.pane.grab().toImage().pixelColor(10, 200).name()
        assert ground == tokens.raised.lower()
    theme.switch().apply("light")


def test_pages_without_a_run_say_so(qtbot, views, tmp_path):
    pages = {key: page for key, _, page in views.pages}
    for key in ("progress", "log", "runs"):
        page = pages[key]
        page.resize(700, 500)
        page.show()
        assert page.empty.isVisible(), key
        assert page.empty.text().startswith("No run"), key
    assert not pages["progress"].chart.isVisible()
    folder = tmp_path / "run"
    opened(qtbot, views, write_run(folder, gallery_events(folder, 1, 2)))
    qtbot.waitUntil(lambda: not pages["runs"].empty.isVisible(), timeout=5000)
    assert pages["progress"].chart.isVisible()
    assert not pages["progress"].empty.isVisible()
    assert not pages["log"].empty.isVisible()
    pages["runs"].words.line.setText("no such run")
    assert pages["runs"].empty.text() == "No run has these words."


def test_words_of_a_run_that_has_hardly_begun(tmp_path):
    model = model_of([], tmp_path)
    assert figure_pairs(model) == []  # not "0 of 0 steps"
    model.state.apply(hello(tmp_path, 48))
    assert figure_pairs(model)[0] == ("0", "of 48 steps")


def test_the_time_left_stands_still_while_paused(qtbot, tmp_path, monkeypatch):
    clock = [1_800_000_000.0]
    monkeypatch.setattr("app.words.time.time", lambda: clock[0])
    model = model_of([hello(tmp_path), step(1), step(2), Phase(name="training")], tmp_path)
    model.state.alive = True
    at_work = figure_pairs(model)
    assert at_work[2][1].startswith("left, ends ")
    model.state.apply(Phase(name="paused", words="Paused", done=2, total=50))
    paused = figure_pairs(model)
    assert paused[2] == (at_work[2][0], "left, paused")
    clock[0] += 3600
    assert figure_pairs(model) == paused


def test_a_picture_asked_for_in_a_pause_does_not_end_it(qtbot, tmp_path):
    model = model_of([hello(tmp_path), step(1), Phase(name="paused")], tmp_path)
    model.state.alive = True
    header = RunHeader()
    qtbot.addWidget(header)
    header.set_run(model)
    for work in ("sampling", "saving", "paused"):
        model.state.apply(Phase(name=work))
        header.refresh()
        assert model.state.status == "paused"
        assert header.pause.accessibleName() == "Resume"
    model.state.apply(Phase(name="training"))
    assert model.state.status == "running"


def test_the_foot_of_the_window_says_paused(window, qtbot, tmp_path):
    runs = controller(tmp_path, 'train:{"steps":100000,"pause":0.002}')
    room = TrainingRoom(window, runs, set_up())
    window.document.set("model.path", str(DEMO_JOB.parent / "model"))
    concept = str(DEMO_JOB.parent / "concept")
    window.document.insert_item("dataset.folders", 0, {"path": concept})
    runs.start({"model": {"architecture": "sd1"}})
    bar = window.plan_bar
    model = runs.running
    assert model is not None
    qtbot.waitUntil(lambda: model.state.step > 2, timeout=20_000)
    assert bar.standing.words == "Training"
    room._send("pause")
    qtbot.waitUntil(lambda: bar.standing.words == "Paused", timeout=5000)
    room._send("pause")  # the key goes on with it
    qtbot.waitUntil(lambda: bar.standing.words == "Training", timeout=5000)
    with qtbot.waitSignal(runs.run_ended, timeout=10_000):
        runs.send("stop")
    assert bar.standing.words != "Training"
    window.document.undo_stack.clear()


def test_the_phase_stands_apart_from_its_figures(qtbot, tmp_path):
    phase = Phase(name="sampling", words="Drawing preview 1 of 1", done=2, total=25)
    header = RunHeader()
    qtbot.addWidget(header)
    header.set_run(model_of([hello(tmp_path), phase], tmp_path))
    header.refresh()
    assert header.phase.text() == "drawing preview 1 of 1 · 2 of 25"


def test_a_run_without_a_file_is_not_called_saved(qtbot, tmp_path):
    card = ResultCard()
    qtbot.addWidget(card)
    end = Finished(reason="stopped", step=0, epoch=0, path="", best_path="", seconds=3)
    card.show_run(model_of([hello(tmp_path), end], tmp_path))
    assert "was stopped ·" in card.title.text()
    assert card.files.text() == "No adapter file was saved."
