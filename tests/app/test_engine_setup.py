"""Installing the engine from the window, over the pipe of a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.engine_setup import EngineSetup, SetupStatus
from app.process import EngineCommand
from app.setup_page import SetupPage

FAKE = Path(__file__).with_name("fake_setup.py")


@pytest.fixture
def make(qtbot):
    made = []

    def _make(mode):
        command = EngineCommand(sys.executable, ("-u", str(FAKE), mode), str(FAKE.parent))
        setup = EngineSetup(command)
        made.append(setup)
        return setup

    yield _make
    for setup in made:
        setup.stop()


@pytest.mark.parametrize(("mode", "state"), [("there", "ready"), ("missing", "missing")])
def test_the_check_says_whether_it_is_there(qtbot, make, mode, state):
    setup = make(mode)
    with qtbot.waitSignal(setup.changed):
        setup.check()
    assert setup.status.state == state
    assert setup.is_ready == (mode == "there")


def test_an_installation_tells_how_far_it_is_and_ends_ready(qtbot, make):
    setup = make("good")
    seen = []
    setup.changed.connect(lambda: seen.append(setup.status))
    setup.install()
    qtbot.waitUntil(lambda: setup.is_ready, timeout=10_000)
    assert any((s.package, s.done, s.total) == ("torch", 3, 12) for s in seen)
    assert setup.status.warning == "The disk is nearly full."
    assert "Collecting torch" in setup.log
    assert "this is no event" in setup.log


def test_a_failure_is_told_in_words_with_its_mend(qtbot, make):
    setup = make("fail")
    page = SetupPage(setup)
    qtbot.addWidget(page)
    setup.install()
    qtbot.waitUntil(lambda: setup.status.state == "failed", timeout=10_000)
    assert page._lead.text() == "No network. Check the connection."
    assert page._main_button.text() == "Go on installing"


def test_an_installer_that_dies_is_told_too(qtbot, make):
    setup = make("crash")
    setup.install()
    qtbot.waitUntil(lambda: setup.status.state == "failed", timeout=10_000)
    assert "ended unexpectedly (code 7)" in setup.status.message


def test_cancel_stops_and_can_be_taken_up_again(qtbot, make):
    setup = make("wait")
    page = SetupPage(setup)
    qtbot.addWidget(page)
    setup.install()
    qtbot.waitUntil(lambda: setup.status.speed > 0, timeout=10_000)
    assert "9 MB a second" in page._speed.text() or "9.1 MB a second" in page._speed.text()
    page._cancel_button.click()
    assert setup.status.state == "cancelling"
    qtbot.waitUntil(lambda: setup.status.state == "cancelled", timeout=10_000)
    assert not page._cancel_button.isVisibleTo(page)
    assert page._main_button.isVisibleTo(page)


def test_a_python_that_is_not_there_is_told(qtbot):
    setup = EngineSetup(EngineCommand("/nowhere/python", (), "/"))
    with qtbot.waitSignal(setup.changed):
        setup.check()
    assert setup.status.state == "failed"
    assert "could not be started" in setup.status.message


def test_the_share_counts_packages_and_the_bytes_of_the_present_one():
    assert SetupStatus("installing", done=3, total=12).share == pytest.approx(2 / 12)
    half = SetupStatus("installing", done=3, total=12, bytes_done=1, bytes_total=2)
    assert half.share == pytest.approx(2.5 / 12)
    assert SetupStatus().share == 0
