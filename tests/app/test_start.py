"""The start: what is there at the first paint, what comes after it, and in which bites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bites import Bites
from app.form import BITE, Form
from app.main import make_window
from app.preset_store import PresetStore
from app.window import MainWindow

ROOT = Path(__file__).resolve().parents[2]
LATER = (
    "tomlkit", "concurrent.futures", "PySide6.QtNetwork", "PIL", "psutil", "engine.interop",
    "engine.plan.summary", "app.menus", "app.training_room", "app.dialogs",
)  # fmt: skip

_TO_FIRST_PAINT = """
import json, os, sys
from app.main import make_application, open_window, parser
app = make_application()
window = open_window(parser().parse_args([]))
from PySide6.QtCore import QEvent, QObject
from engine.schema.job import Job
class Watch(QObject):
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint:
            form = window.form
            print(json.dumps({
                "modules": [name for name in sys.argv[1:] if name in sys.modules],
                "checked": Job.__pydantic_complete__,
                "presets": len(window.store._known),
                "groups": [name for name, g in form.groups.items() if not g.is_folded],
                "folded": [name for name, g in form.groups.items() if g.is_folded],
            }), flush=True)
            os._exit(0)
        return False
watch = Watch()
window.installEventFilter(watch)
app.exec()
"""


def rows_of(form: Form) -> int:
    return sum(len(group.rows) for group in form.groups.values())


def test_the_first_paint_waits_for_nothing_that_is_not_seen(tmp_path: Path) -> None:
    environment = {**os.environ, "GRAFT_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", _TO_FIRST_PAINT, *LATER], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["modules"] == []
    assert not found["checked"]  # the schema's validators are built by the first check
    assert found["presets"] == 1
    assert found["groups"] == ["model", "dataset"]
    assert found["folded"][:3] == ["network", "training", "optimizer"]


class Paints(QObject):
    """Takes down how many rows there are, and where groups lie, at each paint of the form."""

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self._form = form
        self.rows: list[int] = []
        self.places: list[dict[str, int]] = []
        inner = form.widget()
        assert inner is not None
        inner.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.rows.append(rows_of(self._form))
            self.places.append({name: group.y() for name, group in self._form.groups.items()})
        return super().eventFilter(watched, event)


@pytest.fixture
def unseen(qtbot: QtBot, home: Path) -> Iterator[MainWindow]:
    made = make_window()
    qtbot.addWidget(made)
    made.resize(1280, 800)
    yield made
    made.session.save_if_waiting()


def test_the_first_paint_has_the_rows_in_view_at_their_places(
    qtbot: QtBot, unseen: MainWindow
) -> None:
    form = unseen.form
    paints = Paints(form)
    unseen.show()
    qtbot.waitUntil(lambda: bool(paints.places))
    form.finish_building()
    QApplication.processEvents()
    seen = [n for n, group in form.groups.items() if group.y() < form.height()]
    assert seen == ["model", "dataset", "network"]
    assert paints.rows[0] < rows_of(form)  # those below the view were made after it
    for name in seen:
        assert {places[name] for places in paints.places} == {form.groups[name].y()}


def test_rows_below_the_view_come_in_bites(window: MainWindow) -> None:
    form = window.form

    def count() -> int:
        return rows_of(form) + sum(len(group.tables) for group in form.groups.values())

    before = count()
    window.pane.set_shows_all(True)
    at_once, made = count() - before, []
    while form.groups["launch"].missing:
        was = count()
        assert form._build_next()
        made.append(count() - was)
    assert max(made) == BITE
    assert 0 < at_once < sum(made)


def test_rows_that_come_later_move_none_in_view(qtbot: QtBot, window: MainWindow) -> None:
    form = window.form
    window.pane.set_shows_all(True)
    paints = Paints(form)
    qtbot.waitUntil(lambda: not any(group.missing for group in form.groups.values()))
    QApplication.processEvents()
    assert len(set(paints.rows)) > 3
    for name in ("model", "dataset"):
        assert {places[name] for places in paints.places} == {form.groups[name].y()}


def test_a_row_that_waits_is_made_when_it_is_asked_for(window: MainWindow) -> None:
    window.pane.set_shows_all(True)
    missing = next(iter(window.form.groups["launch"].missing))
    row = window.form.row_at(missing)
    assert row is not None
    assert row.isVisible()
    assert window.form.groups["launch"].missing == {}
    assert window.form.groups["objective"].missing


def test_a_field_found_by_its_path_is_brought_into_view_while_others_wait(
    window: MainWindow,
) -> None:
    window.pane.set_shows_all(True)
    window.form.focus_field("launch.device")
    assert not any(group.missing for group in window.form.groups.values())
    row = window.form.row_at("launch.device")
    assert row is not None
    assert row.visibleRegion().boundingRect().height() == row.height()


def test_bites_are_taken_one_a_turn_or_all_at_once(qtbot: QtBot) -> None:
    parent, left, taken = QObject(), [3], []

    def step() -> bool:
        if left[0]:
            left[0] -= 1
            taken.append(left[0])
        return left[0] > 0

    bites = Bites(step, parent)
    bites.start()
    assert taken == []
    qtbot.waitUntil(lambda: taken == [2, 1, 0])
    left[0] = 2
    bites.start()
    bites.finish()
    assert taken == [2, 1, 0, 1, 0]


def test_a_new_job_reads_no_preset_behind_its_own(tmp_path: Path) -> None:
    store = PresetStore(tmp_path)
    first = store.default("sd1")
    assert first is not None
    assert len(store._known) == 1
    assert store.default("flux") != first
    assert store.named("sd1", first.name) == first
    assert store.all("sd1")[0] == first
    assert len(store._known) > 20
