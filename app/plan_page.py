"""The Plan tab: the block editor, where the parameters go, memory, and how the steps come about."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QHBoxLayout,
    QLayout,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.block_card import BlockCard
from app.device import Machine
from app.document import Document
from app.map_card import MapCard
from app.place_map import by_family
from app.plan_model import PlanModel
from app.theme import SMALL
from app.widgets.bucket_bars import Bucket, BucketBars
from app.widgets.card import Card
from app.widgets.label import Label
from app.widgets.memory_bar import MemoryBar
from app.widgets.share_bars import Row, ShareBars
from app.words import counted, size_words
from engine.plan.memory import Memory
from engine.plan.summary import Plan
from engine.schema.architectures import ARCHITECTURES

_SIDE_BY_SIDE_PX = 600


class PlanPage(QWidget):
    """Shows the plan and edits what is trained in each block.

    Signals:
        field_asked(path): the person wants to see a field of the form.
    """

    field_asked = Signal(str)

    def __init__(self, document: Document, plans: PlanModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document, self._plans = document, plans
        self._machine: Machine | None = None
        self.blocks = BlockCard(document, self)
        self.blocks.asked_for_field.connect(self.field_asked)
        self.blocks.setMinimumHeight(360)
        self.map = MapCard(document, self)
        self.map.asked_for_field.connect(self.field_asked)
        self.map.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._parameters = _Titled(self.tr("Where the parameters go"))
        self._shares = ShareBars()
        self._parameters.add(self._shares)
        self._memory = _Titled(self.tr("Memory at its peak"))
        self._memory_bar = MemoryBar()
        self._memory_note = Label("", "text3", SMALL)
        self._memory_note.setWordWrap(True)
        self._memory.add(self._memory_bar)
        self._memory.add(self._memory_note)
        self._steps = _Titled(self.tr("How the steps come about"))
        self._sum = Label("", "text2")
        self._sum.setWordWrap(True)
        self._bars = BucketBars()
        self._notes = Label("", "warn", SMALL)
        self._notes.setWordWrap(True)
        for widget in (self._sum, self._bars, self._notes):
            self._steps.add(widget)
        self._pair = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._pair.setSpacing(14)
        self._pair.addWidget(self._parameters, 1)
        self._pair.addWidget(self._memory, 1)
        column = QVBoxLayout(self)
        column.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(14)
        column.addWidget(self.blocks, 1)
        column.addWidget(self.map)
        column.addLayout(self._pair)
        column.addWidget(self._steps)
        column.addStretch(0)
        plans.changed.connect(self.show_plan)
        if plans.plan is not None:
            self.show_plan(plans.plan)

    def minimumSizeHint(self) -> QSize:
        """As narrow as the widest card: the two beside each other may stack."""
        first = self.blocks if self._has_named_blocks else self.map
        cards = (first, self._parameters, self._memory, self._steps)
        width = max(card.minimumSizeHint().width() for card in cards) + 40
        return QSize(width, super().minimumSizeHint().height())

    @property
    def _has_named_blocks(self) -> bool:
        return bool(ARCHITECTURES[self._document.architecture].blocks)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the two cards below each other where there is no room beside."""
        wide = self.width() >= _SIDE_BY_SIDE_PX
        direction = QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        if self._pair.direction() != direction:
            self._pair.setDirection(direction)
        super().resizeEvent(event)

    def set_machine(self, machine: Machine) -> None:
        """Show the memory against what this machine has."""
        self._machine = machine
        if self._plans.plan is not None:
            self.show_plan(self._plans.plan)

    def show_plan(self, plan: Plan) -> None:
        """Show another plan."""
        self._parameters.set_figure(_millions(plan.parameters))
        self.map.setVisible(not self._has_named_blocks)
        if self._has_named_blocks:
            shares = parameters_by_part(plan)
        else:
            sites, placements = self._plans.placements()
            self.map.show_places(sites, placements)
            shares = list(by_family(placements, _encoders(plan), plan.architecture).items())
        self._shares.show_rows([Row(n, v, f"{v:,}") for n, v in shares])
        memory = plan.memory
        self._memory.set_figure(f"{_plain(memory.low)}–{size_words(memory.high)}")
        phase = peak_phase(memory)
        parts = [p for p in memory.parts if p.phase in ("always", phase)]
        device = None
        if self._machine is not None:
            device = self._machine.device(self._document.job.launch.device)
        self._memory_bar.show_parts(
            parts, device.memory_bytes if device else 0, device.name if device else ""
        )
        self._memory_note.setText(
            self.tr("While training.")
            if phase == "training"
            else self.tr("While pictures are encoded, before the first step.")
        )
        self._show_steps(plan)

    def _show_steps(self, plan: Plan) -> None:
        found = plan.pictures
        self._sum.setText((found.problem if found else "") or self._steps_words(plan))
        total = found.total_steps if found else 0
        self._steps.set_figure(self.tr("%s steps") % f"{total:,}" if total else "")
        buckets = found.buckets if found else ()
        self._bars.show_buckets([Bucket(*b.size, b.samples, b.crop_loss) for b in buckets])
        self._bars.setVisible(bool(buckets))
        self._notes.setText("\n".join(plan.notes))
        self._notes.setVisible(bool(plan.notes))

    def _steps_words(self, plan: Plan) -> str:
        """The arithmetic in words: pictures × repeats ÷ batch = steps an epoch × epochs."""
        found = plan.pictures
        if found is None and any(f.path for f in self._document.job.dataset.folders):
            return self.tr("Reading the pictures…")
        if found is None or not found.total_steps:
            return self.tr("Choose a folder of pictures to see how many steps there will be.")
        training = self._document.job.training
        words = counted(found.trained, self.tr("picture"), self.tr("pictures"))
        if found.held_out:
            words += self.tr(" (%s held out)") % found.held_out
        words += self.tr(" make %s samples") % f"{found.samples_per_epoch:,}"
        words += self.tr(" in %1 batches of %2")
        words = words.replace("%1", f"{found.batches_per_epoch:,}")
        words = words.replace("%2", str(training.batch_size))
        if training.gradient_accumulation > 1:
            words += self.tr(", %s to a step") % training.gradient_accumulation
        end = self.tr(" = %1 steps an epoch × %2 epochs = %3 steps.")
        end = end.replace("%1", f"{found.steps_per_epoch:,}").replace("%2", str(found.epochs))
        return words + end.replace("%3", f"{found.total_steps:,}")


def parameters_by_part(plan: Plan) -> list[tuple[str, int]]:
    """IN, MID, OUT of the denoiser, then the text encoders by name, with their parameters."""
    about = ARCHITECTURES[plan.architecture]
    sums: dict[str, int] = {}
    for block, here in zip(about.blocks, plan.blocks, strict=True):
        sums[block.part] = sums.get(block.part, 0) + here.parameters
    encoders = _encoders(plan)
    for part in plan.parts:
        if part.component in encoders:
            sums[encoders[part.component]] = part.parameters
    return list(sums.items())


def _encoders(plan: Plan) -> dict[str, str]:
    """Components of text encoders, and what people call them."""
    roles = ("text_encoder", "text_encoder_2", "text_encoder_3")
    return dict(zip(roles, ARCHITECTURES[plan.architecture].text_encoders, strict=False))


def peak_phase(memory: Memory) -> str:
    """The phase that needs most: "training" or "encoding"."""
    needs = {
        phase: sum(p.high for p in memory.parts if p.phase in ("always", phase))
        for phase in ("training", "encoding")
    }
    return max(needs, key=lambda phase: needs[phase])


def _millions(count: int) -> str:
    if count >= 10**5:
        return f"{count / 1e6:.1f} M"
    return f"{count:,}"


def _plain(size: float) -> str:
    """A size without its unit where the range's end has the same one."""
    return size_words(size).rpartition(" ")[0] if size >= 1e9 else size_words(size)


class _Titled(Card):
    """A card with a title at the left and a figure at the right."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._figure = Label("", bold=True)
        head = QHBoxLayout()
        head.addWidget(Label(title, bold=True))
        head.addStretch(1)
        head.addWidget(self._figure)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 12, 16, 12)
        self._column.setSpacing(8)
        self._column.addLayout(head)
        self._column.addStretch(1)

    def add(self, widget: QWidget) -> None:
        """Put a widget below the others."""
        self._column.insertWidget(self._column.count() - 1, widget)

    def set_figure(self, text: str) -> None:
        """Show another figure."""
        self._figure.setText(text)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the text size."""
        if event.type() == QEvent.Type.FontChange:
            self.updateGeometry()
