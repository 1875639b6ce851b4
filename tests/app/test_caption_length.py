"""The note below a caption: how many tokens it has, of how many that are read."""

from __future__ import annotations

import pytest
from PIL import Image
from pytestqt.qtbot import QtBot

from app.caption_length import length_words
from app.dataset_page import DatasetPage
from app.document import Document, plain_preset
from app.training_room import DEMO_JOB
from engine.plan.folders import pictures_of


def test_clip_is_counted_exactly_and_what_is_cut_is_told(qtbot: QtBot) -> None:
    document = Document(plain_preset("sdxl"))
    assert length_words(document, "a photo of a cat") == ("5 of 75 tokens", False)
    assert length_words(document, "cat " * 75) == ("75 of 75 tokens", False)
    cut = "76 of 75 tokens; the end is cut off, see Caption length"
    assert length_words(document, "cat " * 76) == (cut, True)
    document.set("model.max_tokens", 150)
    assert length_words(document, "cat " * 76) == ("76 of 150 tokens", False)
    document.set("dataset.weighted_captions", True)
    assert length_words(document, "(cat:1.2)") == ("at most 7 of 150 tokens", False)


def test_a_model_with_a_vocabulary_of_its_own_counts_with_it(qtbot: QtBot) -> None:
    document = Document()
    usual = length_words(document, "zibble")
    document.set("model.path", str(DEMO_JOB.parent / "model"))
    assert usual == ("2 of 75 tokens", False)
    assert length_words(document, "zibble") != usual


@pytest.mark.parametrize("architecture", ["flux", "sd3", "lumina2", "anima", "hunyuan_image"])
def test_where_a_language_model_reads_it_stays_a_guess(qtbot: QtBot, architecture: str) -> None:
    words, is_cut = length_words(Document(plain_preset(architecture)), "a photo of a cat")
    assert words == "about 5 tokens"
    assert not is_cut


def test_the_note_follows_the_job(qtbot: QtBot, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GRAFT_HOME", str(tmp_path / "home"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (512, 512)).save(folder / "a.png")
    (folder / "a.txt").write_text("cat " * 80)
    document = Document()
    document.insert_item("dataset.folders", 0, {"path": str(folder)})
    page = DatasetPage(document)
    qtbot.addWidget(page)
    page.show()
    page.show_pictures(pictures_of(document.job.dataset))
    page.grid.setCurrentIndex(page.model.index(0))
    note = page.captions._note
    assert note.text().startswith("Saved: 80 of 75 tokens; the end is cut off")
    document.set("model.max_tokens", 150)
    assert note.text() == "Saved: 80 of 150 tokens."
    document.set_architecture("flux")
    assert note.text() == "Saved: about 80 tokens."
    page.close_down()
