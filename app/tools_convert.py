"""Tools → Convert: a LoRA file in another program's names, or in another precision."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.tools_file_panel import FilePanel
from app.tools_panel import PRECISIONS, Target, beside
from app.widgets.segmented import Segmented


class ConvertPanel(FilePanel):
    """Layout and precision."""

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
        rows = self.rows
        self.layout_choice = Segmented(
            [("kohya", "sd-scripts"), ("comfyui", "ComfyUI"), ("diffusers", "diffusers")], rows
        )
        self.layout_choice.set_value("kohya")
        self.precision = Segmented([("", self.tr("as it is")), *PRECISIONS], rows)
        self.precision.set_value("")
        rows.add(self.tr("Names for"), self.layout_choice, self._about["kohya"])
        rows.add(self.tr("Precision"), self.precision)
        self.layout_choice.edited.connect(self._on_layout)
        self.precision.edited.connect(lambda _: self.changed.emit())

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
