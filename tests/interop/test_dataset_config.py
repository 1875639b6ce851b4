"""sd-scripts' dataset configs (spec: data-loop 1.1)."""

from __future__ import annotations

from engine.interop.importing import import_text, import_tree
from engine.schema.check import check
from engine.schema.dataset import Dataset


def dataset_of(text: str) -> Dataset:
    return check(import_text(text, "data.toml").data).job.dataset


def test_what_stands_further_in_counts_more_and_false_overrides() -> None:
    dataset = dataset_of(
        """
        [general]
        shuffle_caption = true
        flip_aug = true
        keep_tokens = 2
        [[datasets]]
        resolution = [512, 768]
        keep_tokens = 1
          [[datasets.subsets]]
          image_dir = "/a"
          num_repeats = 10
          flip_aug = false
          [[datasets.subsets]]
          image_dir = "/b"
          is_reg = true
          shuffle_caption = false
          alpha_mask = true
        """
    )
    first, second = dataset.folders
    assert (first.shuffle_tags, first.flip, first.keep_tags, first.repeats) == (True, 0.0, 1, 10.0)
    assert (second.shuffle_tags, second.flip, second.role) == (False, 0.5, "regularization")
    assert second.mask == "alpha"
    assert dataset.resolution == ["512x768"]


def test_the_same_folder_at_several_sizes_becomes_one_with_a_list() -> None:
    sets = [{"resolution": size, "subsets": [{"image_dir": "/a", "num_repeats": 2}]}
            for size in (512, 768, 1024)]  # fmt: skip
    imported = import_tree({"datasets": sets})
    dataset = check(imported.data).job.dataset
    assert [f.path for f in dataset.folders] == ["/a"]
    assert dataset.resolution == ["512", "768", "1024"]
    assert "as there" in imported.of("changed")[0].why


def test_folders_of_different_sizes_are_told_to_be_trained_at_each() -> None:
    sets = [{"resolution": 512, "subsets": [{"image_dir": "/a"}]},
            {"resolution": 1024, "batch_size": 2, "subsets": [{"image_dir": "/b"}]}]  # fmt: skip
    imported = import_tree({"datasets": sets})
    assert [f["path"] for f in imported.data["dataset"]["folders"]] == ["/a", "/b"]
    assert any("every folder" in line.why for line in imported.of("changed"))


def test_keys_that_mean_nothing_are_told_with_their_place() -> None:
    imported = import_tree(
        {
            "general": {"made_up": 1},
            "datasets": [{"subsets": [{"image_dir": "/a", "face_crop_aug_range": [1, 2]}]}],
            "more": 3,
        }
    )
    keys = {line.key: line for line in imported.lines}
    assert not keys["general.made_up"].known
    assert keys["datasets[0].subsets[0].face_crop_aug_range"].outcome == "refused"
    assert keys["more"].outcome == "no counterpart"


def test_masks_in_a_folder_of_their_own() -> None:
    imported = import_tree(
        {"datasets": [{"subsets": [{"image_dir": "/a", "conditioning_data_dir": "/masks"}]}]}
    )
    folder = imported.data["dataset"]["folders"][0]
    assert (folder["mask"], folder["mask_folder"]) == ("folder", "/masks")
