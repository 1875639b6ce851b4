"""The first page of Inspect: facts, ranks drawn by block, and the layers in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.place_map import family_words
from app.theme import SMALL
from app.tools_places import Places, places_of
from app.widgets.blocks import BlockEditor
from app.widgets.card import Card
from app.widgets.label import ElidedLabel, Label
from app.widgets.place_map import PlaceMapView
from app.widgets.plain_table import PlainTable
from engine.schema.architectures import ARCHITECTURES

_LABEL_PX = 96


class ContentsPage(QScrollArea):
    """Shows what `inspect` told of a file's contents."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.places: Places | None = None
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget(self)
        self._facts = QGridLayout()
        self._facts.setHorizontalSpacing(12)
        self._facts.setVerticalSpacing(4)
        self._facts.setColumnMinimumWidth(0, _LABEL_PX)
        self._facts.setColumnStretch(1, 1)
        self.told: dict[str, str] = {}
        self.card = Card(inside)
        self.editor = BlockEditor(self.card)
        self.editor.set_read_only()
        self.editor.setMinimumHeight(230)
        self.editor.pointed.connect(self._on_block)
        self.map = PlaceMapView(self.card)
        self.map.pointed.connect(self._on_cell)
        self.readout = ElidedLabel("", "text2", SMALL, self.card)
        in_card = QVBoxLayout(self.card)
        in_card.setContentsMargins(16, 12, 16, 12)
        in_card.setSpacing(8)
        in_card.addLayout(self._card_head())
        in_card.addWidget(self.editor)
        in_card.addWidget(self.map)
        in_card.addWidget(self.readout)
        self.groups = PlainTable(
            [self.tr("Block"), self.tr("Layers"), self.tr("Rank"), self.tr("Alpha"),
             self.tr("Strength ‖ΔW‖")],
            self.tr("Layers by block"), inside, figures=(1, 2, 3, 4),
        )  # fmt: skip
        self.groups.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 8, 8, 0)
        column.setSpacing(14)
        column.addLayout(self._facts)
        column.addWidget(self.card)
        column.addWidget(self.groups)
        column.addStretch(1)
        self.setWidget(inside)

    def _card_head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(Label(self.tr("Ranks"), bold=True, parent=self.card))
        self._about = ElidedLabel("", "text3", SMALL, self.card)
        head.addWidget(self._about, 1)
        return head

    def show_found(self, found: Mapping[str, Any]) -> None:
        """Show a file."""
        self._show_facts(found)
        guess = found["guess"]
        self.places = places_of(guess["architecture"], found["layers"])
        self._show_places()
        self.groups.show_rows([
            (group["name"], f"{group['adapters']:,}", _range(group["ranks"]),
             _range(group["alphas"]), f"{group['strength']:.4f}")
            for group in found["groups"]
        ])  # fmt: skip
        self.groups.setFixedHeight(self.groups.whole_height())

    def _show_facts(self, found: Mapping[str, Any]) -> None:
        guess = found["guess"]
        known = ARCHITECTURES.get(guess["architecture"])
        matches = {
            True: self.tr("as the file states"),
            False: self.tr("NOT what the file states: it was changed or damaged"),
            None: self.tr("the file states none"),
        }
        layers = self.tr("%1 layers, %2 numbers").replace("%1", f"{found['adapters']:,}")
        facts = [
            (self.tr("For"), f"{known.label if known else self.tr('unknown')}: {guess['reason']}"),
            (self.tr("Holds"), layers.replace("%2", f"{found['parameters']:,}")),
            (self.tr("Written as"), f"{found['layout']} names, {', '.join(found['dtypes'])}"),
            (self.tr("Kind"), ", ".join(found["variants"])),
            (self.tr("Hash"), f"{matches[found['hash_matches']]}; {found['model_hash']}"),
        ]
        if found["without_alpha"]:
            words = self.tr("missing in %s layers, taken as the rank") % found["without_alpha"]
            facts.append((self.tr("Alpha"), words))
        unknown = found["unknown_keys"]
        if unknown:
            words = self.tr("%1 keys, such as %2").replace("%1", str(len(unknown)))
            facts.append((self.tr("Unknown"), words.replace("%2", unknown[0])))
        wrong = {self.tr("Unknown")}
        if found["hash_matches"] is False:
            wrong.add(self.tr("Hash"))
        self.told = {name: words for name, words in facts if words}
        while (item := self._facts.takeAt(0)) is not None:
            if (former := item.widget()) is not None:
                former.deleteLater()
        for row, (name, words) in enumerate(self.told.items()):
            # A hash has no place to break a line at; More → Copy hash gives the whole.
            kind = ElidedLabel if name == self.tr("Hash") else Label
            value = kind(words, "warn" if name in wrong else "text", parent=self)
            if kind is Label:
                value.setWordWrap(True)
                value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._facts.addWidget(
                Label(name, "text3", parent=self), row, 0, Qt.AlignmentFlag.AlignTop
            )
            self._facts.addWidget(value, row, 1)

    # --- the drawing ---------------------------------------------------------------------------

    def _show_places(self) -> None:
        places = self.places
        self.card.setVisible(places is not None and not places.is_empty)
        if places is None or places.is_empty:
            return
        self.editor.setVisible(places.map is None)
        self.map.setVisible(places.map is not None)
        if places.map is None:
            self.editor.show_layer(ARCHITECTURES[places.architecture].blocks, "rank", places.bars)
            self._about.setText(
                self.tr("Linear and 1×1 layers above, 3×3 below")
                if "conv" in places.bars else self.tr("the highest in each block")
            )  # fmt: skip
        else:
            strips = places.map.strips
            everything = [[True] * strip.count for strip in strips]
            self.map.show_map(places.map, everything, [False] * len(strips))
            self.map.setFixedHeight(self.map.sizeHint().height())
            self._about.setText(self.tr("families down, blocks across"))
        self._on_block(-1)

    def _on_block(self, index: int) -> None:
        if self.places is None or index < 0 or self.places.map is not None:
            self.readout.setText(self.tr("Point at a block to read it."))
            return
        block = ARCHITECTURES[self.places.architecture].blocks[index]
        words = [block.name, block.modules]
        for side, bars in self.places.bars.items():
            if bars.live[index]:
                name = self.tr("3×3 rank") if side == "conv" else self.tr("rank")
                words.append(f"{name} {bars.values[index]:g}")
        self.readout.setText("   ".join(words))

    def _on_cell(self, strip: int, family: str, block: int) -> None:
        if self.places is None or self.places.map is None or strip < 0:
            self._on_block(-1)
            return
        found = self.places.map.strips[strip]
        cell = self.places.map.cell(strip, family, block)
        words = [f"{found.label.removesuffix('s')} {block}",
                 family_words(family, self.places.architecture)]  # fmt: skip
        if cell is None or not cell.rank:
            words.append(self.tr("nothing in the file"))
        else:
            words.append(self.tr("rank %s") % cell.rank)
        self.readout.setText("   ".join(words))


def _range(values: Sequence[float]) -> str:
    """ "4", or "4–16"."""
    low, high = f"{min(values):g}", f"{max(values):g}"
    return low if low == high else f"{low}–{high}"
