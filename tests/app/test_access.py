"""Theme, size and keyboard over the whole furnished window (spec: gui 7, checks 27 to 29)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QDialog, QScrollArea, QWidget
from pytestqt.qtbot import QtBot

from app.bulk_dialog import BulkDialog
from app.dialogs import NameQuestion, Question, TextDialog
from app.field_text import PasteQuestion
from app.picture_model import PictureModel
from app.preferences import PreferencesDialog
from app.preset_changes import ask_about_preset
from app.run_model import RunModel
from app.theme import color, switch
from app.training_room import TrainingRoom
from app.widgets.label import Label
from app.widgets.train_longer import TrainLonger
from app.window import MainWindow
from tests.app.run_support import controller, set_up, wait_step

ROOT = Path(__file__).resolve().parents[2]
LONG = 'train:{"steps":100000,"pause":0.05}'
THEMED = {"first run": 0.08, "training": 0.03}  # share that pictures take
STATES = ("first run", "editing", "map", "dataset", "training", "samples", "log", "runs", "all")


@pytest.fixture
def room(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> TrainingRoom:
    made = TrainingRoom(window, controller(tmp_path / "state", LONG), set_up())
    qtbot.waitUntil(lambda: made.setup.is_ready, timeout=10_000)
    (tmp_path / "pictures").mkdir()
    for shade in range(3):
        picture = Image.new("RGB", (96, 96), (shade * 80, 90, 120))
        picture.save(tmp_path / "pictures" / f"{shade}.png")
    return made


@contextmanager
def training(room: TrainingRoom, qtbot: QtBot, folder: Path) -> Iterator[None]:
    """A job in the form and a run under way."""
    document = room.window.document
    document.set("model.path", str(ROOT / "resources" / "demo" / "model"))
    document.insert_item("dataset.folders", 0, {"path": str(folder)})
    document.insert_item("samples.prompts", 0, {"prompt": "a cat"})
    qtbot.waitUntil(lambda: bool(room.window.plan_model.pictures), timeout=5000)
    room.runs.start(document.written())
    assert room.runs.running is not None
    wait_step(qtbot, room.runs.running, 5)
    yield
    with qtbot.waitSignal(room.runs.run_ended, timeout=10_000):
        room.runs.send("abort")


def show(room: TrainingRoom, state: str) -> None:
    """Bring the window into a state."""
    window = room.window
    if state == "first run":
        window.work.show_overlay(room.first_run)
        window.refresh()
    else:
        pages = {"editing": "plan", "all": "plan", "map": "plan", "training": "progress"}
        if state == "map":
            window.choose_architecture("flux")
        if state == "all":
            window.pane.set_shows_all(True)
        room._show_page(pages.get(state, state))
    QApplication.processEvents()


def focusable(window: QWidget) -> list[QWidget]:
    return [
        w for w in window.findChildren(QWidget)
        if w.focusPolicy() & Qt.FocusPolicy.TabFocus and w.isVisibleTo(window) and w.isEnabled()
    ]  # fmt: skip


def nameless(window: QWidget) -> list[str]:
    found = []
    for widget in focusable(window):
        words = widget.accessibleName() or getattr(widget, "text", str)()
        if not words and not isinstance(widget, QScrollArea):
            found.append(f"{type(widget).__name__} in {type(widget.parent()).__name__}")
    return found


def test_checks_27_to_29_in_every_state(room: TrainingRoom, qtbot: QtBot, tmp_path: Path) -> None:
    window = room.window
    with training(room, qtbot, tmp_path / "pictures"):
        for state in STATES:
            show(room, state)
            assert nameless(window) == [], state
            _goes_round(window, state)
            if state in THEMED:
                _follows_the_theme(window, state)
            _fits(window, state)


def _goes_round(window: MainWindow, state: str) -> None:
    """Check 29: Tab reaches everything and comes back."""
    start = window.tool_bar.architecture
    seen: set[QWidget] = set()
    widget: QWidget | None = start
    for _ in range(20_000):
        widget = widget.nextInFocusChain() if widget is not None else None
        if widget is None or widget is start:
            break
        seen.add(widget)
    assert widget is start, state
    missed = {w for w in focusable(window) if w not in seen and w is not start}
    assert {type(w).__name__ for w in missed} <= {"QTabBar"}, state


def _follows_the_theme(window: MainWindow, state: str) -> None:
    """Check 27: the ground of every area changes, and most of what is painted on it."""
    images: list[QImage] = []
    for theme in ("light", "dark"):
        switch().apply(theme)
        QApplication.processEvents()
        images.append(window.grab().toImage())
    switch().apply("light")
    light, dark = images
    points = [
        (x, y) for x in range(6, light.width(), 40) for y in range(6, light.height(), 40)
    ]  # fmt: skip
    same = [p for p in points if light.pixelColor(*p) == dark.pixelColor(*p)]
    assert len(same) < THEMED[state] * len(points), state
    grounds = [QColor(dark.pixelColor(*p)).lightness() for p in points]
    assert sorted(grounds)[len(grounds) // 2] < 60, state


def _fits(window: MainWindow, state: str) -> None:
    """Check 28: at the least size nothing is wider than its place."""
    window.resize(960, 600)
    QApplication.processEvents()
    assert (window.width(), window.height()) == (960, 600), state
    assert window.form.horizontalScrollBar().maximum() == 0, state
    page = window.work.stack.currentWidget()
    if isinstance(page, QScrollArea):
        assert page.horizontalScrollBar().maximum() == 0, state
    assert window.work.mapTo(window, window.work.rect().bottomRight()).x() <= 960, state
    window.resize(1280, 800)


def dialogs(window: MainWindow) -> list[Callable[[], QDialog]]:
    preset = window.store.all("sd1")[-1]
    return [
        lambda: Question(window, "Save it?", "Words. " * 30, [("Save", "primary", int)]),
        lambda: NameQuestion(window, "Save as preset", "Name", "x" * 80, "Save", print),
        lambda: TextDialog(window, "Doctor", "words\n" * 200),
        lambda: PasteQuestion(window, "network.rank = 4\nnetwork.alpha = 4\n"),
        lambda: PreferencesDialog(window.settings, window),
        lambda: TrainLonger(RunModel("otter", window), window),
        lambda: BulkDialog(PictureModel(window.document.undo_stack, window), [], window),
        lambda: ask_about_preset(
            window, preset, window.document.changes_by_preset(preset) * 3, window.document, int
        ),
    ]


def buttons_inside(dialog: QDialog) -> bool:
    shown = [b for b in dialog.findChildren(QAbstractButton) if b.isVisible()]
    last = [b for b in shown if not any(isinstance(p, QScrollArea) for p in parents(b))]
    return bool(last) and all(
        dialog.rect().contains(b.mapTo(dialog, b.rect().bottomRight())) for b in last
    )


def parents(widget: QWidget) -> Iterator[QWidget]:
    while (parent := widget.parentWidget()) is not None:
        yield parent
        widget = parent


def test_check_28_every_dialogs_buttons_are_on_screen(window: MainWindow) -> None:
    window.resize(960, 600)
    for percent in (100, 160):
        switch().apply(text_percent=percent)
        for make in dialogs(window):
            dialog = make()
            dialog.show()
            dialog.resize(min(dialog.width(), 940), min(dialog.height(), 560))
            QApplication.processEvents()
            name = f"{type(dialog).__name__} at {percent} %"
            assert dialog.width() <= 960, name
            assert dialog.height() <= 600, name
            assert buttons_inside(dialog), name
            assert nameless(dialog) == [], name
            dialog.close()


def test_check_28_at_twice_the_scale_nothing_changes_its_place(home: Path) -> None:
    """The scale is the application's, so that a program of its own is asked."""
    program = (
        "import sys; from app.main import make_application, make_window;"
        "app = make_application(); w = make_window(); w.resize(960, 600); w.show();"
        "w.form.finish_building(); app.processEvents(); image = w.grab().toImage();"
        "ok = (w.devicePixelRatio(), image.width(), w.width()) == (2.0, 1920, 960);"
        "ok = ok and w.form.horizontalScrollBar().maximum() == 0;"
        "sys.exit(0 if ok else 1)"
    )
    environment = {**os.environ, "QT_SCALE_FACTOR": "2", "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0


def test_check_29_training_by_the_keyboard_alone(
    room: TrainingRoom, qtbot: QtBot, tmp_path: Path
) -> None:
    window = room.window
    window.document.set("model.path", str(ROOT / "resources" / "demo" / "model"))
    window.document.insert_item("dataset.folders", 0, {"path": str(tmp_path / "pictures")})
    room._show_page("plan")
    qtbot.waitUntil(lambda: window.can_train, timeout=5000)
    window.activateWindow()
    QTest.keyClick(window, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert window.focusWidget() is window.pane.search.line
    QTest.keyClicks(window.pane.search.line, "network_dim")
    QTest.keyClick(window.pane.search.line, Qt.Key.Key_Return)
    row = window.form.row_at("network.rank")
    assert row is not None
    line = window.focusWidget()
    assert line is not None
    assert row.isAncestorOf(line)
    QTest.keyClick(line, Qt.Key.Key_PageUp)
    assert window.document.get("network.rank") == 16
    for _ in range(400):
        here = window.focusWidget()
        if here is window.tool_bar.train:
            break
        QTest.keyClick(here if here is not None else window, Qt.Key.Key_Tab)
    assert window.focusWidget() is window.tool_bar.train
    with qtbot.waitSignal(room.runs.run_started, timeout=5000):
        QTest.keyClick(window.tool_bar.train, Qt.Key.Key_Space)
    assert room.runs.running is not None
    wait_step(qtbot, room.runs.running, 3)
    with qtbot.waitSignal(room.runs.run_ended, timeout=10_000):
        QTest.keyClick(window, Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)


def test_check_27_the_pictures_script_shows_both_themes(tmp_path: Path) -> None:
    """Under Xvfb, on X itself, where that is installed."""
    environment = {**os.environ}
    environment.pop("DISPLAY", None)
    if shutil.which("Xvfb"):
        environment.pop("QT_QPA_PLATFORM", None)
    else:
        environment |= {"QT_QPA_PLATFORM": "offscreen", "GRAFT_NO_XVFB": "1"}
    command = [sys.executable, "docs/screenshots.py", "blocks", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=120, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    light, dark = (QImage(str(tmp_path / f"blocks-{t}.png")) for t in ("light", "dark"))
    assert (light.width(), light.height()) == (dark.width(), dark.height()) == (1440, 900)
    corners = [(4, 4), (1430, 700), (20, 890)]
    assert all(light.pixelColor(*c).lightness() > 200 for c in corners)
    assert all(dark.pixelColor(*c).lightness() < 60 for c in corners)


def test_what_was_made_just_before_a_change_of_theme_follows_it(window: MainWindow) -> None:
    switch().apply("dark")
    QApplication.processEvents()
    window.document.insert_item("dataset.folders", 0, {"path": "a"})
    switch().apply("light")
    QApplication.processEvents()
    labels = [label for label in window.findChildren(Label) if label.isVisible()]
    assert len(labels) > 30
    stale = {
        label.text() for label in labels
        if label.palette().color(QPalette.ColorRole.WindowText) != color(label._token)
    }  # fmt: skip
    assert stale == set()
