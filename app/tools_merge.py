"""Tools → Merge: LoRA files worked into a copy of a base model, or several joined into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.tools_panel import ADAPTERS, PRECISIONS, AdapterField, ModelRows, Target, beside
from app.widgets.labeled_rows import LabeledRows
from app.widgets.path import PathEdit
from app.widgets.segmented import Segmented
from app.widgets.weighted_files import WeightedFiles


class MergePanel(QWidget):
    """Files with weights, and what they are merged into.

    Signals:
        changed: something was changed.
    """

    changed = Signal()
    command = "merge"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.verb = self.tr("Merge LoRAs"), self.tr("Merge")
        self.lead = self.tr(
            "Works LoRA files into a copy of a base model, or joins several into one file. "
            "The files themselves stay as they are."
        )
        self._about = {
            "base": self.tr("The copy has the base model's layout, precision and size."),
            "one": self.tr("Exact, not averaged: the ranks add up. Resize makes it smaller."),
        }
        self.rows = rows = LabeledRows(self)
        self.into = Segmented(
            [("base", self.tr("Into a base model")), ("one", self.tr("Several into one"))], rows
        )
        self.into.set_value("base")
        self.base = PathEdit("model", rows, extensions=ADAPTERS)
        self.files = WeightedFiles(self._make_field, rows)
        self.precision = Segmented([("", self.tr("as the first")), *PRECISIONS], rows)
        self.precision.set_value("")
        rows.add(self.tr("Merge"), self.into, self._about["base"])
        rows.add(
            self.tr("Base model"), self.base,
            self.tr("A .safetensors file, or a diffusers folder by its model_index.json."),
            fills=True,
        )  # fmt: skip
        rows.add(self.tr("LoRA files"), self.files, fills=True, tall=True)
        rows.add(self.tr("Precision"), self.precision)
        self.model = ModelRows(rows)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(rows)
        self.into.edited.connect(self._on_into)
        self.base.edited.connect(lambda _: self.changed.emit())
        self.files.changed.connect(self.changed)
        self.precision.edited.connect(lambda _: self.changed.emit())
        self.changed.connect(self._show_problem)
        self._on_into("base")

    def _make_field(self, parent: QWidget) -> AdapterField:
        field = AdapterField(parent)
        field.looked.connect(lambda _: self.changed.emit())
        return field

    def widget(self) -> QWidget:
        """The panel itself."""
        return self

    def when_changed(self, act: Callable[[], None]) -> None:
        """Call `act` after every change."""
        self.changed.connect(act)

    def take(self, paths: Sequence[Path]) -> None:
        """Add files; a folder or a checkpoint's file is the base model."""
        for path in paths:
            if path.suffix.lower() in ADAPTERS:
                field = self.files.add(str(path))
                if isinstance(field, AdapterField):
                    field.take(path)
            else:
                self.base.set_value(str(path))
        self.changed.emit()

    def ask_for_model(self) -> None:
        """Show the rows that name the model; a base model tells its size itself."""
        self.model.show(with_model=self.into.value() != "base")

    def _on_into(self, into: object) -> None:
        self.rows.set_hint(self.into, self._about[str(into)])
        self.rows.show_row(self.base, into == "base")
        self.rows.show_row(self.precision, into == "one")
        if into == "one" and len(self.files.rows) == 1:
            self.files.add()
        self.changed.emit()

    def _show_problem(self) -> None:
        fields = [row[0] for row in self.files.rows]
        problems = [f.facts.problem for f in fields if isinstance(f, AdapterField) and f.facts]
        words = next((problem for problem in problems if problem), "")
        self.rows.set_hint(self.files, words, "error")

    def missing(self) -> str:
        """A base model and one file, or two files; every weight a number."""
        files = self.files.values()
        if self.into.value() == "base" and not self.base.value():
            return self.tr("Choose a base model.")
        if not files:
            return self.tr("Choose a LoRA file.")
        if self.into.value() == "one" and len(files) < 2:
            return self.tr("Choose two or more files to join.")
        if not all(isinstance(weight, int | float) for _, weight in files):
            return self.tr("A weight is a number, such as 0.8.")
        return ""

    def arguments(self) -> list[str]:
        """--base MODEL --lora FILE:WEIGHT …."""
        arguments = []
        if self.into.value() == "base":
            arguments += ["--base", str(self.base.value())]
        for path, weight in self.files.values():
            arguments += ["--lora", f"{path}:{weight:g}"]
        if self.into.value() == "one" and self.precision.value():
            arguments += ["--precision", str(self.precision.value())]
        return [*arguments, *self.model.arguments()]

    def target(self) -> Target:
        """Named after the base and the first file, or after all files."""
        names = [Path(path).stem for path, _ in self.files.values()]
        if not names:
            return Target("")
        if self.into.value() == "one":
            if len(names) < 2:
                return Target("")
            return Target(beside(self.files.values()[0][0], "".join(f"-{n}" for n in names[1:])))
        base = str(self.base.value() or "")
        if not base:
            return Target("", is_model=True)
        is_folder = Path(base).suffix.lower() not in ADAPTERS
        suffix = "" if is_folder else ".safetensors"
        return Target(beside(base, f"-{names[0]}", suffix), is_folder, is_model=True)

    def target_hint(self) -> str:
        """Nothing."""
        return ""
