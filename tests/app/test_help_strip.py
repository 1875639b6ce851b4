"""The strip under the form: what fits of a help text, and the rest on demand."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication

from app.window import MainWindow
from engine.schema.options import options


def test_a_long_help_ends_with_dots_until_f1_is_pressed(window: MainWindow) -> None:
    strip = window.pane.help
    path = max(options(), key=lambda p: len(options()[p].hints.help))
    whole = options()[path].hints.help
    strip.show_field(path)
    QApplication.processEvents()
    lines = strip.words.shown_lines
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert whole.startswith(lines[0])
    strip.toggle()
    QApplication.processEvents()
    lines = strip.words.shown_lines
    assert " ".join(lines).startswith(whole)
    assert lines[-1] == f"In job files: {path}"
    metrics = strip.words.fontMetrics()
    assert len(lines) * metrics.lineSpacing() <= strip.words.height()


def test_a_short_help_is_shown_as_it_is(window: MainWindow) -> None:
    strip = window.pane.help
    helps = {path: entry.hints.help for path, entry in options().items() if entry.hints.help}
    path = min(helps, key=lambda p: len(helps[p]))
    strip.show_field(path)
    QApplication.processEvents()
    assert " ".join(strip.words.shown_lines) == helps[path]


def test_nothing_moves_when_a_field_is_explained(window: MainWindow) -> None:
    strip = window.pane.help
    height, top = strip.height(), strip.y()
    assert top + height == window.pane.height()
    window.form.focus_field("network.rank")
    QApplication.processEvents()
    assert strip.path == "network.rank"
    assert (strip.height(), strip.y()) == (height, top)


def test_help_of_a_field_that_is_gone_goes_too(window: MainWindow) -> None:
    strip = window.pane.help
    strip.show_field("network.block_dims")
    window.document.set_architecture("sdxl")
    assert strip.title.text() == "Rank per block"
    window.document.set_architecture("flux")
    assert (strip.path, strip.title.text(), strip.names.text()) == ("", "Help", "")
