"""The tools' dialogs over a fake engine: what they ask, start, show, cancel and never overwrite."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app import tools_process
from app.dialogs import Question
from app.process import EngineCommand
from app.theme import switch
from app.tools_convert import ConvertPanel
from app.tools_dialog import ToolDialog
from app.tools_extract import ExtractPanel
from app.tools_facts import look_at_adapter
from app.tools_menu import PANELS
from app.tools_merge import MergePanel
from app.tools_panel import Panel
from app.tools_resize import ResizePanel
from tests.app.tool_files import fake, write_adapter


def opened(qtbot: QtBot, panel: Panel, mode: str = "done", *files: Path) -> ToolDialog:
    dialog = ToolDialog(panel, fake(mode))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.show()
    if files:
        panel.take(files)
        qtbot.waitUntil(lambda: not panel.missing(), timeout=5000)
    return dialog


def run(qtbot: QtBot, dialog: ToolDialog) -> None:
    dialog.run_button.click()
    qtbot.waitUntil(lambda: not dialog.is_working, timeout=10_000)


def answer(dialog: QWidget, index: int = 0) -> str:
    """Press a button of the question that is open; returns its title."""
    question = dialog.findChildren(Question)[-1]
    title = question.windowTitle()
    question.buttons[index].click()
    return title


# --- before it starts ------------------------------------------------------------------------


def test_a_header_tells_layers_ranks_and_precision(tmp_path: Path) -> None:
    metadata = {"ss_base_model_version": "sdxl_base_v1-0", "ss_network_module": "networks.dylora",
                "ss_network_args": '{"unit": "4"}'}  # fmt: skip
    facts = look_at_adapter(write_adapter(tmp_path / "a.safetensors", (4, 16), metadata))
    assert (facts.layers, facts.ranks, facts.precision, facts.unit) == (2, (4, 16), "fp16", 4)
    assert facts.words.startswith("SDXL · 2 layers · ranks 4 to 16 · DyLoRA in units of 4 · fp16")
    (tmp_path / "page.safetensors").write_bytes(b"<html>")
    assert "web page" in look_at_adapter(tmp_path / "page.safetensors").problem
    assert "no LoRA layers" in look_at_adapter(write_adapter(tmp_path / "n.safetensors", ())).words


def test_convert_names_the_result_until_the_person_does(qtbot: QtBot, tmp_path: Path) -> None:
    panel = ConvertPanel()
    dialog = opened(qtbot, panel)
    assert not dialog.run_button.isEnabled()
    file = write_adapter(tmp_path / "cat.safetensors")
    panel.take([file])
    qtbot.waitUntil(dialog.run_button.isEnabled, timeout=5000)
    assert "2 layers" in panel.rows.hint(panel.file)
    panel.layout_choice._choose(2)
    panel.precision._choose(2)
    assert panel.arguments() == [str(file), "--to", "diffusers", "--precision", "fp16"]
    assert dialog.target.path() == tmp_path / "cat-diffusers-fp16.safetensors"
    dialog.target.line.setText(str(tmp_path / "mine"))
    dialog.target.line.textEdited.emit(str(tmp_path / "mine"))
    panel.layout_choice._choose(1)
    assert dialog.target.path() == tmp_path / "mine.safetensors"


def test_a_file_that_is_none_is_told_under_its_field(qtbot: QtBot, tmp_path: Path) -> None:
    panel = ConvertPanel()
    dialog = opened(qtbot, panel)
    panel.take([tmp_path / "missing.safetensors"])
    qtbot.waitUntil(lambda: bool(panel.rows.hint(panel.file)), timeout=5000)
    assert "no such file" in panel.rows.hint(panel.file)
    assert panel.file.state == "error"
    assert not dialog.run_button.isEnabled()


def test_resize_takes_a_rank_a_share_or_both(qtbot: QtBot, tmp_path: Path) -> None:
    panel = ResizePanel()
    file = write_adapter(tmp_path / "cat.safetensors", (16, 16))
    dialog = opened(qtbot, panel, "done", file)
    assert panel.arguments() == [str(file), "--rank", "8"]
    panel.by._choose(2)
    panel.share.edited.emit(panel.share.set_value(97.5))
    assert panel.arguments() == [str(file), "--rank", "8", "--dynamic", "0.975"]
    assert dialog.target.path() == tmp_path / "cat-r8-97.5pct.safetensors"
    panel.by._choose(1)
    assert panel.arguments() == [str(file), "--dynamic", "0.975"]
    panel.share.edited.emit(panel.share.set_value(0))
    assert "above 0" in panel.missing()
    panel.by._choose(0)
    panel.rank.edited.emit(panel.rank.set_value(16))
    assert "rank 16" in panel.missing()
    assert not dialog.run_button.isEnabled()


def test_extract_begins_with_the_units_of_the_file(qtbot: QtBot, tmp_path: Path) -> None:
    metadata = {"ss_network_module": "networks.dylora", "ss_network_args": '{"unit": "4"}'}
    file = write_adapter(tmp_path / "cat.safetensors", (16,), metadata)
    panel = ExtractPanel()
    dialog = opened(qtbot, panel, "done", file)
    assert panel.arguments() == [str(file), "--rank", "4"]
    assert dialog.target.path() == tmp_path / "cat-0004.safetensors"
    panel.which._choose(1)
    panel.keeps.click()
    assert panel.arguments() == [str(file), "--unit", "4", "--keep-strength"]
    assert "4, 8, 12" in panel.rows.hint(panel.number)
    assert "-0004" in panel.target_hint()
    assert dialog.target.path() == file
    other = write_adapter(tmp_path / "plain.safetensors", (16,))
    panel.take([other])
    qtbot.waitUntil(lambda: "does not say" in panel.rows.hint(panel.file), timeout=5000)


def test_merge_asks_for_what_each_way_needs(qtbot: QtBot, tmp_path: Path) -> None:
    first = write_adapter(tmp_path / "cat.safetensors")
    second = write_adapter(tmp_path / "dog.safetensors")
    panel = MergePanel()
    dialog = opened(qtbot, panel)
    panel.take([first])
    assert "base model" in panel.missing()
    panel.take([tmp_path / "sdxl"])  # no LoRA: a folder
    assert panel.missing() == ""
    assert panel.target().is_folder
    assert dialog.target.path() == tmp_path / "sdxl-cat"
    panel.files.rows[0][1].edited.emit(panel.files.rows[0][1].set_value(0.8))
    assert panel.arguments() == ["--base", str(tmp_path / "sdxl"), "--lora", f"{first}:0.8"]
    panel.into._choose(1)
    assert "two or more" in panel.missing()
    assert panel.target().path == ""
    panel.take([second])
    assert panel.missing() == ""
    panel.precision._choose(1)
    assert panel.arguments() == [
        "--lora", f"{first}:0.8", "--lora", f"{second}:1", "--precision", "bf16",
    ]  # fmt: skip
    assert dialog.target.path() == tmp_path / "cat-dog.safetensors"
    panel.files.rows[1][1].edited.emit(panel.files.rows[1][1].set_value("much"))
    assert "number" in panel.missing()
    panel.files._remove(panel.files.rows[1][2])
    assert "two or more" in panel.missing()


# --- at work ---------------------------------------------------------------------------------


def test_the_result_is_told_with_what_to_do_next(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = opened(
        qtbot, ResizePanel(), "done", write_adapter(tmp_path / "cat.safetensors", (16,))
    )
    run(qtbot, dialog)
    assert dialog.outcome.isVisible()
    assert not dialog.message.isVisible()
    for words in ("cat-r8.safetensors is written", "12 layers", "98.5 %", "90.1 %", "left out"):
        assert words in dialog.outcome.told
    with qtbot.waitSignal(dialog.inspect_asked) as asked:
        dialog.outcome.inspect.click()
    assert asked.args == [tmp_path / "cat-r8.safetensors"]
    dialog.panel.by._choose(1)  # pyright: ignore[reportAttributeAccessIssue]
    assert not dialog.outcome.isVisible()


def test_a_file_in_the_way_is_asked_about(qtbot: QtBot, tmp_path: Path) -> None:
    there = tmp_path / "cat-r8.safetensors"
    there.write_text("mine")
    dialog = opened(
        qtbot, ResizePanel(), "done", write_adapter(tmp_path / "cat.safetensors", (16,))
    )
    run(qtbot, dialog)
    assert there.read_text() == "mine"
    assert not dialog.message.isVisible()
    assert answer(dialog) == "Replace cat-r8.safetensors?"
    qtbot.waitUntil(lambda: dialog.outcome.isVisible(), timeout=10_000)
    assert "--overwrite" in there.read_text()


def test_a_model_that_cannot_be_told_is_asked_for(qtbot: QtBot, tmp_path: Path) -> None:
    panel = ConvertPanel()
    dialog = opened(qtbot, panel, "model", write_adapter(tmp_path / "cat.safetensors"))
    assert not panel.model.model.isVisible()
    run(qtbot, dialog)
    assert panel.model.model.isVisible()
    words = dialog.message.label.text()
    assert "choose it above" in words
    assert "--" not in words
    panel.model.model.set_value("/models/tiny")
    panel.model.architecture.set_value("sd1")
    assert panel.arguments()[-4:] == ["--model", "/models/tiny", "--architecture", "sd1"]


def test_a_cancel_leaves_nothing_half_written(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = opened(
        qtbot, ResizePanel(), "slow", write_adapter(tmp_path / "cat.safetensors", (16,))
    )
    dialog.run_button.click()
    qtbot.waitUntil(lambda: "3 of 12 layers" in dialog.bar.words, timeout=10_000)
    assert dialog.bar.share == 0.25
    assert dialog.close_button.text() == "Cancel"
    assert not dialog.panel.widget().isEnabled()
    dialog.close_button.click()
    qtbot.waitUntil(lambda: not dialog.is_working, timeout=10_000)
    assert "Cancelled" in dialog.message.label.text()
    assert [p.name for p in tmp_path.iterdir()] == ["cat.safetensors"]
    dialog.close_button.click()
    assert not dialog.isVisible()


def test_the_copy_of_a_base_model_moves_the_first_half_of_the_bar(
    qtbot: QtBot, tmp_path: Path
) -> None:
    dialog = opened(
        qtbot, ResizePanel(), "copies", write_adapter(tmp_path / "cat.safetensors", (16,))
    )
    dialog._clock.setInterval(20)
    dialog.run_button.click()
    words = "Copying the model, 3.5 GB of 6.9 GB"
    qtbot.waitUntil(lambda: dialog.bar.words == words, timeout=10_000)
    assert dialog.bar.share == 0.25
    assert dialog.process is not None
    dialog.process._process.write(b"on\n")
    qtbot.waitUntil(lambda: dialog.bar.words == "3 of 12 layers", timeout=10_000)
    assert dialog.bar.share == 0.5 + 0.5 * 0.25
    dialog.cancel()
    qtbot.waitUntil(lambda: not dialog.is_working, timeout=10_000)


def test_a_tool_that_does_not_obey_is_killed_and_cleared_away(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools_process, "CANCEL_SECONDS", 0.2)
    file = write_adapter(tmp_path / "cat.safetensors", (16,))
    dialog = opened(qtbot, ResizePanel(), "stubborn", file)
    dialog.run_button.click()
    part = tmp_path / ".cat-r8.safetensors.part"
    qtbot.waitUntil(part.exists, timeout=10_000)
    dialog.cancel()
    qtbot.waitUntil(lambda: not dialog.is_working, timeout=10_000)
    assert not part.exists()
    assert "Cancelled" in dialog.message.label.text()


def test_closing_while_it_works_asks_first(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = opened(
        qtbot, ResizePanel(), "slow", write_adapter(tmp_path / "cat.safetensors", (16,))
    )
    dialog.run_button.click()
    qtbot.waitUntil(lambda: "of 12" in dialog.bar.words, timeout=10_000)
    dialog.close()
    assert dialog.isVisible()
    assert answer(dialog) == "Cancel the work?"
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=10_000)
    assert [p.name for p in tmp_path.iterdir()] == ["cat.safetensors"]


def test_a_crash_is_told_in_a_line(qtbot: QtBot, tmp_path: Path) -> None:
    file = write_adapter(tmp_path / "cat.safetensors", (16,))
    dialog = opened(qtbot, ResizePanel(), "crash", file)
    run(qtbot, dialog)
    words = "It ended unexpectedly (code 3). MemoryError: out of memory"
    assert dialog.message.label.text() == words
    dialog._command = EngineCommand(str(tmp_path / "no python"), (), str(tmp_path))
    run(qtbot, dialog)
    assert "could not be started" in dialog.message.label.text()
    assert dialog.run_button.isVisible()


@pytest.mark.parametrize("name", list(PANELS))
@pytest.mark.parametrize("percent", [100, 200])
def test_every_dialog_fits_a_small_screen_and_names_its_editors(
    name: str, percent: int, qtbot: QtBot
) -> None:
    switch().apply(text_percent=percent)
    dialog = opened(qtbot, PANELS[name]())
    QApplication.processEvents()
    assert dialog.minimumSizeHint().width() <= 960
    assert dialog.minimumSizeHint().height() <= 600
    dialog.panel.ask_for_model()
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    for widget in dialog.findChildren(QWidget):
        if widget.focusPolicy().value & 1 and widget.isVisible() and not widget.focusProxy():
            named = widget.accessibleName() or getattr(widget, "text", str)()
            assert named, type(widget)
    switch().apply(text_percent=100)
