"""Tools → Extract: smaller ranks out of a DyLoRA file."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.tools_facts import AdapterFacts
from app.tools_file_panel import FilePanel
from app.tools_panel import Target, beside
from app.widgets.check import CheckBox
from app.widgets.number import NumberEdit
from app.widgets.segmented import Segmented


class ExtractPanel(FilePanel):
    """One rank, or every multiple of the unit it was trained in."""

    command = "extract"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.verb = self.tr("Extract from a DyLoRA"), self.tr("Extract")
        self.lead = self.tr(
            "A DyLoRA is trained so that its first directions work alone: take as many as you like."
        )
        rows = self.rows
        self.which = Segmented(
            [("rank", self.tr("One rank")), ("unit", self.tr("Every unit"))], rows
        )
        self.which.set_value("rank")
        self.number = NumberEdit("int", rows, scale="double", bounds={"ge": 1})
        self.number.set_value(4)
        self.keeps = CheckBox(self.tr("Act as strongly as in training"), rows)
        rows.add(self.tr("Take"), self.which)
        rows.add(self.tr("Rank or unit"), self.number)
        rows.add(
            self.tr("Strength"), self.keeps,
            self.tr("Off: as sd-scripts cuts it, stronger the smaller the rank."),
        )  # fmt: skip
        self.which.edited.connect(lambda _: self._on_number())
        self.number.edited.connect(lambda _: self._on_number())
        self.keeps.edited.connect(lambda _: self.changed.emit())
        self._on_number()

    def show_facts(self, facts: AdapterFacts | None) -> None:
        """Begin with the file's own unit; warn where it has none."""
        super().show_facts(facts)
        if facts is None or facts.problem:
            return
        self.number.set_value(facts.unit or max(self.whole_rank // 2, 1))
        if not facts.unit:
            words = self.tr(
                "It does not say that it is a DyLoRA: cut like this, others lose most of what "
                "they learned. Resize keeps it."
            )
            self.rows.set_hint(self.file, f"{facts.words}\n{words}", "warn")
        self._on_number()

    def _ranks(self) -> list[int]:
        """The ranks that are written."""
        number = self.number.value()
        if not isinstance(number, int) or number < 1:
            return []
        whole = self.whole_rank
        if self.which.value() == "rank":
            return [number] if number < whole else []
        return list(range(number, whole, number))

    def _on_number(self) -> None:
        ranks = self._ranks()
        shown = ", ".join(str(rank) for rank in ranks[:8]) + (", …" if len(ranks) > 8 else "")
        many = self.which.value() == "unit"
        words = self.tr("Writes ranks %s, a file each.") % shown if many and ranks else ""
        self.rows.set_hint(self.number, words)
        self.changed.emit()

    def missing(self) -> str:
        """A file, and a number below its rank."""
        if not self.file.is_usable:
            return self.tr("Choose a LoRA file.")
        if not self._ranks():
            return self.tr("The file has rank %s: choose a lower one.") % self.whole_rank
        return ""

    def arguments(self) -> list[str]:
        """FILE --rank R, or --unit U."""
        arguments = [str(self.file.value()), f"--{self.which.value()}", str(self.number.value())]
        if self.keeps.value():
            arguments.append("--keep-strength")
        return [*arguments, *self.model.arguments()]

    def target(self) -> Target:
        """Named for the rank; of several files, their common beginning."""
        if not self.file.value():
            return Target("")
        ending = "" if self.which.value() == "unit" else f"-{self.number.value()!s:0>4}"
        return Target(beside(str(self.file.value()), ending))

    def target_hint(self) -> str:
        """Of several files, what their names become."""
        ranks = self._ranks()
        if self.which.value() != "unit" or not ranks:
            return ""
        return self.tr("The rank is added to each name: …-%s.safetensors") % f"{ranks[0]:04d}"
