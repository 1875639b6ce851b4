"""Tools → Convert: a LoRA file in another program's names, or in another precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.tools_facts import AdapterFacts
from app.tools_panel import PRECISIONS, AdapterField, ModelRows, Target, beside
from app.widgets.labeled_rows import LabeledRows
from app.widgets.segmented import Segmented


class ConvertPanel(QWidget):
    """Layout and precision.

    Signals:
        changed: something was changed.
    """

    changed = Signal()
    command = "convert"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.verb = self.tr("Convert a LoRA"), self.tr("Convert")
        self.lead = self.tr(
            "Writes the file anew in another program's names or in another precision. "
            "It acts as before."
        )
        self._about = {
            "kohya": self.tr("For sd-scripts, Forge and A1111, and most sites. ComfyUI reads it."),
            "comfyui": self.tr("For ComfyUI, where it does not read the first one whole."),
            "diffusers": self.tr("For scripts that use the diffusers library."),
        }
        self.rows = rows = LabeledRows(self)
        self.file = AdapterField(rows)
        self.layout_choice = Segmented(
            [("kohya", "sd-scripts"), ("comfyui", "ComfyUI"), ("diffusers", "diffusers")], rows
        )
        self.layout_choice.set_value("kohya")
        self.precision = Segmented([("", self.tr("as it is")), *PRECISIONS], rows)
        self.precision.set_value("")
        rows.add(self.tr("LoRA file"), self.file, fills=True)
        self.model = ModelRows(rows)
        rows.add(self.tr("Names for"), self.layout_choice, self._about["kohya"])
        rows.add(self.tr("Precision"), self.precision)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(rows)
        self.file.looked.connect(self._on_looked)
        self.layout_choice.edited.connect(self._on_layout)
        self.precision.edited.connect(lambda _: self.changed.emit())

    def widget(self) -> QWidget:
        """The panel itself."""
        return self

    def when_changed(self, act: Callable[[], None]) -> None:
        """Call `act` after every change."""
        self.changed.connect(act)

    def take(self, paths: Sequence[Path]) -> None:
        """Use the first file."""
        self.file.take(paths[0])

    def ask_for_model(self) -> None:
        """Show the rows that name the model."""
        self.model.show()

    def _on_looked(self, facts: AdapterFacts | None) -> None:
        words = facts.words if facts else ""
        self.rows.set_hint(self.file, words, "error" if facts and facts.problem else "text3")
        self.changed.emit()

    def _on_layout(self, layout: object) -> None:
        self.rows.set_hint(self.layout_choice, self._about[str(layout)])
        self.changed.emit()

    def missing(self) -> str:
        """A file has to be chosen."""
        return "" if self.file.is_usable else self.tr("Choose a LoRA file.")

    def arguments(self) -> list[str]:
        """FILE --to LAYOUT."""
        arguments = [str(self.file.value()), "--to", str(self.layout_choice.value())]
        if self.precision.value():
            arguments += ["--precision", str(self.precision.value())]
        return [*arguments, *self.model.arguments()]

    def target(self) -> Target:
        """Named for layout and precision: cat-diffusers-fp16.safetensors."""
        if not self.file.value():
            return Target("")
        precision = f"-{self.precision.value()}" if self.precision.value() else ""
        return Target(beside(str(self.file.value()), f"-{self.layout_choice.value()}{precision}"))

    def target_hint(self) -> str:
        """Nothing."""
        return ""
