"""The Samples page: the grid of previews, one large, or two compared."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSlider, QStackedWidget, QVBoxLayout, QWidget

from app import theme
from app.opening import open_folder
from app.preview_grid import PreviewGrid
from app.run_model import RunModel
from app.thumbnails import Thumbnails
from app.widgets.button_row import ButtonRow, RowButton
from app.widgets.compare import Compare
from app.widgets.gallery import Gallery
from app.widgets.label import Label
from app.widgets.segmented import Segmented

_SIDES = (72, 256)


class SamplesPage(QWidget):
    """Previews of the shown run.

    Signals:
        trouble: a sentence for a notice.
    """

    trouble = Signal(str)

    def __init__(
        self, grid: PreviewGrid, thumbnails: Thumbnails, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.grid = grid
        self.gallery = Gallery(grid, thumbnails)
        self.gallery.set_side(150)
        self.compare = Compare(grid)
        self.view = Segmented(
            [("grid", self.tr("Grid")), ("one", self.tr("One")), ("compare", self.tr("Compare"))]
        )
        self.view.setAccessibleName(self.tr("How to look at previews"))
        self.view.set_value("grid")
        self.view.edited.connect(self._on_view)
        self.zoom = QSlider(Qt.Orientation.Horizontal)
        self.zoom.setAccessibleName(self.tr("Size of the previews"))
        self.zoom.setRange(*_SIDES)
        self.zoom.setValue(150)
        self.zoom.setMinimumWidth(60)
        self.zoom.setMaximumWidth(120)
        self.zoom.valueChanged.connect(self.gallery.set_side)
        self.star = RowButton(self.tr("Keep file"), "ghost", "star")
        self.star.setToolTip(self.tr("Star: never delete the adapter file of this step"))
        self.star.clicked.connect(self._on_star)
        self.folder = RowButton(self.tr("Open folder"), "ghost", "folder")
        self.folder.clicked.connect(self._on_folder)
        self.empty = Label(self.tr("No previews yet. A run draws them as it learns."), "text2")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.stack = QStackedWidget()
        for widget in (self.gallery, self.compare, self.empty):
            self.stack.addWidget(widget)
        self._lay_out()
        self.gallery.opened.connect(self.show_one)
        self.gallery.compared.connect(self._compare_with_newest)
        self.gallery.starred.connect(lambda _, step: self._star(step))
        self.gallery.chosen.connect(lambda *_: self._update())
        self.compare.closed.connect(self.show_grid)
        self.compare.turned.connect(lambda *_: self._update())
        grid.modelReset.connect(self._update)
        grid.headerDataChanged.connect(self._update)
        self._update()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self.view)
        row.addWidget(self.zoom)
        row.addWidget(ButtonRow([], [self.star, self.folder]), 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 14, 20, 14)
        layout.setSpacing(12)
        layout.addLayout(row)
        layout.addWidget(self.stack, 1)

    def set_run(self, run: RunModel | None) -> None:
        """Another run is shown (the grid has been given it already)."""
        self.compare.forget_all()
        self.show_grid()

    # Views

    def show_grid(self) -> None:
        """Show all previews."""
        at = (self.compare.prompt, self.compare.step)
        self.view.set_value("grid")
        self._update()
        self.gallery.choose(*at)
        self.gallery.table.setFocus()

    def show_one(self, prompt: int, step: int) -> None:
        """Show one preview large."""
        self.view.set_value("one")
        self.compare.show_one(prompt, step)
        self._update()
        self.compare.pane.setFocus()

    def show_two(self, prompt: int, first: int, second: int) -> None:
        """Compare a prompt's previews at two steps."""
        self.view.set_value("compare")
        self.compare.compare(prompt, first, second)
        self._update()
        self.compare.pane.setFocus()

    def show_step(self, step: int) -> None:
        """Show the previews of a step, as a mark of the chart asks."""
        known = [s for s in self.grid.steps if s <= step]
        if known and self.grid.prompts:
            self.show_one(self.grid.prompts[0], known[-1])

    def _on_view(self, view: Any) -> None:
        prompt, step = self._current()
        if prompt is None or step is None:
            self._update()
        elif view == "one":
            self.show_one(prompt, step)
        elif view == "compare":
            self._compare_with_newest(prompt, step)
        else:
            self.show_grid()

    def _compare_with_newest(self, prompt: int, step: int) -> None:
        """Compare a picture with the newest, or the newest with the first."""
        newest = self.grid.steps[-1]
        first = step if step != newest else self.grid.steps[0]
        self.show_two(prompt, first, newest)

    def _current(self) -> tuple[int | None, int | None]:
        if self.stack.currentWidget() is self.compare and self.view.value() != "grid":
            return self.compare.prompt, self.compare.step
        at = self.gallery.current()
        if at is not None:
            return at
        if self.grid.prompts and self.grid.steps:
            return self.grid.prompts[0], self.grid.steps[-1]
        return None, None

    def _update(self, *_args: object) -> None:
        has_any = bool(self.grid.prompts)
        is_grid = self.view.value() == "grid"
        shown = self.gallery if is_grid else self.compare
        self.stack.setCurrentWidget(shown if has_any else self.empty)
        self.zoom.setVisible(is_grid and has_any)
        _, step = self._current()
        file = self.grid.file_of(step) if step is not None else None
        self.star.setEnabled(file is not None)
        starred = step is not None and self.grid.is_starred(step)
        self.star.setText(self.tr("Kept") if starred else self.tr("Keep file"))
        self.folder.setEnabled(self.grid.run is not None and self.grid.run.directory is not None)
        self.empty.setFont(theme.font())

    # Acts

    def _on_star(self) -> None:
        _, step = self._current()
        if step is not None:
            self._star(step)

    def _star(self, step: int) -> None:
        if not self.grid.toggle_star(step):
            self.trouble.emit(
                self.tr("No adapter file was saved at step {0}, so there is none to keep.").format(
                    f"{step:,}"
                )
            )
        self._update()

    def _on_folder(self) -> None:
        run = self.grid.run
        if run is not None and run.directory is not None:
            words = open_folder(run.directory / "samples")
            if words:
                self.trouble.emit(words)
