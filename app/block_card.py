"""The card "What will be trained": the block editor with its layers, tools and list, on a job."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QVBoxLayout, QWidget

from app import block_values
from app.block_values import LayerName, Modules, Side, Tool, modules_by_block
from app.document import Document
from app.stand_ins import counted_data, stand_in_words
from app.theme import SMALL, font, tokens
from app.widgets.block_geometry import Bars
from app.widgets.blocks import BlockEditor
from app.widgets.button import Button
from app.widgets.card import Card
from app.widgets.label import ElidedLabel, Label
from app.widgets.segmented import Segmented
from app.words import counted
from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import get_at

_WATCHED = (
    "network.rank", "network.alpha", "network.conv_dim", "network.conv_alpha", "network.block_dims",
    "network.block_alphas", "network.conv_block_dims", "network.conv_block_alphas",
    "network.down_lr_weight", "network.mid_lr_weight", "network.up_lr_weight",
    "network.block_lr_zero_threshold", "network.train", "model.architecture",
)  # fmt: skip


class BlockCard(Card):
    """Edits ranks, alphas and learning-rate weights of every block.

    Signals:
        asked_for_field(path): the person wants to see a field of the form.
    """

    asked_for_field = Signal(str)

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._data = document.data  # what is counted: wrong values stand at their defaults
        self._modules: tuple[Modules, ...] = ()
        self._architecture = ""
        self.editor = BlockEditor(self)
        self.layers = Segmented(
            [("rank", self.tr("Rank")), ("alpha", self.tr("Alpha")),
             ("lr_weight", self.tr("LR weight"))], self,
        )  # fmt: skip
        self.layers.setAccessibleName(self.tr("What the bars show"))
        self.layers.set_value("rank")
        self._count = ElidedLabel("", "text3")
        self._block = Label("", bold=True)
        self._part = ElidedLabel("", "text2", SMALL)
        self._figures = Label("", "text2", SMALL)
        self._legend = _Legend(self)
        self._lay_out()
        self.layers.edited.connect(lambda _: self.refresh())
        self.editor.edited.connect(self._on_editor_edited)
        self.editor.stroke_finished.connect(document.end_merging)
        self.editor.pointed.connect(self._show_block)
        document.changed.connect(self._on_document_changed)
        document.replaced.connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(Label(self.tr("What will be trained"), bold=True))
        head.addWidget(self._count, 1)
        head.addWidget(self.layers)
        row = QHBoxLayout()
        row.setSpacing(6)
        for text, icon, tool in (
            (self.tr("Equal"), "equal", block_values.equal),
            (self.tr("Ramp"), "ramp", block_values.ramp),
            (self.tr("Zero"), "zero", block_values.zero),
            ("×½", "", block_values.halve),
            ("×2", "", block_values.double),
        ):
            button = Button(text, "secondary", icon, self, small=True)
            button.clicked.connect(lambda _=False, t=tool: self.use(t))
            row.addWidget(button)
        row.addWidget(self._more_button())
        row.addStretch(1)
        row.addWidget(self._legend)
        foot = QHBoxLayout()
        foot.setSpacing(10)
        foot.addWidget(self._block)
        foot.addWidget(self._part, 1)
        foot.addWidget(self._figures)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(8)
        column.addLayout(head)
        column.addLayout(row)
        column.addWidget(self.editor, 1)
        column.addLayout(foot)

    def _more_button(self) -> Button:
        button = Button(self.tr("More"), "ghost", "chevron-down", self, small=True)
        menu = QMenu(button)
        menu.addAction(self.tr("Bell"), lambda: self.use(block_values.bell))
        menu.addAction(self.tr("Invert"), lambda: self.use(block_values.invert))
        menu.addAction(self.tr("Only blocks with attention"), lambda: self.use(self._attention))
        menu.addSeparator()
        menu.addAction(self.tr("Same in every block again"), self.clear)
        menu.addAction(self.tr("Type as a list…"), self._ask_for_list)
        button.clicked.connect(lambda: menu.popup(button.mapToGlobal(button.rect().bottomLeft())))
        return button

    # --- the job -> the bars -------------------------------------------------------------------

    @property
    def layer(self) -> LayerName:
        """What the bars show."""
        return self.layers.value()

    def refresh(self) -> None:
        """Show the job's values; nothing is shown for an architecture without blocks."""
        data, architecture = counted_data(self._document), self._document.architecture
        about = ARCHITECTURES[architecture]
        self.setVisible(bool(about.blocks))
        if not about.blocks:
            return
        self._data = data
        if architecture != self._architecture:
            self._architecture, self._modules = architecture, modules_by_block(architecture)
        sides: list[Side] = ["linear"] if self.layer == "lr_weight" else ["linear", "conv"]
        shown: dict[Side, Bars] = {
            side: Bars(
                tuple(block_values.effective(data, self.layer, side)), tuple(self._live(side))
            )
            for side in sides
        }
        self.editor.show_layer(about.blocks, self.layer, shown)
        self.editor.setEnabled(get_at(data, "network.train") != "text_encoder")
        self._legend.show_sides(len(sides) > 1)
        self._show_count()
        self._show_block(self.editor.current[1])

    def _live(self, side: Side) -> list[bool]:
        conv_on = self._conv_on()
        if self.layer == "lr_weight":
            return [m.linear + m.conv + m.resnet_linear > 0 for m in self._modules]
        return [m.count(side, conv_on or side == "conv") > 0 for m in self._modules]

    def _conv_on(self) -> bool:
        return block_values.conv_is_on(self._data)

    def _show_count(self) -> None:
        trained = sum(self._trained(i) for i in range(len(self._modules)))
        conv_on = self._conv_on()
        possible = sum(m.count("linear", True) + m.conv for m in self._modules)
        words = self.tr("%1 of %2 modules of the U-Net")
        words = words.replace("%1", str(trained)).replace("%2", str(possible))
        self._count.setText(", ".join(filter(None, (words, stand_in_words(self._document)))))
        self._count.setToolTip(
            "" if conv_on else self.tr("The rest are 3×3 and resnet layers: see 3×3 conv rank.")
        )

    def _trained(self, index: int) -> int:
        data, modules = self._data, self._modules[index]
        if get_at(data, "network.train") == "text_encoder":
            return 0
        about = ARCHITECTURES[self._architecture]
        if block_values.lr_weights(data, about)[index] <= 0:
            return 0
        rank = block_values.effective(data, "rank", "linear")[index]
        conv = block_values.effective(data, "rank", "conv")[index]
        linear = modules.count("linear", self._conv_on()) if rank > 0 else 0
        return linear + (modules.conv if conv > 0 else 0)

    def _show_block(self, index: int) -> None:
        none = index < 0 or index >= len(self._modules)
        self._block.setVisible(not none)  # an empty one would push the words aside
        if none:
            self._part.setText(
                self.tr("Drag over the bars; Shift draws a line, Alt one bar, right button 0.")
            )
            self._figures.setText("")
            return
        about = ARCHITECTURES[self._architecture].blocks[index]
        data, modules = self._data, self._modules[index]
        rank = block_values.effective(data, "rank", "linear")[index]
        conv = block_values.effective(data, "rank", "conv")[index]
        on = self._trained(index) > 0
        parameters = rank * modules.unit("linear", self._conv_on()) + conv * modules.conv_unit
        self._block.setText(about.name)
        self._part.setText(about.modules)
        words = [self.tr("rank %s") % f"{rank:g}", self.tr("conv %s") % f"{conv:g}"]
        words.append(counted(self._trained(index), self.tr("module"), self.tr("modules")))
        words.append(self.tr("%s parameters") % f"{round(parameters) if on else 0:,}")
        self._figures.setText("   ".join(words))

    def _on_document_changed(self, paths: Sequence[str]) -> None:
        if any(path in _WATCHED for path in paths):
            self.refresh()

    # --- the bars -> the job -------------------------------------------------------------------

    def _on_editor_edited(self, side: Side, values: list[float]) -> None:
        changes = block_values.edits(self._document.data, self.layer, side, values)
        self._document.set_many(changes, self.tr("%s per block") % self.layer.replace("_", " "))

    def use(self, tool: Tool) -> None:
        """Apply a tool to the side the cursor is on, as one step of undo."""
        side = self.editor.current[0]
        values = tool(self.editor.values(side), self._live(side))
        kept = [block_values.clipped(self.layer, value) for value in values]
        self._document.end_merging()
        self._on_editor_edited(side, kept)
        self._document.end_merging()

    def clear(self) -> None:
        """Drop the lists of this layer: one value for all blocks again."""
        paths = {
            "rank": ("network.block_dims", "network.conv_block_dims"),
            "alpha": ("network.block_alphas", "network.conv_block_alphas"),
            "lr_weight": (
                "network.down_lr_weight", "network.mid_lr_weight", "network.up_lr_weight",
            ),
        }[self.layer]  # fmt: skip
        self._document.end_merging()
        self._document.set_many([(p, None) for p in paths], self.tr("same in every block"))
        self._document.end_merging()

    def _attention(self, values: Sequence[float], live: Sequence[bool]) -> list[float]:
        return [v if m.linear > 0 else 0.0 for v, m in zip(values, self._modules, strict=True)]

    def _ask_for_list(self) -> None:
        """The lists are fields of the form; show the one that belongs to the cursor's side."""
        paths = {
            ("rank", "linear"): "network.block_dims", ("rank", "conv"): "network.conv_block_dims",
            ("alpha", "linear"): "network.block_alphas",
            ("alpha", "conv"): "network.conv_block_alphas",
        }  # fmt: skip
        side = self.editor.current[0]
        self.asked_for_field.emit(paths.get((self.layer, side), "network.down_lr_weight"))


class _Legend(QWidget):
    """What the two colors and the hatching mean."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._both = True
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def show_sides(self, both: bool) -> None:
        """Name the convolutions only where they have bars."""
        self._both = both
        self.updateGeometry()
        self.update()

    def _entries(self) -> list[tuple[str, str]]:
        entries = [("accent", self.tr("Linear and 1×1") if self._both else self.tr("weight"))]
        if self._both:
            entries.append(("conv", self.tr("3×3 conv")))
        return [*entries, ("hatch", self.tr("none here"))]

    def sizeHint(self) -> QSize:
        self.setFont(font(SMALL))
        width = sum(self.fontMetrics().horizontalAdvance(text) + 34 for _, text in self._entries())
        return QSize(width, self.fontMetrics().height() + 6)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.FontChange:
            self.updateGeometry()
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.width() < self.sizeHint().width():
            return  # a half legend says less than none
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self.font())
        x, middle = 12.0, self.height() / 2
        for kind, text in self._entries():
            width = self.fontMetrics().horizontalAdvance(text)
            if kind == "hatch":
                painter.setPen(QPen(QColor(tokens().field), 1))
                for offset in (-2, 2, 6):
                    painter.drawLine(int(x + offset - 4), int(middle + 5),
                                     int(x + offset + 4), int(middle - 5))  # fmt: skip
            else:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(getattr(tokens(), kind)))
                painter.drawEllipse(QRectF(x, middle - 4, 8, 8))
            painter.setPen(QColor(tokens().text2))
            painter.drawText(
                QRectF(x + 16, 0, width + 4, self.height()), Qt.AlignmentFlag.AlignVCenter, text
            )
            x += width + 34
