"""Tools → Resize: the strongest directions of each layer of a LoRA file."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.tools_file_panel import FilePanel
from app.tools_panel import Target, beside
from app.widgets.number import NumberEdit
from app.widgets.segmented import Segmented

_USUAL_SHARE = 95.0


class ResizePanel(FilePanel):
    """A rank for all layers, a share of the strength to keep, or both."""

    command = "resize"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.verb = self.tr("Resize a LoRA"), self.tr("Resize")
        self.lead = self.tr(
            "Makes the file smaller by leaving out the weakest directions of each layer "
            "(singular values)."
        )
        self._about = {
            "rank": self.tr("Every layer gets at most this rank."),
            "share": self.tr("Each layer gets the lowest rank that keeps this much of it."),
            "both": self.tr("The lowest rank that keeps the share, and never above the limit."),
        }
        rows = self.rows
        self.by = Segmented(
            [("rank", self.tr("One rank")), ("share", self.tr("Share kept")),
             ("both", self.tr("Both"))], rows,
        )  # fmt: skip
        self.by.set_value("rank")
        self.rank = NumberEdit("int", rows, scale="double", bounds={"ge": 1})
        self.rank.set_value(8)
        self.share = NumberEdit("float", rows, step=1.0, bounds={"gt": 0, "le": 100}, unit="%")
        self.share.set_value(_USUAL_SHARE)
        rows.add(self.tr("Cut to"), self.by, self._about["rank"])
        rows.add(self.tr("Rank"), self.rank)
        rows.add(self.tr("Strength kept"), self.share, self.tr("Of each layer's squared norm."))
        self.by.edited.connect(self._on_by)
        for editor in (self.rank, self.share):
            editor.edited.connect(lambda _: self.changed.emit())
        self._on_by("rank")

    def _on_by(self, by: object) -> None:
        self.rows.set_hint(self.by, self._about[str(by)])
        self.rows.show_row(self.rank, by != "share")
        self.rows.show_row(self.share, by != "rank")
        self.changed.emit()

    def missing(self) -> str:
        """A file, and numbers that can be."""
        if not self.file.is_usable:
            return self.tr("Choose a LoRA file.")
        rank, share = self.rank.value(), self.share.value()
        if self.by.value() != "share" and not (isinstance(rank, int) and rank >= 1):
            return self.tr("The rank is a whole number of 1 or more.")
        if self.by.value() != "rank" and not (isinstance(share, int | float) and 0 < share <= 100):
            return self.tr("The share is above 0 and at most 100 %.")
        if self.by.value() == "rank" and rank >= self.whole_rank:
            return self.tr("The file has rank %s: choose a lower one.") % self.whole_rank
        return ""

    def arguments(self) -> list[str]:
        """FILE --rank R --dynamic SHARE."""
        arguments = [str(self.file.value())]
        if self.by.value() != "share":
            arguments += ["--rank", str(self.rank.value())]
        if self.by.value() != "rank":
            arguments += ["--dynamic", f"{self.share.value() / 100:.6g}"]
        return [*arguments, *self.model.arguments()]

    def target(self) -> Target:
        """Named for what is kept: cat-r8.safetensors, cat-95pct.safetensors."""
        if not self.file.value():
            return Target("")
        parts = []
        if self.by.value() != "share":
            parts.append(f"-r{self.rank.value()}")
        if self.by.value() != "rank" and isinstance(self.share.value(), int | float):
            parts.append(f"-{self.share.value():g}pct")
        return Target(beside(str(self.file.value()), "".join(parts)))
