"""Pictures, captions, masks and bad input as they lie in folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from engine.plan.folders import FolderProblem, pictures_of, problems_in, propose_folders
from engine.schema.dataset import Dataset
from tests.tiny import make_pictures


def _dataset(*folders: Mapping[str, object]) -> Dataset:
    return Dataset.model_validate({"folders": [dict(folder) for folder in folders]})


def test_pictures_and_captions(tmp_path: Path) -> None:
    make_pictures(tmp_path / "cats", 2, ((96, 64),))
    shutil.copy(tmp_path / "cats" / "picture00.png", tmp_path / "cats" / "Z.PNG")
    found = pictures_of(_dataset({"path": str(tmp_path / "cats"), "fallback_caption": "cat"}))
    assert [p.relative_path for p in found] == [
        "cats/Z.PNG", "cats/picture00.png", "cats/picture01.png",
    ]  # fmt: skip
    assert [p.caption for p in found] == [
        "cat",
        "disc 0, plain, round, flat",
        "disc 1, plain, round, flat",
    ]
    assert {p.size for p in found} == {(96, 64)}
    assert found[0].twin == found[1].twin != ""
    assert found[2].twin == ""


def test_captions_in_other_encodings(tmp_path: Path) -> None:
    """Windows-1252 is read with a warning that names file and byte; marks are understood."""
    make_pictures(tmp_path, 4, captions=False)
    (tmp_path / "picture00.txt").write_bytes("ein schöner Tag".encode("cp1252"))
    (tmp_path / "picture01.txt").write_bytes("ein schöner Tag".encode("utf-8-sig"))
    (tmp_path / "picture02.txt").write_bytes("ein schöner Tag".encode("utf-16"))
    (tmp_path / "picture03.txt").write_bytes(b"")
    found = pictures_of(_dataset({"path": str(tmp_path)}))
    assert [p.caption for p in found] == ["ein schöner Tag"] * 3 + [""]
    assert "picture00.txt: byte 7 (0xf6) is not UTF-8" in found[0].warnings[0]
    assert found[1].warnings == found[2].warnings == ()
    assert found[3].warnings == ("picture03.txt is empty",)


def test_bad_pictures_are_left_out_by_name(tmp_path: Path) -> None:
    paths = make_pictures(tmp_path / "a", 3)
    paths[0].write_text("a text")
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    found = pictures_of(_dataset({"path": str(tmp_path / "a")}))
    assert problems_in(found) == [
        "a/picture00.png: it is not a picture but text",
        "a/picture01.png: the file is cut off; copy it again",
    ]
    assert found[2].usable


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    make_pictures(tmp_path / "10_cat", 1)
    (tmp_path / "file").write_text("x")
    for path, words in (
        (tmp_path / "absent", "no such folder"),
        (tmp_path / "file", "this is a file"),
        (tmp_path, "There are some in 10_cat"),
    ):
        with pytest.raises(FolderProblem, match=words) as caught:
            pictures_of(_dataset({"path": str(tmp_path / "10_cat")}, {"path": str(path)}))
        assert caught.value.field == "dataset.folders[1].path"
    whole = pictures_of(_dataset({"path": str(tmp_path), "recursive": True}))
    assert [p.path.parent.name for p in whole] == ["10_cat"]


def test_dropped_folders_are_understood(tmp_path: Path) -> None:
    """Data-loop 1.2: `10_mycat` is ten repeats of "mycat"."""
    make_pictures(tmp_path / "10_my_cat", 2)
    make_pictures(tmp_path / "plain", 1)
    (tmp_path / "empty").mkdir()
    found = [
        (p.path.name, p.repeats, p.fallback_caption, p.pictures) for p in propose_folders(tmp_path)
    ]
    assert found == [("10_my_cat", 10.0, "my cat", 2), ("plain", 1.0, "", 1)]


def test_folders_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    make_pictures(tmp_path / "a" / "img", 1)
    make_pictures(tmp_path / "b" / "img", 1)
    found = pictures_of(
        _dataset({"path": str(tmp_path / "a" / "img")}, {"path": str(tmp_path / "b" / "img")},
                 {"path": "/absent", "enabled": False})
    )  # fmt: skip
    assert [p.relative_path for p in found] == ["img/picture00.png", "img#2/picture00.png"]


def test_masks_are_found_and_missed(tmp_path: Path) -> None:
    make_pictures(tmp_path / "a", 2)
    Image.new("L", (8, 8)).save(tmp_path / "a" / "picture00-masklabel.png")
    (tmp_path / "m").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "m" / "picture01.jpg")
    beside = pictures_of(_dataset({"path": str(tmp_path / "a"), "mask": "file"}))
    assert len(beside) == 2
    assert beside[0].mask == tmp_path / "a" / "picture00-masklabel.png"
    assert beside[1].warnings == ("picture01.png has no mask; all of it is learned",)
    (tmp_path / "a" / "picture00-masklabel.png").unlink()
    apart = pictures_of(
        _dataset(
            {"path": str(tmp_path / "a"), "mask": "folder", "mask_folder": str(tmp_path / "m")}
        )
    )
    assert [p.mask for p in apart] == [None, tmp_path / "m" / "picture01.jpg"]


def test_caption_lists(tmp_path: Path) -> None:
    """Data-loop 1.6: JSON and JSONL, tags behind the caption; sizes in them are not trusted."""
    make_pictures(tmp_path / "a", 2)
    listed = {
        "picture00": {"caption": "a disc", "tags": "round, flat", "image_size": [9, 9]},
        str(tmp_path / "a" / "picture01.png"): {"tags": "x"},
    }
    (tmp_path / "list.json").write_text(json.dumps(listed))
    spec = {"path": str(tmp_path / "a"), "metadata_file": str(tmp_path / "list.json")}
    found = pictures_of(_dataset(spec))
    assert [p.caption for p in found] == ["a disc, round, flat", "x"]
    assert found[0].size == (96, 96)
    (tmp_path / "list.jsonl").write_text('{"image_path": "picture01.png", "caption": "two"}\n')
    spec["metadata_file"] = str(tmp_path / "list.jsonl")
    found = pictures_of(_dataset(spec))
    assert [p.caption for p in found] == ["", "two"]
    assert found[0].warnings == ("picture00.png is not in the caption list",)
    (tmp_path / "list.jsonl").write_text('{"image_path": "a"}\nnot json\n')
    with pytest.raises(FolderProblem, match=r"list\.jsonl, line 2: it is not valid JSON"):
        pictures_of(_dataset(spec))
