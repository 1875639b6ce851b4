"""What a tool's dialog asks of its panel, and the rows that several panels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from app.tools_facts import AdapterFacts, look_at_adapter
from app.widgets.choice import ChoiceBox
from app.widgets.labeled_rows import LabeledRows
from app.widgets.path import PathEdit
from app.worker import in_worker
from engine.schema.architectures import ARCHITECTURES

ADAPTERS = (".safetensors",)
PRECISIONS = (("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "fp32"))
_TYPING_MS = 300


@dataclass(frozen=True)
class Target:
    """Where the result would go; a merged diffusers model is a folder."""

    path: str
    is_folder: bool = False
    is_model: bool = False


class Panel(Protocol):
    """The settings of one tool: a widget with no buttons of its own."""

    command: str  # "convert"
    title: str
    lead: str
    verb: str  # of the button

    def widget(self) -> QWidget:
        """What is shown."""
        ...

    def when_changed(self, act: Callable[[], None]) -> None:
        """Call `act` after every change."""
        ...

    def take(self, paths: Sequence[Path]) -> None:
        """Use files that were dropped, or that the dialog was opened with."""
        ...

    def missing(self) -> str:
        """What keeps the tool from starting, in words; empty if nothing does."""
        ...

    def arguments(self) -> list[str]:
        """The command's arguments, without --out."""
        ...

    def target(self) -> Target:
        """A name for the result; empty while there is nothing to name it after."""
        ...

    def target_hint(self) -> str:
        """What else is to be said of the names; mostly nothing."""
        ...

    def ask_for_model(self) -> None:
        """The engine could not tell the model: show the rows that name it."""
        ...


class AdapterField(PathEdit):
    """A LoRA file, looked at in a worker as soon as it is chosen.

    Signals:
        looked: its `AdapterFacts`, or None while there is no file.
    """

    looked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("file", parent, extensions=ADAPTERS)
        self.facts: AdapterFacts | None = None
        self._timer = QTimer(self, interval=_TYPING_MS, singleShot=True)
        self._timer.timeout.connect(self._look)
        self.edited.connect(lambda _: self._timer.start())

    def take(self, path: Path) -> None:
        """Show a file and look at it."""
        self.set_value(str(path))
        self._look()

    def _look(self) -> None:
        self._timer.stop()
        text = str(self.value() or "")
        if not text:
            self._on_looked(None)
            return
        in_worker(self, lambda: look_at_adapter(Path(text).expanduser()), self._on_looked)

    def _on_looked(self, facts: AdapterFacts | None) -> None:
        if facts is not None and str(facts.path) != str(Path(str(self.value() or "")).expanduser()):
            return  # another file has been chosen meanwhile
        self.facts = facts
        self.set_state("error" if facts is not None and facts.problem else "rest")
        self.looked.emit(facts)

    @property
    def is_usable(self) -> bool:
        """Whether a LoRA file is chosen."""
        return self.facts is not None and not self.facts.problem


class ModelRows(QObject):
    """Two rows for what the file itself does not tell; hidden until the engine asks."""

    def __init__(self, rows: LabeledRows) -> None:
        super().__init__(rows)
        self._rows = rows
        self.model = PathEdit("model", rows, extensions=ADAPTERS, optional=True)
        choices = [("", self.tr("as its layers tell"))]
        choices += [(key, one.label) for key, one in ARCHITECTURES.items()]
        self.architecture = ChoiceBox(choices, rows)
        rows.add(
            self.tr("Its base model"), self.model,
            self.tr("Needed where it is not of a published size."), fills=True,
        )  # fmt: skip
        rows.add(self.tr("Made for"), self.architecture)
        self.architecture.set_value("")
        for editor in (self.model, self.architecture):
            rows.show_row(editor, False)

    def show(self, *, with_model: bool = True) -> None:
        """Ask for what the model is, and where it lies."""
        self._rows.show_row(self.model, with_model)
        self._rows.show_row(self.architecture, True)

    def arguments(self) -> list[str]:
        """What was said."""
        said = []
        if self.model.value():
            said += ["--model", str(self.model.value())]
        if self.architecture.value():
            said += ["--architecture", str(self.architecture.value())]
        return said


def beside(path: str, ending: str, suffix: str = ".safetensors") -> str:
    """A name beside a file: ("/a/cat.safetensors", "-r8") → "/a/cat-r8.safetensors"."""
    here = Path(path)
    stem = here.stem if here.suffix.lower() in ADAPTERS else here.name
    return str(here.with_name(f"{stem}{ending}{suffix}"))
