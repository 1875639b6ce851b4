"""A window of its own for each test that asks for one, in a home of its own."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.main import make_window
from app.runs import RunController
from app.theme import switch
from app.training_views import TrainingViews
from app.window import MainWindow
from tests.app.run_support import fake


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("GRAFT_HOME", str(folder))
    return folder


@pytest.fixture
def window(qtbot: QtBot, home: Path) -> Iterator[MainWindow]:
    made = make_window()
    qtbot.addWidget(made)
    switch().apply("light", 100)
    made.resize(1280, 800)
    made.show()
    made.form.finish_building()
    QApplication.processEvents()
    yield made
    made.session.save_if_waiting()
    switch().apply("light", 100)


@pytest.fixture
def views(qtbot: QtBot, tmp_path: Path) -> TrainingViews:
    made = TrainingViews(RunController(tmp_path / "state", fake("train")))
    for _, _, page in made.pages:
        qtbot.addWidget(page)
    qtbot.addWidget(made.panel)
    return made


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    """A test that ends before its threads do leaves Python's collector as it was."""
    yield
    gc.enable()
