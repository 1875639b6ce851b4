"""Previews: the grid, stars, comparing (spec: gui 7, check 23)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import shiboken6
from PIL import Image
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QTableView

from app import theme
from app.progress_page import ProgressPage
from app.samples_page import SamplesPage
from app.widgets.gallery import Gallery
from engine.protocol import (
    Sample,
)
from tests.app.run_events import gallery_events, hello, opened, step, write_run


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
    qtbot.waitUntil(lambda: views.grid.is_starred(40))
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
    model._on_events([step(25), Sample(step=30, path="samples/0_30.png", prompt_index=0,
                                       prompt="cat 0", seed=0)])  # fmt: skip
    qtbot.waitUntil(lambda: 30 in views.grid.steps, timeout=2000)
    assert views.grid.steps == [0, 10, 20, 30]
    model.state.hello = hello(folder, 100)
    model.state.apply(step(31))
    views.grid.refresh()
    assert views.grid.planned == [40, 50, 60]
    assert views.grid.planned_words(40) == ("in 9 steps", "18 s")


def test_a_theme_change_or_a_late_thumbnail_finds_no_page_that_is_gone(qtbot, views, tmp_path):
    folder = write_run(tmp_path / "run", gallery_events(tmp_path / "run", 1, 3))
    opened(qtbot, views, folder)
    for make in (
        lambda: Gallery(views.grid, views._thumbnails),
        lambda: ProgressPage(views.grid, views._thumbnails),
        lambda: SamplesPage(views.grid, views._thumbnails),
    ):
        page = make()
        page.resize(600, 400)
        page.show()
        kept = page.findChildren(QTableView)  # Python holds what Qt destroys
        shiboken6.delete(page)
        assert kept
        views._thumbnails.ready.emit("x.png")
        theme.switch().apply("dark")
        theme.switch().apply("light")


def test_nothing_that_outlives_a_view_calls_a_lambda_of_it():
    """A bound slot ends with its object; a lambda does not, and finds the widget deleted."""
    outliving = re.compile(
        r"(switch\(\)\.changed|thumbnails\.ready|thumbnails\.failed|runs\.\w+|session\.\w+)"
        r"\.connect\(\s*lambda"
    )
    app = Path(__file__).resolve().parents[2] / "app"
    found = [
        f"{path.name}: {match[0]}"
        for path in app.rglob("*.py")
        for match in outliving.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
