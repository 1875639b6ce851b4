"""The window's own icons: SVG lines tinted with a color of the theme."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from app.theme import tokens

FOLDER = Path(__file__).resolve().parent.parent / "resources" / "icons" / "ui"


def icon_names() -> tuple[str, ...]:
    """All icons there are."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.svg")))


@cache
def _source(name: str) -> str:
    return (FOLDER / f"{name}.svg").read_text(encoding="utf-8")


@cache
def _pixmap(name: str, tint: str, size: int, ratio: float) -> QPixmap:
    renderer = QSvgRenderer(QByteArray(_source(name).replace("currentColor", tint).encode()))
    pixmap = QPixmap(round(size * ratio), round(size * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    renderer.render(painter, QRectF(0, 0, size, size))
    painter.end()
    return pixmap


def pixmap(name: str, token: str = "text2", size: int = 16, ratio: float = 1.0) -> QPixmap:
    """An icon in the color of a token, sharp at the screen's `ratio`."""
    return _pixmap(name, QColor(getattr(tokens(), token)).name(), size, ratio)


def icon(name: str, token: str = "text2", size: int = 16) -> QIcon:
    """An icon for actions and standard buttons; make it anew when the theme changes."""
    made = QIcon()
    for ratio in (1.0, 2.0):
        made.addPixmap(pixmap(name, token, size, ratio))
        off = pixmap(name, "text3", size, ratio)
        made.addPixmap(off, QIcon.Mode.Disabled)
    return made


def draw_icon(painter: QPainter, name: str, rect: QRectF, token: str = "text2") -> None:
    """Paint an icon, fitted to the square in the middle of `rect`."""
    size = round(min(rect.width(), rect.height()))
    x = rect.x() + (rect.width() - size) / 2
    y = rect.y() + (rect.height() - size) / 2
    device = painter.device()
    ratio = device.devicePixelRatioF() if device is not None else 1.0
    painter.drawPixmap(round(x), round(y), pixmap(name, token, size, ratio))
