"""`python main.py`: opens the window."""

from __future__ import annotations

# isort: off
# Before PySide6: once that is there, its import hook reads the source text of every module that
# comes after it, which costs the schema's packages a tenth of a second.
import engine.schema.presets  # noqa: F401

# isort: on
import argparse
import importlib
import locale
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLocale, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QIcon
from PySide6.QtWidgets import QApplication

from app.document import Document
from app.greeting import shorten
from app.icons import pixmap
from app.preset_store import PresetStore
from app.session import Session
from app.settings import Settings, places
from app.single_instance import SingleInstance
from app.theme import switch
from app.window import MainWindow


def parser() -> argparse.ArgumentParser:
    """The arguments of `python main.py` without a command."""
    made = argparse.ArgumentParser(
        prog="main.py",
        description="Open the window.",
        epilog="Example: main.py --job a.toml",
    )
    made.add_argument("--job", type=Path, metavar="FILE", help="open a job file or preset")
    made.add_argument("--run", type=Path, metavar="DIR", help="show a run folder")
    made.add_argument("--start", action="store_true", help="train the job at once")
    made.add_argument("--demo", action="store_true", help="train the demo adapter")
    return made


def make_application(arguments: Sequence[str] = ()) -> QApplication:
    """The QApplication with theme, locale and pass-through scaling."""
    QGuiApplication.setHighDpiScaleFactorRoundingPolicy(
        Qt.HighDpiScaleFactorRoundingPolicy.PassThrough
    )
    QCoreApplication.setApplicationName("Graft")
    QGuiApplication.setDesktopFileName("graft")
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        # The style by its name, as setStyle() would have Qt's largest class made for Python.
        app = QApplication(["graft", "-style", "Fusion", *arguments])
    locale.setlocale(locale.LC_NUMERIC, "C")  # QApplication takes it from the environment
    QLocale.setDefault(QLocale.c())  # numbers to type are in C form (spec: gui 3.5)
    return app


def make_window(settings: Settings | None = None, store: PresetStore | None = None) -> MainWindow:
    """The window with the last session in it; pages come by `furnish`."""
    settings = settings or Settings()
    store = store or PresetStore(places().presets)
    switch().apply(settings.get("theme", "system"), settings.get("text_percent", 100))
    document = Document(store.default("sd1"))
    session = Session(document, store, places().session)
    session.restore()
    window = MainWindow(document, settings, store, session)
    document.setParent(window)
    session.setParent(window)
    window.setWindowIcon(QIcon(pixmap("mark", "accent", 64, 2.0)))
    return window


def main(argv: Sequence[str] = ()) -> int:
    """Open the window and stay until it is closed; 0 done, 2 wrong use."""
    options = parser().parse_args(list(argv))
    app = make_application()
    instance = SingleInstance(places().state)
    if not instance.claim():
        handed = [str(Path(a).resolve()) if Path(a).exists() else a for a in argv]
        if instance.hand_over(handed):
            return 0
        sys.stderr.write("Graft is open already, but does not answer.\n")
        return 1
    window = open_window(options, instance.listen)
    instance.asked.connect(lambda arguments: _take_arguments(window, arguments))
    code = app.exec()
    instance.release()
    return code


def open_window(
    options: argparse.Namespace, then: Callable[[], object] = lambda: None
) -> MainWindow:
    """Show the window; pages, what the arguments ask, and `then` come after its first paint."""
    window = make_window()
    shorten(window.form)
    window.seen.connect(lambda: _furnish(window, _PARTS, options, then))
    window.show()
    return window


_PARTS = (
    "app.process", "app.runs", "app.dataset_page", "engine.plan.detect", "app.plan_page",
    "app.training_views", "app.menus", "app.tools_menu", "app.training_room",
)  # fmt: skip
"""What the pages are made of, in the order in which they import each other."""


def _furnish(
    window: MainWindow,
    parts: Sequence[str],
    options: argparse.Namespace,
    then: Callable[[], object],
) -> None:
    """Load the pages' modules, one a turn so that the window answers between; then add them."""
    if parts:
        importlib.import_module(parts[0])
        QTimer.singleShot(0, window, lambda: _furnish(window, parts[1:], options, then))
    else:
        _add_pages_and_act(window, options)
        then()


def _add_pages_and_act(window: MainWindow, options: argparse.Namespace) -> None:
    from app.process import EngineCommand
    from app.runs import RunController
    from app.training_room import TrainingRoom

    command = EngineCommand.of_this_install()
    runs = RunController(places().state, command, window)
    room = TrainingRoom(window, runs, command)
    window.setProperty("room", room)
    if options.job:
        room.files.open_job(options.job)
    if options.run:
        room.open_run(options.run)
    if options.demo:
        room.run_demo()
    elif options.start:
        window.train()


def _take_arguments(window: MainWindow, arguments: list[str]) -> None:
    """Do what a second start was asked to, and come to the front."""
    room = window.property("room")
    if room is not None:
        room.leaving.come_back()
    else:
        window.raise_()
        window.activateWindow()
    if room is None or not arguments:
        return
    try:
        options = parser().parse_args(arguments)
    except SystemExit:  # argparse leaves on wrong use; the second start has told already
        return
    if options.job:
        room.files.open_job(options.job)
    if options.run:
        room.open_run(options.run)
    if options.demo:
        room.run_demo()
