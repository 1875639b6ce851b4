"""Previews large: one at a time with a slider through the steps, or two compared."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from app import theme
from app.full_pictures import FullPictures
from app.preview_grid import PreviewGrid, step_words
from app.widgets.choice import ChoiceBox
from app.widgets.picture_pane import PicturePane
from app.widgets.segmented import Segmented


class Compare(QWidget):
    """A picture of the grid, or two of one prompt at two steps.

    Signals:
        closed: back to the grid.
        turned: another picture is shown; prompt index and step.
    """

    closed = Signal()
    turned = Signal(int, int)

    def __init__(self, grid: PreviewGrid, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = grid
        self._pictures = FullPictures(self)
        self._pictures.ready.connect(self._show_pictures)
        self.prompt = 0
        self.step = 0  # of the one picture, or of the second of two
        self.other = 0  # of the first of two
        self.pane = PicturePane()
        self.pane.turned.connect(self._on_turned)
        self.pane.closed.connect(self.closed)
        self.how = Segmented(
            [("wipe", self.tr("Wipe")), ("side", self.tr("Beside")),
             ("difference", self.tr("Difference"))]
        )  # fmt: skip
        self.how.setAccessibleName(self.tr("How to compare"))
        self.how.set_value("wipe")
        self.how.edited.connect(self._on_how)
        self.first, self.second = ChoiceBox(), ChoiceBox()
        self.first.setAccessibleName(self.tr("First step"))
        self.second.setAccessibleName(self.tr("Second step"))
        for choice in (self.first, self.second):
            choice.setMinimumWidth(84)
        self.first.edited.connect(lambda step: self.compare(self.prompt, step, self.step))
        self.second.edited.connect(lambda step: self.compare(self.prompt, self.other, step))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(self.tr("Step"))
        self.slider.setPageStep(1)
        self.slider.valueChanged.connect(self._on_slider)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()
        grid.modelReset.connect(self._fill_steps)

    def _lay_out(self) -> None:
        self._versus = QLabel(self.tr("with"))
        row = QHBoxLayout()
        row.setSpacing(8)
        for widget in (self.how, self.first, self._versus, self.second):
            row.addWidget(widget)
        row.addWidget(self.slider, 1)
        row.addStretch(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(row)
        layout.addWidget(self.pane, 1)
        layout.addWidget(self.words)

    # What is shown

    def show_one(self, prompt: int, step: int) -> None:
        """Show one picture."""
        self.pane.set_mode("single")
        self._set(prompt, step, step)

    def compare(self, prompt: int, first: int, second: int) -> None:
        """Compare a prompt's pictures at two steps."""
        self.pane.set_mode(self.how.value())
        self._set(prompt, second, first)

    @property
    def is_comparing(self) -> bool:
        """Whether two pictures are shown."""
        return self.pane.mode != "single"

    def _set(self, prompt: int, step: int, other: int) -> None:
        self.prompt, self.step, self.other = prompt, step, other
        for widget in (self.how, self.first, self.second, self._versus):
            widget.setVisible(self.is_comparing)
        self.slider.setVisible(not self.is_comparing)
        self._fill_steps()
        self._show_pictures()
        self.turned.emit(prompt, step)

    def _fill_steps(self) -> None:
        steps = self._grid.steps
        choices: list[tuple[Any, str]] = [(step, step_words(step)) for step in steps]
        for choice, value in ((self.first, self.other), (self.second, self.step)):
            choice.set_choices(choices)
            choice.set_value(value)
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(0, len(steps) - 1))
            if self.step in steps:
                self.slider.setValue(steps.index(self.step))

    def _show_pictures(self, _: str = "") -> None:
        self._show_picture(0, self.other if self.is_comparing else self.step)
        if self.is_comparing:
            self._show_picture(1, self.step)
        self._tell_about()
        self._read_ahead()

    def _show_picture(self, place: int, step: int) -> None:
        sample = self._grid.sample(self.prompt, step)
        path = self._grid.path_of(sample) if sample is not None else None
        if path is None:
            self.pane.set_image(place, None, self.tr("No preview at step {0}").format(step))
            return
        image = self._pictures.get(path)
        if image is not None:
            self.pane.set_image(place, image, step_words(step))
        elif problem := self._pictures.problem(path):
            self.pane.set_image(place, None, f"{path.name}: {problem}")
        # While it is read, the picture before stays: no flicker.

    def _tell_about(self) -> None:
        sample = self._grid.sample(self.prompt, self.step)
        if sample is None:
            self.words.setText("")
            return
        file = self._grid.file_of(self.step)
        about = [f"<b>{_escaped(sample.prompt)}</b>"]
        if sample.negative:
            about.append(self.tr("without {0}").format(_escaped(sample.negative)))
        about.append(self.tr("seed {0}").format(sample.seed))
        about += [_escaped(sample.path), _escaped(file.name) if file is not None else ""]
        other = self._grid.sample(self.prompt, self.other)
        if self.is_comparing and other is not None and other.seed != sample.seed:
            about.append(self.tr("The seeds differ: {0} and {1}.").format(other.seed, sample.seed))
        self.words.setFont(theme.font(theme.SMALL))
        self.words.setText(" · ".join(part for part in about if part))

    def _read_ahead(self) -> None:
        steps = self._grid.steps
        if self.step not in steps:
            return
        at = steps.index(self.step)
        near = [s for i in (at - 1, at + 1) if 0 <= i < len(steps)
                and (s := self._grid.sample(self.prompt, steps[i]))]  # fmt: skip
        self._pictures.read_ahead(p for s in near if (p := self._grid.path_of(s)) is not None)

    def forget_all(self) -> None:
        """Another run is shown."""
        self._pictures.forget_all()

    # Turning

    def _on_turned(self, steps: int, prompts: int) -> None:
        known_steps, known_prompts = self._grid.steps, self._grid.prompts
        if self.step not in known_steps or self.prompt not in known_prompts:
            return
        at = known_steps.index(self.step) + steps
        row = known_prompts.index(self.prompt) + prompts
        if 0 <= at < len(known_steps) and 0 <= row < len(known_prompts):
            other = self.other if self.is_comparing else known_steps[at]
            self._set(known_prompts[row], known_steps[at], other)

    def _on_slider(self, at: int) -> None:
        if 0 <= at < len(self._grid.steps):
            self._set(self.prompt, self._grid.steps[at], self._grid.steps[at])

    def _on_how(self, mode: Any) -> None:
        self.pane.set_mode(mode)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
