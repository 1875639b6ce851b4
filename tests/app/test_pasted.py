"""Settings from pasted text, and fields copied as text."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QGuiApplication

from app.document import Document
from app.field_text import FieldText, PasteQuestion, apply_pasted
from app.pasted import read_settings
from app.window import MainWindow

COMMAND = r"""accelerate launch --num_cpu_threads_per_process 1 train_network.py \
  --pretrained_model_name_or_path="model v1.safetensors" --train_data_dir=/data/cats \
  --resolution=512,768 --network_module=networks.lora --network_dim=32 --network_alpha=16 \
  --network_args "conv_dim=8" "conv_alpha=4" --learning_rate=2e-4 --unet_lr=1e-4 \
  --max_train_steps 1600 --train_batch_size=2 --mixed_precision="bf16" --cache_latents \
  --shuffle_caption --keep_tokens=1 --network_train_unet_only --min_snr_gamma=5 \
  --made_up_option=3 --xformers
"""


@pytest.mark.parametrize(
    ("path", "value"),
    [("network.rank", 48), ("optimizer.learning_rate", 2e-4), ("network.train", "denoiser"),
     ("network.block_dims", [4] * 25), ("dataset.buckets", False), ("training.steps", 900)],
)  # fmt: skip
def test_check_13_a_field_copied_as_toml_pastes_back(
    window: MainWindow, path: str, value: object
) -> None:
    texts = FieldText(window)
    window.document.set(path, value)
    text = texts.toml_of(path)
    other = Document()
    apply_pasted(other, read_settings(text))
    assert other.get(path) == value
    again = Document()
    apply_pasted(again, read_settings(texts.set_of(path)))
    assert again.get(path) == value


def test_check_13_a_whole_sd_scripts_command_fills_the_form(window: MainWindow) -> None:
    document = window.document
    pasted = read_settings(COMMAND)
    apply_pasted(document, pasted)
    assert document.undo_stack.count() == 1
    job = document.job
    assert job.model.path == "model v1.safetensors"
    assert [f.path for f in job.dataset.folders] == ["/data/cats"]
    assert job.dataset.folders[0].shuffle_tags
    assert job.dataset.folders[0].keep_tags == 1
    assert job.dataset.resolution == ["512x768"]
    assert (job.network.rank, job.network.alpha, job.network.train) == (32, 16.0, "denoiser")
    assert (job.network.conv_dim, job.network.conv_alpha) == (8, 4.0)
    assert (job.optimizer.learning_rate, job.optimizer.denoiser_lr) == (2e-4, 1e-4)
    assert (job.training.steps, job.training.batch_size, job.training.precision) == (
        1600, 2, "bf16",
    )  # fmt: skip
    assert job.dataset.cache_latents == "memory"
    assert job.objective.min_snr_gamma == 5.0
    assert len(pasted.unknown) == 1
    assert "made_up_option" in pasted.unknown[0]


def test_a_misspelt_key_is_told_with_the_likely_one() -> None:
    pasted = read_settings("netwrok_dim = 8\nnetwork_alpha = 4")
    assert pasted.taken == (("network.alpha", 4),)
    assert "network_dim" in pasted.unknown[0]


def test_text_that_is_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="neither TOML nor a command line"):
        read_settings("once upon a time")


def test_copying_changes_gives_the_differing_fields_alone(window: MainWindow) -> None:
    window.document.set("network.rank", 48)
    FieldText(window).copy_changes()
    text = QGuiApplication.clipboard().text()
    assert "rank = 48" in text
    assert "alpha" not in text


FLUX = (
    "accelerate launch flux_train_network.py --pretrained_model_name_or_path flux1-dev.safetensors "
    "--network_module networks.lora_flux --network_dim 4 --network_alpha 4 "
    "--gradient_checkpointing --made_up_option 3 --optimizer_type adamw8bit"
)


def test_a_command_of_another_architecture_is_one_step_and_whole(
    window: MainWindow,
) -> None:
    document = window.document
    document.set_many([("network.alpha", 4.0), ("training.gradient_checkpointing", True)], "mine")
    former = document.snapshot()
    apply_pasted(document, read_settings(FLUX, "sd1"))
    assert document.architecture == "flux"
    assert document.get("network.alpha") == 4.0  # as it was, yet not as FLUX's default is
    assert document.get("training.gradient_checkpointing") is True
    document.undo_stack.undo()
    assert document.snapshot() == former
    document.undo_stack.redo()
    assert (document.architecture, document.get("network.rank")) == ("flux", 4)


def test_the_report_of_a_pasted_command_is_shown_before_it_counts(window: MainWindow) -> None:
    asked = PasteQuestion(window, FLUX)
    assert asked.tree is not None
    heads = [asked.tree.topLevelItem(i) for i in range(asked.tree.topLevelItemCount())]
    texts = [head.text(0) for head in heads if head is not None]
    assert texts[0].startswith("Without a counterpart")
    assert asked.list.isHidden()
    asked.editor.set_value("network.rank = 9")
    asked.refresh()
    assert asked.tree is None
    assert "network.rank" in asked.list.text()
    asked.reject()
