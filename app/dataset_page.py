"""The Dataset tab: pictures with their captions, what is wrong with which, buckets, tags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QFileSystemWatcher, QItemSelection, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QSplitter,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from app.bulk_dialog import BulkDialog
from app.caption_length import DECIDES, length_words
from app.document import Document
from app.picture_model import Picture, PictureModel
from app.settings import places
from app.theme import GROUP, SMALL
from app.thumbnails import Thumbnails
from app.widgets.bucket_bars import Bucket, BucketBars
from app.widgets.button import Button
from app.widgets.caption_panel import CaptionPanel
from app.widgets.label import Label
from app.widgets.picture_grid import PictureGrid
from app.widgets.text import TextEdit
from app.words import counted
from engine.plan.buckets import BucketRules, fit, rules_of
from engine.plan.folders import Picture as Found
from engine.schema.job import Job

_MAX_WATCHED = 8
_MAX_TAGS = 300
_FOOT_PX, _HEAD_PX = 160, 90  # buckets and tags; the bar above with the margins


class DatasetPage(QWidget):
    """Shows the pictures that were found; captions are edited in place.

    Signals:
        rescan_asked: the folders should be looked at again.
        folder_asked: the person wants to choose a folder.
        trouble(words): a notice, as when a caption could not be saved.
    """

    rescan_asked = Signal()
    folder_asked = Signal()
    trouble = Signal(str)

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._found: Sequence[Found] = ()
        self._rules: tuple[BucketRules, ...] = ()  # of the buckets shown
        self.model = PictureModel(document.undo_stack, self)
        self.thumbnails = Thumbnails(places().state / "thumbnails", parent=self)
        self.grid = PictureGrid(self.model, self.thumbnails)
        self.captions = CaptionPanel(self.model, partial(length_words, document))
        self._filter = TextEdit(empty=self.tr("Filter: tag:hat -tag:cat size<512 nocaption"))
        self._filter.line.setAccessibleName(self.tr("Filter pictures"))
        self._filter_note = Label("", "error", SMALL)
        self._count = Label("", "text3")
        self._edit = Button(self.tr("Edit captions…"), "secondary", "pencil", small=True)
        self._refresh = Button(self.tr("Look again"), "ghost", "refresh", small=True)
        self._bars = BucketBars()
        self._tags = QListWidget()
        self._empty = QLabel()
        self._watcher = QFileSystemWatcher(self)
        self._watch_timer = QTimer(self, singleShot=True, interval=300)
        self._lay_out()
        self._connect()
        self.show_pictures([])

    # --- building ------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self._filter, 1)
        head.addWidget(self._count)
        head.addWidget(self._edit)
        head.addWidget(self._refresh)
        self._tags.setAccessibleName(self.tr("Tags"))
        self._tags.setFlow(QListWidget.Flow.LeftToRight)
        self._tags.setWrapping(True)
        self._tags.setResizeMode(QListWidget.ResizeMode.Adjust)
        self._tags.setSpacing(2)
        self._tags.setFrameShape(QListWidget.Shape.NoFrame)
        self._tags.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._tags.viewport().setAutoFillBackground(False)
        self._tags.setToolTip(self.tr("Click a tag to show its pictures."))
        foot = QSplitter(Qt.Orientation.Horizontal)
        foot.setChildrenCollapsible(False)
        for title, widget in ((self.tr("Buckets"), self._bars), (self.tr("Tags"), self._tags)):
            holder = QWidget()
            column = QVBoxLayout(holder)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(4)
            column.addWidget(Label(title, bold=True))
            column.addWidget(widget)
            column.addStretch(1)
            foot.addWidget(holder)
        foot.setMaximumHeight(_FOOT_PX)
        self._foot = foot
        sides = QSplitter(Qt.Orientation.Horizontal)
        sides.setChildrenCollapsible(False)
        sides.addWidget(self.grid)
        sides.addWidget(self.captions)
        sides.setStretchFactor(0, 3)
        sides.setStretchFactor(1, 2)
        self.grid.setMinimumWidth(170)
        self.captions.setMinimumWidth(200)
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(20, 16, 20, 12)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self._filter_note)
        column.addWidget(sides, 1)
        column.addWidget(foot)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(full)
        self._stack.addWidget(self._empty_page())

    def _empty_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.addStretch(1)
        title = Label(self.tr("No pictures yet"), scale=GROUP, bold=True)
        self._empty_words = Label("", "text2")
        self._empty_words.setWordWrap(True)
        self._empty_words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        button = Button(self.tr("Choose folder"), "secondary", "folder")
        button.clicked.connect(self.folder_asked)
        for widget in (title, self._empty_words, button):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        self._empty_words.setMinimumWidth(360)
        column.addStretch(2)
        return page

    def _connect(self) -> None:
        self._filter.edited.connect(self.model.set_filter)
        self._edit.clicked.connect(self._on_edit_clicked)
        self._refresh.clicked.connect(self.rescan_asked)
        self._document.changed.connect(self._on_job_changed)
        self._document.replaced.connect(self._on_job_changed)
        self._tags.itemClicked.connect(self._on_tag_clicked)
        self.grid.selectionModel().selectionChanged.connect(self._on_selection_changed)
        self.model.modelReset.connect(lambda: self._on_selection_changed(None, None))
        self.model.counts_changed.connect(self._show_counts)
        self.model.filter_failed.connect(self._on_filter_failed)
        self.model.save_failed.connect(self.trouble)
        self.captions.step_asked.connect(self._step)
        self._watcher.directoryChanged.connect(lambda _: self._watch_timer.start())
        self._watch_timer.timeout.connect(self._on_folder_changed)
        self._filter_note.hide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low window the pictures alone; the Plan page has the buckets."""
        super().resizeEvent(event)
        needed = _HEAD_PX + self.captions.least_height() + _FOOT_PX
        self._foot.setVisible(event.size().height() >= needed)

    # --- showing -------------------------------------------------------------------------------

    def show_pictures(self, found: Sequence[Found], words: str = "") -> None:
        """Show the pictures of the job's folders; `words` says why there are none."""
        job = self._document.job
        pictures = [_row(picture, job) for picture in found]
        if pictures != list(self.model.pictures):
            chosen = {p.path for p in self.grid.selected()}
            self.model.set_pictures(pictures)
            self._select(chosen)
        self._found = found
        self._show_buckets()
        self._empty_words.setText(
            words or self.tr("Drop a folder of pictures on the window, or choose one.")
        )
        self._stack.setCurrentIndex(0 if pictures else 1)
        self._watch(found)
        self._show_counts()

    def _show_buckets(self) -> None:
        job = self._document.job
        self._rules = rules_of(job.dataset)
        self._bars.show_buckets(buckets_of(self._found, job))

    def _on_job_changed(self, paths: Sequence[str] | None = None) -> None:
        """The same pictures fall into other buckets where resolution or rules are others."""
        if paths is None or any(path in DECIDES for path in paths):
            self.captions.show_length()
        if rules_of(self._document.job.dataset) != self._rules:
            self._show_buckets()

    def _select(self, paths: set[str]) -> None:
        model = self.grid.selectionModel()
        for row, picture in enumerate(self.model.shown):
            if picture.path in paths:
                model.select(self.model.index(row), model.SelectionFlag.Select)

    def _watch(self, found: Sequence[Found]) -> None:
        folders = sorted({str(p.path.parent) for p in found})[:_MAX_WATCHED]
        watched = set(self._watcher.directories())
        if gone := list(watched - set(folders)):
            self._watcher.removePaths(gone)
        if new := [f for f in folders if f not in watched]:
            self._watcher.addPaths(new)

    def _on_folder_changed(self) -> None:
        """Captions may have changed in place, and pictures may have come or gone."""
        self.model.forget_captions()
        self.rescan_asked.emit()

    def _show_counts(self) -> None:
        shown, all_of_them = len(self.model.shown), len(self.model.pictures)
        words = counted(all_of_them, self.tr("picture"), self.tr("pictures"))
        if shown != all_of_them:
            words = self.tr("%1 of %2").replace("%1", str(shown)).replace("%2", str(all_of_them))
        bad = sum(bool(p.problem) for p in self.model.pictures)
        missing = sum(not self.model.caption(p).text.strip() for p in self.model.pictures)
        if bad:
            words += self.tr(", %s left out") % bad
        if missing:
            words += self.tr(", %s without caption") % missing
        self._count.setText(words)
        self._edit.setEnabled(shown > 0)
        self._show_tags()

    def _show_tags(self) -> None:
        tags = self.model.tag_counts()[:_MAX_TAGS]
        texts = [f"{tag}  {count}" for tag, count in tags]
        if texts == [self._tags.item(i).text() for i in range(self._tags.count())]:
            return
        self._tags.clear()
        for (tag, _), text in zip(tags, texts, strict=True):
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, tag)
            size = self._tags.fontMetrics().boundingRect(text)
            item.setSizeHint(QSize(size.width() + 16, size.height() + 8))
            self._tags.addItem(item)

    # --- what the person does ------------------------------------------------------------------

    def _on_selection_changed(
        self, _new: QItemSelection | None, _old: QItemSelection | None
    ) -> None:
        self.captions.show_pictures(self.grid.selected())

    def _on_filter_failed(self, words: str) -> None:
        self._filter.set_state("error" if words else "rest")
        self._filter_note.setText(words)
        self._filter_note.setVisible(bool(words))

    def _on_tag_clicked(self, item: QListWidgetItem) -> None:
        tag = item.data(Qt.ItemDataRole.UserRole)
        text = f'tag:"{tag}"'
        if self._filter.value() == text:
            text = ""  # a second click shows all again
        self._filter.set_value(text)
        self.model.set_filter(text)

    def _on_edit_clicked(self) -> None:
        self.captions.save()
        chosen: Sequence[Picture] = self.grid.selected()
        dialog = BulkDialog(self.model, chosen if len(chosen) > 1 else self.model.shown, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _step(self, direction: int) -> None:
        rows = [index.row() for index in self.grid.selectionModel().selectedIndexes()]
        row = (rows[0] if rows else -1) + direction
        if 0 <= row < self.model.rowCount():
            self.grid.setCurrentIndex(self.model.index(row))

    def close_down(self) -> None:
        """Save what was typed and end the workers, as the window closes."""
        self.captions.save()
        self.thumbnails.stop()


def _row(found: Found, job: Job) -> Picture:
    folder = job.dataset.folders[found.folder_index]
    caption = found.caption_path or found.path.with_suffix(folder.caption_extension)
    width, height = found.size
    return Picture(
        str(found.path), str(caption), found.folder_index, width, height, found.problem,
        folder.tag_separator,
    )  # fmt: skip


def buckets_of(found: Sequence[Found], job: Job) -> list[Bucket]:
    """The buckets that pictures fall into, with how much of them is cut off on average."""
    groups: dict[tuple[int, int], list[float]] = defaultdict(list)
    for rules in rules_of(job.dataset):
        for picture in found:
            if picture.usable:
                fitted = fit(picture.size, rules)
                groups[fitted.bucket].append(fitted.loss)
    return [
        Bucket(width, height, len(losses), sum(losses) / len(losses))
        for (width, height), losses in groups.items()
    ]
