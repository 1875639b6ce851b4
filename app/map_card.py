"""The card "What will be trained" for architectures of like blocks: the adapter map on a job."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.document import Document
from app.place_map import PlaceMap, chosen_blocks, family_words, map_of, rank_path, selection_text
from app.stand_ins import stand_in_words
from app.theme import SMALL
from app.widgets.button import Button
from app.widgets.card import Card
from app.widgets.label import ElidedLabel, Label
from app.widgets.place_map import PlaceMapView
from app.words import counted
from engine.plan.site import Placement, Site

_MARGINS_PX = 40


class MapCard(Card):
    """Shows where adapters sit and chooses blocks.

    Signals:
        asked_for_field(path): the person wants to see a field of the form.
    """

    asked_for_field = Signal(str)

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._map = PlaceMap()
        self.view = PlaceMapView(self)
        self._count = ElidedLabel("", "text3")
        self._block = Label("", bold=True)
        self._part = ElidedLabel("", "text2", SMALL)
        self._tools = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._tools.setSpacing(6)
        self._groups: list[QWidget] = []
        self.buttons: list[Button] = []
        self._tools_for: tuple[str, ...] = ()
        self._lay_out()
        self.view.columns_switched.connect(self._on_switched)
        self.view.stroke_finished.connect(document.end_merging)
        self.view.family_pressed.connect(self._on_family)
        self.view.pointed.connect(self._show_cell)
        self._show_cell(-1, "", -1)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(Label(self.tr("What will be trained"), bold=True))
        head.addWidget(self._count, 1)
        foot = QHBoxLayout()
        foot.setSpacing(10)
        foot.addWidget(self._block)
        foot.addWidget(self._part, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(8)
        column.addLayout(head)
        column.addLayout(self._tools)
        column.addWidget(self.view, 1)
        column.addLayout(foot)

    # --- the job -> the map --------------------------------------------------------------------

    def show_places(self, sites: tuple[Site, ...], placements: tuple[Placement, ...]) -> None:
        """Show where the adapters of the present job sit."""
        architecture = self._document.architecture
        self._map = map_of(architecture, sites, placements)
        chosen, choosable = [], []
        for strip in self._map.strips:
            path = strip.indices_path(architecture)
            choosable.append(bool(path))
            text = self._document.get(path) if path else "all"
            chosen.append(chosen_blocks(text, strip.count))
        self._chosen = chosen
        self.view.show_map(self._map, chosen, choosable)
        self._make_tools()
        here = [p for p in placements if p.site.component == "denoiser" and p.site.ranked]
        of = sum(s.component == "denoiser" and s.ranked for s in sites)
        words = self.tr("%1 of %2 modules of the picture model")
        words = words.replace("%1", f"{len(here):,}").replace("%2", f"{of:,}")
        if outside := sum(p.site.block is None for p in here):
            words += self.tr(", %s of them before or behind these blocks") % f"{outside:,}"
        self._count.setText(", ".join(filter(None, (words, stand_in_words(self._document)))))

    def _make_tools(self) -> None:
        """Buttons All, None and Invert for each strip that can be chosen from."""
        architecture = self._document.architecture
        heads = tuple(s.head for s in self._map.strips if s.indices_path(architecture))
        if heads == self._tools_for:
            return
        self._tools_for = heads
        self.buttons, self._groups = [], []
        while (item := self._tools.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for number, strip in enumerate(self._map.strips):
            if strip.head not in heads:
                continue
            title = strip.label[:1].upper() + strip.label[1:]
            group = QWidget(self)
            row = QHBoxLayout(group)
            row.setContentsMargins(0, 0, 10, 0)
            row.setSpacing(6)
            row.addWidget(Label(title, "text2", SMALL, group))
            for text, tool in (
                (self.tr("All"), _all), (self.tr("None"), _none), (self.tr("Invert"), _invert),
            ):  # fmt: skip
                button = Button(text, "secondary", parent=group, small=True)
                button.setAccessibleName(f"{title}: {text}")
                button.clicked.connect(lambda _=False, n=number, t=tool: self.use(n, t))
                row.addWidget(button)
                self.buttons.append(button)
            row.addStretch(1)
            self._tools.addWidget(group)
            self._groups.append(group)
        self._tools.addStretch(1)
        self._fit_tools()

    def _fit_tools(self) -> None:
        """The strips' tools beside each other, or below where there is no room."""
        wanted = sum(group.sizeHint().width() for group in self._groups) + _MARGINS_PX
        beside = self.width() >= wanted
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        self._tools.setDirection(direction)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Stack the tools in a narrow place."""
        super().resizeEvent(event)
        self._fit_tools()

    def minimumSizeHint(self) -> QSize:
        """As narrow as the map and the widest strip's tools allow."""
        widest = max((group.sizeHint().width() for group in self._groups), default=0)
        width = max(widest, self.view.minimumSizeHint().width()) + _MARGINS_PX
        return QSize(width, super().minimumSizeHint().height())

    def _show_cell(self, strip: int, family: str, block: int) -> None:
        self._block.setVisible(strip >= 0)
        if strip < 0:
            self._part.setText(
                self.tr("Click a column to leave a block out or take it in; drag over several.")
            )
            return
        found = self._map.strips[strip]
        cell = self._map.cell(strip, family, block)
        one = found.label.removesuffix("s")
        name = family_words(family, self._map.architecture)
        self._block.setText(f"{one} {block}, {name[:1].lower() + name[1:]}")
        if cell is None:
            self._part.setText(self.tr("has no such layers"))
        elif not cell.rank:
            self._part.setText(
                self.tr("%s, left out")
                % counted(cell.modules, self.tr("module"), self.tr("modules"))
            )
        else:
            words = self.tr("%1 modules, rank %2, %3 parameters").replace("%1", str(cell.modules))
            words = words.replace("%2", str(cell.rank)).replace("%3", f"{cell.parameters:,}")
            self._part.setText(words)

    # --- the map -> the job --------------------------------------------------------------------

    def _on_family(self, family: str) -> None:
        self.asked_for_field.emit(rank_path(family, self._document.architecture))

    def _on_switched(self, strip: int, blocks: list[int], on: bool) -> None:
        chosen = list(self._chosen[strip])
        for block in blocks:
            chosen[block] = on
        self._set(strip, chosen)

    def use(self, strip: int, tool: Callable[[list[bool]], list[bool]]) -> None:
        """Apply a tool to a strip, as one step of undo."""
        self._document.end_merging()
        self._set(strip, tool(self._chosen[strip]))
        self._document.end_merging()

    def _set(self, strip: int, chosen: list[bool]) -> None:
        found = self._map.strips[strip]
        path = found.indices_path(self._document.architecture)
        if path:
            self._chosen[strip] = chosen
            words = self.tr("choice of %s") % found.label
            self._document.set(path, selection_text(chosen), words)


def _all(chosen: list[bool]) -> list[bool]:
    return [True] * len(chosen)


def _none(chosen: list[bool]) -> list[bool]:
    return [False] * len(chosen)


def _invert(chosen: list[bool]) -> list[bool]:
    return [not on for on in chosen]
