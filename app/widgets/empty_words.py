"""Words in the middle of a place that has nothing to show yet."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QWidget

from app.widgets.label import Label


class EmptyWords(Label):
    """Lies over `host` while there are words to say; the mouse goes through."""

    def __init__(self, host: QWidget) -> None:
        super().__init__("", "text2", parent=host)
        self._host = host
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMargin(24)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        host.installEventFilter(self)
        self.say("")

    def say(self, words: str) -> None:
        """Say why there is nothing; with no words the place is the host's own."""
        self.setText(words)
        self.setVisible(bool(words))
        self.setGeometry(self._host.rect())
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Cover the host at any size."""
        if event.type() == QEvent.Type.Resize:
            self.setGeometry(self._host.rect())
        return super().eventFilter(watched, event)
