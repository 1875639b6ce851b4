"""Where the window's parts were, from one session to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.theme import switch

if TYPE_CHECKING:
    from app.window import MainWindow


def take_up_layout(window: MainWindow) -> None:
    """Take up geometry and splitter of the last session, on a screen that is still there."""
    settings = window.settings
    geometry = settings.get_bytes("geometry")
    if geometry:
        window.restoreGeometry(geometry)
    window.pane.fit_to_window(window.width())
    widths = settings.get("splitter", [])
    if len(widths) == 2:
        window.splitter.setSizes([int(w) for w in widths])
    else:
        window.reset_splitter()
    if settings.get("folded", False):
        window.pane.set_folded(True)


def remember_layout(window: MainWindow) -> None:
    """Remember geometry, splitter, tab, depth and look."""
    settings = window.settings
    settings.set_bytes("geometry", bytes(window.saveGeometry().data()))
    if not window.pane.is_folded:
        settings.set("splitter", window.splitter.sizes())
    settings.set("folded", window.pane.is_folded)
    settings.set("shows_all", window.form.shows_all)
    settings.set("tab", window.work.current)
    settings.set("theme", switch().choice)
    settings.set("text_percent", switch().text_percent)
    settings.sync()
