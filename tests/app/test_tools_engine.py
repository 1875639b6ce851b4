"""The tools' dialogs over the real engine, on an adapter of a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.process import EngineCommand
from app.tools_convert import ConvertPanel
from app.tools_dialog import ToolDialog
from app.tools_facts import look_at_adapter
from app.tools_inspect import InspectDialog
from app.tools_merge import MergePanel
from engine.plan.header import read_header
from tests.tiny_sets import MAKERS
from tests.tools.adapters import make_adapter

TIMEOUT_MS = 60_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An adapter and its base model."""
    folder = tmp_path_factory.mktemp("tools")
    base = MAKERS["sd1"](folder / "base")
    return make_adapter(folder / "cat.safetensors", "sd1", base), base


def run(qtbot: QtBot, dialog: ToolDialog) -> None:
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(dialog.run_button.isEnabled, timeout=5000)
    dialog.run_button.click()
    qtbot.waitUntil(lambda: not dialog.is_working, timeout=TIMEOUT_MS)
    assert not dialog.message.isVisible(), dialog.message.label.text()


def test_a_file_is_converted_and_the_result_inspected(
    qtbot: QtBot, files: tuple[Path, Path], tmp_path: Path
) -> None:
    adapter, base = files
    panel = ConvertPanel()
    dialog = ToolDialog(panel, EngineCommand.of_this_install())
    panel.take([adapter])
    panel.layout_choice._choose(2)
    panel.precision._choose(2)
    panel.model.model.set_value(str(base))
    dialog.target.suggest(str(tmp_path / "new.safetensors"))
    dialog.target._on_edited("new")
    run(qtbot, dialog)
    made = tmp_path / "new.safetensors"
    facts = look_at_adapter(made)
    assert (facts.precision, facts.ranks) == ("fp16", (4,))
    assert f"{facts.layers} layers" in dialog.outcome.told
    assert any(name.startswith("unet.") for name in read_header(made).entries)
    inspect = InspectDialog(made, EngineCommand.of_this_install())
    qtbot.addWidget(inspect)
    inspect.show()
    qtbot.waitUntil(lambda: inspect.found is not None, timeout=TIMEOUT_MS)
    assert inspect.contents.told["For"].startswith("SD 1.x")
    assert "diffusers names" in inspect.contents.told["Written as"]
    values = inspect.contents.editor.values("linear")
    assert max(values) == 4
    inspect.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)


def test_files_are_merged_into_a_model_with_progress(
    qtbot: QtBot, files: tuple[Path, Path]
) -> None:
    adapter, base = files
    panel = MergePanel()
    dialog = ToolDialog(panel, EngineCommand.of_this_install())
    panel.take([base, adapter])
    shares: list[float] = []
    dialog._clock.setInterval(5)
    dialog._clock.timeout.connect(lambda: shares.append(dialog.bar.share))
    run(qtbot, dialog)
    target = base.with_name("base-cat")
    assert (target / "unet").is_dir()
    assert "base-cat is written" in dialog.outcome.told
    assert not dialog.outcome.inspect.isVisible()
    assert shares == sorted(shares)
    copied, size = dialog._bytes
    assert copied == size == sum(f.stat().st_size for f in base.glob("*/*.safetensors"))
    assert not [p for p in base.parent.iterdir() if p.name.startswith(".")]
