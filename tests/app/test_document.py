"""The job being edited: undo, presets, hidden fields, files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.document import Document, plain_preset
from app.preset_store import PresetStore
from app.session import Session
from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import check
from engine.schema.job_file import read_toml
from engine.schema.presets import from_job, read_preset


@pytest.fixture
def document(qtbot: QtBot) -> Document:
    return Document(PresetStore(Path("nowhere")).default("sd1"))


def test_check_10_a_thousand_edits_of_one_field_are_one_step_of_undo(document: Document) -> None:
    first = document.get("network.rank")
    for rank in range(20, 1020):
        document.set("network.rank", rank)
    assert document.undo_stack.count() == 1
    assert document.undo_stack.undoText() == f"rank 1018 → {1019}"
    document.undo_stack.undo()
    assert document.get("network.rank") == first
    assert not document.is_changed("network.rank")
    document.undo_stack.redo()
    assert document.get("network.rank") == 1019
    assert document.is_changed("network.rank")


def test_edits_of_two_fields_are_two_steps(document: Document) -> None:
    document.set("network.rank", 20)
    document.set("network.alpha", 3.0)
    document.set("network.rank", 21)
    assert document.undo_stack.count() == 3


def test_an_edit_taken_back_by_hand_leaves_no_step(document: Document) -> None:
    first = document.get("network.rank")
    document.set("network.rank", 99)
    document.set("network.rank", first)
    assert document.undo_stack.count() == 0


def test_leaving_a_field_ends_its_step(document: Document) -> None:
    document.set("network.rank", 20)
    document.end_merging()
    document.set("network.rank", 21)
    assert document.undo_stack.count() == 2


def test_check_11_a_preset_is_one_step_and_sets_all_values_at_once(document: Document) -> None:
    store = PresetStore(Path("nowhere"))
    style = store.named("sd1", "Style, 8 GB")
    assert style is not None
    document.set("model.path", "base.safetensors")
    before = document.written()
    document.load_preset(style)
    assert document.undo_stack.count() == 2
    assert document.get("network.rank") == 32
    assert document.get("network.conv_dim") == 8
    assert document.get("optimizer.warmup") == "5%"
    assert document.get("model.path") == "base.safetensors"  # a job's own field stays
    assert document.changed_paths() == []
    document.undo_stack.undo()
    assert document.written() == before
    assert document.preset.name == "First steps, 6 GB"


def test_check_12_a_hidden_value_is_kept_but_not_written(document: Document) -> None:
    document.set("network.conv_dim", 4)
    document.set("network.conv_alpha", 2.5)
    assert document.written()["network"]["conv_alpha"] == 2.5
    document.set("network.conv_dim", None)
    assert "conv_alpha" not in document.written()["network"]
    assert document.get("network.conv_alpha") == 2.5
    document.set("network.conv_dim", 8)
    assert document.written()["network"]["conv_alpha"] == 2.5


def test_the_architectures_defaults_come_with_it_and_own_values_stay(document: Document) -> None:
    document.set("network.rank", 24)
    document.set_architecture("sd2", PresetStore(Path("nowhere")).default("sd2"))
    assert document.get("dataset.resolution") == ["768"]
    assert document.get("samples.width") == 768
    assert document.get("network.rank") == 24
    document.undo_stack.undo()
    assert document.architecture == "sd1"
    assert document.get("dataset.resolution") == ["512"]


def test_sizes_chosen_for_one_architecture_do_not_follow_to_another(document: Document) -> None:
    document.set("dataset.resolution", ["128"])
    document.set("samples.steps", 12)
    document.set("training.batch_size", 3)
    document.set_architecture("flux", PresetStore(Path("nowhere")).default("flux"))
    assert document.get("dataset.resolution") == document.preset_value("dataset.resolution")
    assert document.get("samples.steps") == 20
    assert document.changed_paths() == ["training.batch_size"]


def test_the_files_of_a_model_stay_when_a_new_job_is_begun(document: Document) -> None:
    document.set_architecture("flux")
    document.set("model.path", "flux1-dev.safetensors")
    document.set("model.text_encoder_2", "t5xxl_fp16.safetensors")
    preset = PresetStore(Path("nowhere")).default("flux")
    assert preset is not None
    document.start_new(preset)
    assert document.get("model.path") == "flux1-dev.safetensors"
    assert document.get("model.text_encoder_2") == "t5xxl_fp16.safetensors"
    document.load_preset(preset)
    assert document.get("model.text_encoder_2") == "t5xxl_fp16.safetensors"
    assert from_job("mine", document.data).data["model"] == {
        "architecture": "flux", "weights": "int8", "text_encoder_weights": "int8",
    }  # fmt: skip


def test_items_are_added_moved_and_removed_with_undo(document: Document) -> None:
    for name in ("a", "b", "c"):
        document.insert_item("dataset.folders", 9, {"path": name})
    document.move_item("dataset.folders", 2, 0)
    document.remove_item("dataset.folders", 1)
    assert [f["path"] for f in document.get("dataset.folders")] == ["c", "b"]
    for _ in range(2):
        document.undo_stack.undo()
    assert [f["path"] for f in document.get("dataset.folders")] == ["a", "b", "c"]


def test_a_saved_job_reads_back_and_knows_when_it_differs(
    document: Document, tmp_path: Path
) -> None:
    document.set("network.rank", 24)
    document.set("network.conv_dim", 4)
    document.save(tmp_path / "cat.toml")
    assert not document.is_dirty
    document.set("network.rank", 25)
    assert document.is_dirty
    other = Document()
    other.replace(read_toml(tmp_path / "cat.toml"), "open")
    assert other.get("network.rank") == 24
    assert other.get("network.conv_dim") == 4
    document.undo_stack.undo()
    assert other.written() == document.written()


def test_the_session_keeps_hidden_values_preset_and_file(document: Document, home: Path) -> None:
    store = PresetStore(home / "presets")
    path = home / "session.toml"
    document.set("network.conv_alpha", 3.0)  # hidden: there is no conv rank
    document.save(home / "job.toml")
    document.set("network.rank", 20)
    Session(document, store, path).save()
    restored = Document()
    assert Session(restored, store, path).restore()
    assert restored.data == document.data
    assert restored.preset.name == document.preset.name
    assert restored.path == home / "job.toml"
    assert restored.is_dirty
    assert restored.undo_stack.count() == 0


def test_a_broken_session_is_passed_over(document: Document, home: Path) -> None:
    path = home / "session.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[network\nrank = ")
    before = document.written()
    assert not Session(document, PresetStore(home), path).restore()
    assert document.written() == before


def test_presets_are_saved_renamed_imported_and_never_over_built_in_ones(home: Path) -> None:
    store = PresetStore(home / "presets")
    built_in = store.default("sd1")
    assert built_in is not None
    assert built_in.built_in
    document = Document(built_in)
    document.set("network.rank", 48)
    document.set("model.path", "mine.safetensors")
    saved = store.save(from_job("Kleine Katze / 8 GB", document.written()))
    assert saved.path is not None
    assert read_preset(saved.path).data["network"]["rank"] == 48
    assert "path" not in read_preset(saved.path).data.get("model", {})
    renamed = store.rename(saved, "Cat")
    assert [p.name for p in store.all("sd1") if not p.built_in] == ["Cat"]
    assert renamed.path is not None
    again = store.import_file(renamed.path)
    assert again.name == "Cat 2"
    assert built_in.path is not None
    assert read_preset(built_in.path).name == built_in.name


@pytest.mark.parametrize("architecture", ["sd1", "sd2"])
def test_built_in_presets_lack_only_model_and_pictures(architecture: str, home: Path) -> None:
    store = PresetStore(home / "presets")
    presets = store.all(architecture)
    assert len(presets) == 4
    assert store.unreadable == []
    for preset in presets:
        document = Document(preset)
        wrong = {p.path for p in check(document.written()).errors}
        assert wrong == {"model.path", "dataset.folders"}, preset.name
        assert preset.description
        assert preset.memory


def test_a_part_of_the_model_stays_with_its_name() -> None:
    document = Document(plain_preset("flux"))
    document.set("model.text_encoder", "clip_l.safetensors")
    document.set("model.text_encoder_2", "t5xxl.safetensors")
    document.set("model.vae", "ae.safetensors")
    document.set_architecture("sd3")
    assert document.get("model.text_encoder") == "clip_l.safetensors"  # CLIP-L in both
    assert not document.get("model.text_encoder_2")  # OpenCLIP-G is no T5
    assert document.get("model.text_encoder_3") == "t5xxl.safetensors"  # it is SD3's third
    document.set_architecture("sd1")
    assert not document.get("model.vae")  # four channels, not sixteen
    document.set_architecture("anima")
    assert not document.get("model.text_encoder")  # Qwen3 is no CLIP-L
    document.set_architecture("flux")
    assert document.get("model.text_encoder") == "clip_l.safetensors"
    assert document.get("model.text_encoder_2") == "t5xxl.safetensors"
    assert document.get("model.vae") == "ae.safetensors"


def test_a_vae_goes_along_only_where_it_is_the_same_vae() -> None:
    same = {("sd1", "sd2"), ("flux", "lumina2")}
    for former in ARCHITECTURES:
        for other in ARCHITECTURES:
            document = Document(plain_preset(former))
            document.set("model.path", "model.safetensors")
            document.set("model.vae", "vae.safetensors")
            aside = document.set_architecture(other)
            kept = former == other or (former, other) in same or (other, former) in same
            assert (document.get("model.vae") == "vae.safetensors") is kept, (former, other)
            assert aside == ([] if kept else ["vae.safetensors"])
            document.set_architecture(former)
            assert document.get("model.vae") == "vae.safetensors"


def test_a_picture_model_and_a_tokenizer_stay_with_their_architecture() -> None:
    document = Document(plain_preset("lumina2"))
    document.set("model.denoiser", "lumina.safetensors")
    document.set("model.tokenizer", "gemma")
    assert document.set_architecture("anima") == ["lumina.safetensors", "gemma"]
    assert not document.get("model.denoiser")
    assert not document.get("model.tokenizer")
