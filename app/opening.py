"""Opening folders in the desktop's own file manager."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication


def open_folder(path: Path) -> str:
    """Open a folder; if the desktop cannot, its path is copied and a sentence says so."""
    if QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
        return ""
    QGuiApplication.clipboard().setText(str(path))
    return f"{path} could not be opened; its path was copied."
