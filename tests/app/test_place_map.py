"""The adapter map: what it shows of a site table, and what clicks write into the job."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.document import Document
from app.map_card import MapCard
from app.place_map import chosen_blocks, family_words, map_of, selection_text
from app.plan_model import PlanModel
from app.theme import switch
from app.widgets.place_map import PlaceMapView
from app.window import MainWindow
from engine.plan.sites import sites_of
from engine.plan.summary import placements_of
from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job

DOUBLE = "network.train_double_block_indices"
LIKE_BLOCKS = [a.id for a in ARCHITECTURES.values() if not a.blocks]
STRIPS = {
    "flux": [("double_blocks", 19, 6), ("single_blocks", 38, 2)],
    "hunyuan_image": [("double_blocks", 20, 6), ("single_blocks", 40, 2)],
    "sd3": [("joint_blocks", 24, 6)],
    "lumina2": [("layers", 26, 3)],
    "anima": [("blocks", 28, 4)],
}


@pytest.mark.parametrize("architecture", LIKE_BLOCKS)
def test_strips_and_families_come_from_the_site_table(architecture: str) -> None:
    sites = sites_of(architecture)
    job = Job.model_validate({"model": {"architecture": architecture}})
    found = map_of(architecture, sites, placements_of(job, sites, architecture))
    shown = [(s.head, s.count, len(s.families)) for s in found.strips]
    assert shown == STRIPS[architecture]
    inside = [s for s in sites if s.component == "denoiser" and s.block is not None and s.ranked]
    assert sum(cell.modules for cell in found.cells.values()) == len(inside)
    assert all(strip.indices_path(architecture) for strip in found.strips)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("all", {0, 1, 2, 3, 4, 5}), ("none", set()), ("0-3,5", {0, 1, 2, 3, 5}), ("4", {4})],
)
def test_a_selection_is_read_and_written_alike(text: str, chosen: set[int]) -> None:
    flags = chosen_blocks(text, 6)
    assert {i for i, on in enumerate(flags) if on} == chosen
    assert selection_text(flags) == text


def test_a_selection_that_cannot_be_read_leaves_all_on() -> None:
    assert chosen_blocks("3-x", 4) == [True] * 4


def test_families_are_called_as_their_fields() -> None:
    assert family_words("img_attn", "flux") == "Picture attention"
    assert family_words("x_mlp", "sd3") == "Picture MLP"
    assert family_words("cross_attn", "anima") == "Cross attention"


@pytest.fixture
def card(qtbot: QtBot) -> MapCard:
    document = Document()
    document.set_architecture("flux")
    plans = PlanModel(document, document)
    made = MapCard(document)
    document.setParent(made)
    qtbot.addWidget(made)
    document.changed.connect(lambda _: made.show_places(*plans.placements()))
    made.show_places(*plans.placements())
    made.resize(760, 360)
    made.show()
    return made


def press(card: MapCard, strip: int, first: int, last: int) -> None:
    """Drag from one block's column to another's."""
    view = card.view
    points = [view.cell_rect((strip, 1, block)).center().toPoint() for block in (first, last)]
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=points[0])
    if first != last:
        QTest.mouseMove(view, points[1])
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=points[1])


def test_a_drag_leaves_blocks_out_and_is_one_step_of_undo(card: MapCard) -> None:
    document = card._document
    before = document.undo_stack.index()
    press(card, 0, 4, 9)
    assert document.get(DOUBLE) == "0-3,10-18"
    assert document.undo_stack.index() == before + 1
    assert not any(card._map.is_on(0, block) for block in range(4, 10))
    assert card._map.is_on(0, 3)
    assert card._map.is_on(0, 10)
    press(card, 0, 6, 6)
    assert document.get(DOUBLE) == "0-3,6,10-18"
    document.undo_stack.undo()
    document.undo_stack.undo()
    assert document.get(DOUBLE) == "all"
    assert all(card._map.is_on(0, block) for block in range(19))


def test_all_none_and_invert(card: MapCard) -> None:
    document = card._document
    named = {button.accessibleName(): button for button in card.buttons}
    named["Single blocks: None"].click()
    assert document.get("network.train_single_block_indices") == "none"
    assert document.get(DOUBLE) == "all"
    document.set(DOUBLE, "0-3")
    named["Double blocks: Invert"].click()
    assert document.get(DOUBLE) == "4-18"
    named["Double blocks: All"].click()
    assert document.get(DOUBLE) == "all"


def test_the_keyboard_chooses_too_and_is_told_in_words(card: MapCard, qtbot: QtBot) -> None:
    view = card.view
    view.setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Space):
        QTest.keyClick(view, key)
    assert card._document.get(DOUBLE) == "0,2-18"
    assert view.accessibleDescription().startswith("double blocks 1, ")
    assert "rank 0" in view.accessibleDescription()
    assert card._part.text().endswith("left out")


def test_a_family_of_its_own_rank_is_shown_and_leads_to_its_field(
    card: MapCard, qtbot: QtBot
) -> None:
    card._document.set("network.img_mlp_dim", 4)
    found = card._map
    assert found.rank_words(0, "img_mlp") == "4"
    assert found.rank_words(0, "img_attn") == "16"
    row = found.strips[0].families.index("img_mlp")
    top = card.view.cell_rect((0, row, 0)).center().y()
    with qtbot.waitSignal(card.asked_for_field) as asked:
        QTest.mouseClick(card.view, Qt.MouseButton.LeftButton, pos=QPointF(20, top).toPoint())
    assert asked.args == ["network.img_mlp_dim"]


def test_the_names_have_their_room_at_another_text_size(qtbot: QtBot, window: MainWindow) -> None:
    view = PlaceMapView(window)

    def show(architecture: str) -> int:
        sites = sites_of(architecture)
        job = Job.model_validate({"model": {"architecture": architecture}})
        found = map_of(architecture, sites, placements_of(job, sites, architecture))
        all_on = [[True] * strip.count for strip in found.strips]
        view.show_map(found, all_on, [True] * len(all_on))
        return view._left()

    usual = show("lumina2")
    switch().apply(text_percent=80)
    assert view._left() < usual
    switch().apply(text_percent=100)
    assert view._left() == usual
    assert show("flux") > usual  # which has longer names
