"""The Dataset tab on real folders (gui 7.24, 7.26), the block card, and the first page."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtTest import QTest

from app.block_card import BlockCard
from app.dataset_page import DatasetPage, buckets_of
from app.document import Document
from app.engine_setup import EngineSetup, SetupStatus
from app.first_run_page import FirstRunPage
from app.theme import TICK, font
from app.widgets.bucket_bars import Bucket
from engine.plan.folders import pictures_of


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAFT_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    made.mkdir()
    for i in range(6):
        Image.new("RGB", (512 if i % 2 else 768, 512)).save(made / f"{i}.png")
        (made / f"{i}.txt").write_text(f"cat, number {i}")
    (made / "broken.png").write_text("this is text")
    return made


@pytest.fixture
def page(qtbot, folder):
    document = Document()
    document.insert_item("dataset.folders", 0, {"path": str(folder)})
    made = DatasetPage(document)
    qtbot.addWidget(made)
    made.resize(860, 700)
    made.show()
    made.show_pictures(pictures_of(document.job.dataset))
    yield made
    made.close_down()


def test_pictures_are_shown_with_what_is_wrong(page):
    assert page.model.rowCount() == 7
    broken = next(p for p in page.model.pictures if p.name == "broken.png")
    assert "not a picture but text" in broken.problem
    assert "1 left out" in page._count.text()


def test_nothing_lies_over_anything_in_a_low_window(page):
    page.grid.setCurrentIndex(page.model.index(0))
    panel = page.captions
    for height, has_picture, has_foot in (
        (700, True, True), (416, True, False), (300, False, False)
    ):  # fmt: skip
        page.resize(600, height)
        QTest.qWait(1)
        assert panel._view.isVisible() == has_picture, height
        assert page._foot.isVisible() == has_foot, height
        parts = [p for p in (panel._view, panel._name, panel._facts, panel._text, panel._note)
                 if p.isVisible()]  # fmt: skip
        for upper, lower in pairwise(parts):
            assert upper.geometry().bottom() < lower.geometry().top(), (height, lower)
        assert panel.rect().contains(panel._note.geometry())


def test_a_press_anywhere_on_a_picture_chooses_it(page):
    grid = page.grid
    place = grid.visualRect(page.model.index(1))
    for share in (0.1, 0.5, 0.9):
        grid.clearSelection()
        at = QPoint(place.center().x(), int(place.top() + share * grid.gridSize().height()))
        QTest.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=at)
        assert [p.name for p in grid.selected()] == [page.model.shown[1].name], share


def test_a_lone_bucket_says_its_size(qtbot, page):
    bars = page._bars
    bars.show_buckets([Bucket(1024, 1024, 12)])
    column = bars._column(0)
    assert QFontMetrics(font(TICK)).horizontalAdvance("1024×1024") <= column.width()


def test_buckets_are_those_of_the_plan(page):
    document = page._document
    found = pictures_of(document.job.dataset)
    buckets = {(b.width, b.height): b.pictures for b in buckets_of(found, document.job)}
    assert buckets == {(512, 512): 3, (640, 384): 3}
    losses = {b.width: b.crop_loss for b in buckets_of(found, document.job)}
    assert losses == {512: 0.0, 640: pytest.approx(1 - 384 / 427)}


def test_choosing_a_picture_opens_its_caption(page, qtbot):
    page.grid.setCurrentIndex(page.model.index(1))
    assert page.captions._text.toPlainText() == "cat, number 1"
    page._step(1)
    assert page.grid.currentIndex().row() == 2


def test_a_tag_filters_and_a_second_click_shows_all(page):
    items = [page._tags.item(i) for i in range(page._tags.count())]
    assert items[0].text() == "cat  6"
    tag = next(i for i in items if i.text().startswith("number 3"))
    page._on_tag_clicked(tag)
    assert [p.name for p in page.model.shown] == ["3.png"]
    tag = next(i for i in map(page._tags.item, range(page._tags.count())) if "number 3" in i.text())
    page._on_tag_clicked(tag)
    assert page.model.rowCount() == 7


def test_an_outside_change_shows_twice_in_a_row(page, folder, qtbot):
    picture = next(p for p in page.model.pictures if p.name == "0.png")
    for text in ("first", "second"):
        other = folder / "other.tmp"
        other.write_text(text)
        os.replace(other, folder / "0.txt")
        qtbot.waitUntil(lambda t=text: page.model.caption(picture).text == t, timeout=5000)


def test_caption_edits_share_the_windows_undo(page, folder):
    picture = next(p for p in page.model.pictures if p.name == "0.png")
    page.model.set_caption(picture, "new words")
    page._document.undo_stack.undo()
    assert (folder / "0.txt").read_text() == "cat, number 0"


def test_no_pictures_says_what_to_do(page):
    page.show_pictures([], "pictures: there is no such folder.")
    assert page._stack.currentIndex() == 1
    assert "no such folder" in page._empty_words.text()


def test_two_thousand_pictures_are_usable_at_once(qtbot, tmp_path):
    """gui 7.24, without a wall time: the grid shows rows before any thumbnail is made."""
    many = tmp_path / "many"
    many.mkdir()
    Image.new("RGB", (64, 64)).save(many / "0000.png")
    for i in range(1, 2000):
        os.link(many / "0000.png", many / f"{i:04}.png")
    for i in range(5):
        (many / f"{i:04}.png").unlink()
        (many / f"{i:04}.png").write_text("no")
    document = Document()
    document.insert_item("dataset.folders", 0, {"path": str(many)})
    page = DatasetPage(document)
    qtbot.addWidget(page)
    page.resize(860, 700)
    page.show()
    page.show_pictures(pictures_of(document.job.dataset))
    assert page.model.rowCount() == 2000
    assert sum(bool(p.problem) for p in page.model.pictures) == 5
    QTest.qWait(50)
    assert page.thumbnails.asked + len(page.thumbnails._pixmaps) < 200  # the visible ones
    page.close_down()


def test_the_block_card_paints_into_the_job_as_one_step(qtbot):
    document = Document()
    card = BlockCard(document)
    qtbot.addWidget(card)
    card.use(lambda values, live: [8.0 if on else 0.0 for on in live])
    assert document.get("network.block_dims")[4] == 8
    assert document.get("network.block_dims")[0] == 0
    assert document.undo_stack.count() == 1
    document.undo_stack.undo()
    assert document.get("network.block_dims") is None
    assert "192 of 278" in card._count.text()


def test_the_block_card_follows_the_form(qtbot):
    document = Document()
    card = BlockCard(document)
    qtbot.addWidget(card)
    document.set("network.conv_dim", 4)
    assert "278 of 278" in card._count.text()
    assert card.editor.values("conv")[1] == 4.0
    card.layers._choose(2)
    document.set("network.down_lr_weight", "zeros")
    assert card.editor.values("linear")[:12] == [0.0] * 12
    card.clear()
    assert document.get("network.down_lr_weight") is None


def test_the_first_page_says_where_the_engine_stands(qtbot):
    setup = EngineSetup()
    page = FirstRunPage(setup)
    qtbot.addWidget(page)
    setup.status = SetupStatus("missing")
    setup.changed.emit()
    assert "not installed yet" in page._engine._label.text()
    with qtbot.waitSignal(page.setup_asked):
        page._engine.button.click()
    with qtbot.waitSignal(page.demo_asked):
        page._demo.button.click()
    with qtbot.waitSignal(page.folder_asked):
        page._folder.button.click()


def test_buckets_follow_the_resolution(page):
    assert {(b.width, b.height) for b in page._bars._buckets} == {(512, 512), (640, 384)}
    page._document.set("dataset.resolution", ["256"])
    assert {(b.width, b.height) for b in page._bars._buckets} == {(256, 256)}
    page._document.undo_stack.undo()
    assert {(b.width, b.height) for b in page._bars._buckets} == {(512, 512), (640, 384)}
