"""Thumbnails: off the window's thread, upright, kept on disk."""

from __future__ import annotations

import pytest
from PIL import Image

from app.thumbnails import SIDE_PX, Thumbnails, picture


@pytest.fixture
def thumbnails(qtbot, tmp_path):
    made = Thumbnails(tmp_path / "cache")
    yield made
    made.stop()


def test_a_thumbnail_comes_by_signal_and_stays(qtbot, tmp_path, thumbnails):
    path = tmp_path / "wide.png"
    Image.new("RGB", (1024, 512), "red").save(path)
    assert thumbnails.get(str(path)) is None
    qtbot.waitSignal(thumbnails.ready).wait()
    pixmap = thumbnails.get(str(path))
    assert pixmap is not None
    assert (pixmap.width(), pixmap.height()) == (SIDE_PX, SIDE_PX // 2)
    assert len(list((tmp_path / "cache").rglob("*.webp"))) == 1


def test_text_named_png_is_no_picture(qtbot, tmp_path, thumbnails):
    path = tmp_path / "not.png"
    path.write_text("hello")
    with qtbot.waitSignal(thumbnails.failed) as caught:
        thumbnails.get(str(path))
    assert caught.args[0] == str(path)
    assert "not a picture" in thumbnails.problem(str(path))
    assert thumbnails.get(str(path)) is None


def test_a_turned_picture_is_shown_upright(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200), "blue").save(path, exif=exif)
    image = picture(str(path), 100)
    assert image is not None
    assert (image.width(), image.height()) == (50, 100)


def test_a_kept_thumbnail_is_used_again(qtbot, tmp_path, thumbnails):
    path = tmp_path / "a.png"
    Image.new("RGB", (300, 300), "green").save(path)
    with qtbot.waitSignal(thumbnails.ready):
        thumbnails.get(str(path))
    (kept,) = (tmp_path / "cache").rglob("*.webp")
    Image.new("RGB", (7, 7), "red").save(kept)
    again = Thumbnails(tmp_path / "cache")
    with qtbot.waitSignal(again.ready):
        again.get(str(path))
    pixmap = again.get(str(path))
    assert pixmap is not None
    assert pixmap.width() == 7
    again.stop()


def test_an_edited_picture_gets_a_new_one(qtbot, tmp_path, thumbnails):
    path = tmp_path / "a.png"
    Image.new("RGB", (300, 300), "green").save(path)
    with qtbot.waitSignal(thumbnails.ready):
        thumbnails.get(str(path))
    Image.new("RGB", (300, 100), "red").save(path)
    thumbnails.forget(str(path))
    with qtbot.waitSignal(thumbnails.ready):
        thumbnails.get(str(path))
    pixmap = thumbnails.get(str(path))
    assert pixmap is not None
    assert pixmap.height() < 100


def test_a_file_that_vanished_says_so(qtbot, thumbnails, tmp_path):
    with qtbot.waitSignal(thumbnails.failed):
        thumbnails.get(str(tmp_path / "gone.png"))
    assert "cannot be read" in thumbnails.problem(str(tmp_path / "gone.png"))
