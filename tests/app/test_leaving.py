"""Closing while an engine works: each answer does what it says (spec: gui 7, check 21)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.run_folder import state_of
from app.training_room import TrainingRoom
from app.tray import RunTray, end_words
from app.window import MainWindow
from tests.app.run_support import controller, directory_of, set_up, started, wait_step

LONG = 'train:{"steps":100000,"pause":0.002}'


@pytest.fixture
def room(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> TrainingRoom:
    made = TrainingRoom(window, controller(tmp_path / "state", LONG), set_up())
    qtbot.waitUntil(lambda: made.setup.is_ready, timeout=10_000)
    return made


def end(room: TrainingRoom, qtbot: QtBot) -> None:
    """End the run before the window goes."""
    with qtbot.waitSignal(room.runs.run_ended, timeout=10_000):
        room.runs.send("abort")


def asked(room: TrainingRoom, qtbot: QtBot) -> dict[str, Callable[[], None]]:
    """Train, press the window's cross, and give the answers by their words."""
    wait_step(qtbot, started(room.runs), 3)
    room.window.close()
    assert room.window.isVisible()
    question = room.leaving.question
    assert question is not None
    return {button.text(): button.click for button in question.buttons}


def test_check_21_stop_saves_and_closes_then(room: TrainingRoom, qtbot: QtBot) -> None:
    answers = asked(room, qtbot)
    model = room.runs.running
    assert model is not None
    with qtbot.waitSignal(room.runs.run_ended, timeout=20_000):
        answers["Stop, save and close"]()
        assert room.window.isVisible()  # until it is saved
        assert room.runs.is_busy
    qtbot.waitUntil(lambda: not room.window.isVisible(), timeout=5_000)
    state, _ = state_of(directory_of(model))
    assert state.status == "stopped"
    assert state.resume_step == state.step >= 3
    assert model.engine_pid == 0


@pytest.mark.qt_log_ignore("does not support raise", extend=True)
def test_check_21_left_running_it_trains_on_and_the_window_comes_back(
    room: TrainingRoom, qtbot: QtBot
) -> None:
    answers = asked(room, qtbot)
    model = room.runs.running
    assert model is not None
    answers["Leave it running"]()
    assert not room.window.isVisible()
    assert room.runs.is_busy
    wait_step(qtbot, model, model.state.step + 20)
    room.leaving.come_back()  # as a second start or the tray does
    assert room.window.isVisible()
    assert not room.leaving.is_away
    assert room.runs.running is model
    answers = asked_again(room)
    assert set(answers) == {"Stop, save and close", "Leave it running"}
    end(room, qtbot)


def asked_again(room: TrainingRoom) -> dict[str, Callable[[], None]]:
    room.window.close()
    question = room.leaving.question
    assert question is not None
    answers = {button.text(): button.click for button in question.buttons}
    question.reject()
    return answers


def test_check_21_cancel_changes_nothing(room: TrainingRoom, qtbot: QtBot) -> None:
    asked(room, qtbot)
    model = room.runs.running
    assert model is not None
    assert room.leaving.question is not None
    room.window.close()  # a second press asks no second time
    assert len(room.window.findChildren(type(room.leaving.question))) == 1
    room.leaving.question.reject()
    assert room.leaving.question is None
    assert room.window.isVisible()
    assert not room.leaving.is_leaving
    wait_step(qtbot, model, model.state.step + 20)
    assert room.runs.running is model
    end(room, qtbot)


def test_a_window_put_away_without_a_tray_ends_with_its_run(
    room: TrainingRoom, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    quits: list[bool] = []
    monkeypatch.setattr(QApplication, "quit", lambda: quits.append(True))
    assert not room.tray.is_there  # offscreen has none
    answers = asked(room, qtbot)
    answers["Leave it running"]()
    with qtbot.waitSignal(room.runs.run_ended, timeout=20_000):
        room.runs.send("stop")
    qtbot.waitUntil(lambda: quits == [True], timeout=5_000)
    assert not room.window.isVisible()


def test_the_end_of_a_run_is_told_when_nobody_looks(
    room: TrainingRoom, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(QApplication, "alert", lambda *a: told.append(a))
    model = started(room.runs)
    wait_step(qtbot, model, 3)
    room.window.hide()
    with qtbot.waitSignal(room.runs.run_ended, timeout=20_000):
        room.runs.send("stop")
    assert len(told) == 1
    title, words = end_words(model)
    assert title == f"{model.name} stopped and saved"
    assert words.startswith(f"step {model.state.step:,} of 100,000")
    room.tray.tells = False
    room.tray.tell_end(model)
    assert len(told) == 1
    room.window.show()


@pytest.mark.qt_log_ignore("systemTrayWindowChanged", extend=True)
def test_the_trays_icon_is_there_while_something_trains(
    window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tray.QSystemTrayIcon.isSystemTrayAvailable", lambda: True)
    tray = RunTray(window)
    assert tray.is_there
    assert tray._icon is not None
    tray.set_running(True)
    assert tray._icon.isVisible()
    tray.set_running(False)
    assert not tray._icon.isVisible()
    shown = []
    tray.window_asked.connect(lambda: shown.append(True))
    tray._icon.contextMenu().actions()[0].trigger()
    assert shown == [True]
