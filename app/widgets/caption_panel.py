"""The chosen picture with its caption beside it, edited in place and saved by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from app.picture_model import Picture, PictureModel
from app.theme import SMALL, font, tokens
from app.thumbnails import picture as decode
from app.widgets.label import ElidedLabel, Label
from app.widgets.text import FramedText
from app.worker import in_worker

Length = Callable[[str], tuple[str, bool]]
SAVE_DELAY_MS = 800
_PREVIEW_PX = 640
_PICTURE_PX, _TEXT_PX, _GAP_PX = 120, 90, 6  # least heights, and what is between


class CaptionPanel(QWidget):
    """Edits the caption of one picture; with several selected it says what to do with them.

    `length` tells how long a caption is, in words, and whether its end is cut off.

    Signals:
        step_asked(direction): the person goes to the next (1) or previous (-1) picture.
    """

    step_asked = Signal(int)

    def __init__(
        self, model: PictureModel, length: Length | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._model, self._length = model, length
        self._picture: Picture | None = None
        self._loading = False
        self._view = _PictureView(self)
        self._name = ElidedLabel("", bold=True)
        self._facts = ElidedLabel("", "text3", SMALL)
        self._text = FramedText(self, empty=self.tr("What is in the picture"))
        self._text.setAccessibleName(self.tr("Caption"))
        self._text.setMinimumHeight(_TEXT_PX)
        self._text.installEventFilter(self)
        self._note = Label("", "text3", SMALL)
        self._note.setWordWrap(True)
        self._save_timer = QTimer(self, singleShot=True, interval=SAVE_DELAY_MS)
        self._save_timer.timeout.connect(self.save)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(_GAP_PX)
        column.addWidget(self._view, 3)
        column.addWidget(self._name)
        column.addWidget(self._facts)
        column.addWidget(self._text, 2)
        column.addWidget(self._note)
        self._text.textChanged.connect(self._on_text_changed)
        model.captions_changed.connect(self._on_captions_changed)
        self.show_pictures([])

    def least_height(self, *, with_picture: bool = True) -> int:
        """What it needs so that nothing lies over anything else."""
        parts = [self._name, self._facts, self._note]
        high = sum(part.sizeHint().height() + _GAP_PX for part in parts)
        return high + _TEXT_PX + (_PICTURE_PX + _GAP_PX if with_picture else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low place the caption alone: it is what one came to write."""
        super().resizeEvent(event)
        self._view.setVisible(event.size().height() >= self.least_height())

    def show_pictures(self, pictures: Sequence[Picture]) -> None:
        """Show the selection: one picture to edit, or how many."""
        self.save()
        one = pictures[0] if len(pictures) == 1 else None
        same = one is not None and self._picture is not None and one.path == self._picture.path
        self._picture = one
        self._text.setEnabled(one is not None)
        if one is None:
            count = len(pictures)
            self._name.setText(self.tr("%n pictures chosen", "", count) if count else "")
            self._facts.setText("")
            self._view.clear(
                "" if count else self.tr("Choose a picture to see it and write its caption.")
            )
            self._load("")
            self._note.setText(
                self.tr("Edit all of them with the buttons above.") if count > 1 else ""
            )
            return
        self._name.setText(one.name)
        size = f"{one.width} × {one.height}" if one.width else ""
        self._facts.setText(" · ".join(p for p in (size, one.problem) if p))
        if not same:
            self._view.load(one.path)
        self._load(self._model.caption(one).text)

    def _load(self, text: str) -> None:
        if self._text.toPlainText() != text:
            self._loading = True
            self._text.setPlainText(text)
            self._loading = False
        self._show_note()

    def show_length(self) -> None:
        """Tell the length anew, as what reads the captions has changed."""
        self._show_note()

    def _show_note(self) -> None:
        self._note.set_style("text3")
        if self._picture is None:
            return
        caption = self._model.caption(self._picture)
        text = self._text.toPlainText()
        if caption.warning:
            self._note.setText(caption.warning)
        elif not text.strip():
            self._note.setText(self.tr("No caption yet. It is saved beside the picture as .txt."))
        elif text != caption.text:
            self._note.setText(self.tr("Not saved yet…"))
        else:
            words, is_cut = self._length(text) if self._length is not None else ("", False)
            self._note.set_style("warn" if is_cut else "text3")
            self._note.setText(self.tr("Saved: %s.") % words if words else self.tr("Saved."))

    def _on_text_changed(self) -> None:
        if not self._loading and self._picture is not None:
            self._save_timer.start()
            self._show_note()

    def save(self) -> None:
        """Save what was typed now."""
        self._save_timer.stop()
        if self._picture is not None:
            text = self._text.toPlainText()
            if text != self._model.caption(self._picture).text:
                self._model.set_caption(self._picture, text)
            self._show_note()

    def _on_captions_changed(self, paths: list[str]) -> None:
        if self._picture is not None and self._picture.path in paths:
            self._load(self._model.caption(self._picture).text)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Save on leaving; Ctrl+arrows and Ctrl+Return go through the pictures."""
        if event.type() == QEvent.Type.FocusOut:
            self.save()
        elif event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
            forward = event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter)
            if control and (forward or event.key() == Qt.Key.Key_Up):
                self.save()
                self.step_asked.emit(1 if forward else -1)
                return True
        return super().eventFilter(watched, event)


class _PictureView(QWidget):
    """The picture, fitted; decoded in a worker."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self._words = ""
        self._wanted = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(_PICTURE_PX)

    def sizeHint(self) -> QSize:
        return QSize(280, 280)

    def clear(self, words: str) -> None:
        """Show words instead of a picture."""
        self._image, self._words, self._wanted = None, words, ""
        self.update()

    def load(self, path: str) -> None:
        """Show the picture of a file once it is decoded."""
        self._wanted = path
        self._words = ""

        def work() -> tuple[str, QImage | None, str]:
            try:
                return path, decode(path, _PREVIEW_PX), ""
            except Exception as error:  # noqa: BLE001 - a decoder's complaint is the file's fault
                return path, None, str(error)

        in_worker(self, work, self._show)

    def _show(self, result: tuple[str, QImage | None, str]) -> None:
        path, image, words = result
        if path == self._wanted:
            self._image = image
            self._words = words or ("" if image else self.tr("This is not a picture."))
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens().sunken))
        painter.drawRoundedRect(QRectF(self.rect()), 6, 6)
        if self._image is not None:
            size = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
            rect = QRectF(0, 0, size.width(), size.height())
            rect.moveCenter(QRectF(self.rect()).center())
            painter.drawImage(rect, self._image)
        elif self._words:
            painter.setFont(font())
            painter.setPen(QColor(tokens().text3))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(QRectF(self.rect()).adjusted(16, 8, -16, -8), int(flags), self._words)
