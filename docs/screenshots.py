"""Make the pictures of docs/images from the real program: window, engine and demo.

    python docs/screenshots.py            all states, light and dark, under Xvfb where there is
    python docs/screenshots.py training   one state

States: first-run, editing, blocks, map, dataset, preset, preferences, inspect, resize, merge,
training, finished, error.
The training states run the demo through the real engine. Needs the `dev` level, and on a machine
without a screen Xvfb and the xcb libraries (`apt install xvfb libxcb-cursor0 libxcb-icccm4
libxcb-keysyms1 libxcb-image0 libxcb-render-util0 libxkbcommon-x11-0`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.tools_dialog import ToolDialog

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SIZE = (1440, 900)
MODELS = {
    "sd1": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sd2": "stabilityai/stable-diffusion-2-1-base",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
    "flux": "black-forest-labs/FLUX.1-dev",
    "sd3": "stabilityai/stable-diffusion-3.5-medium",
    "lumina2": "Alpha-VLLM/Lumina-Image-2.0",
    "hunyuan_image": "hunyuanvideo-community/HunyuanImage-2.1-Diffusers",
    "anima": "circlestone-labs/Anima-Base-v1.0-Diffusers",
}
"""A base model for each architecture's panel: its configs stand for it, nothing is fetched."""

SD35_MEDIUM = {
    "_class_name": "SD3Transformer2DModel", "num_layers": 24, "num_attention_heads": 24,
    "attention_head_dim": 64, "caption_projection_dim": 1536, "joint_attention_dim": 4096,
    "pooled_projection_dim": 2048, "pos_embed_max_size": 384, "qk_norm": "rms_norm",
    "dual_attention_layers": list(range(13)),
}  # fmt: skip
sys.path.insert(0, str(ROOT))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("states", nargs="*", default=[], help="which states; all")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args(argv)
    if "DISPLAY" not in os.environ and shutil.which("Xvfb") and "GRAFT_NO_XVFB" not in os.environ:
        return _under_xvfb(argv)
    with tempfile.TemporaryDirectory(prefix="graft-shots-") as home:
        os.environ["GRAFT_HOME"] = home
        os.environ["HF_HUB_CACHE"] = str(Path(home) / "hub")
        from PySide6.QtGui import QFont, QFontDatabase

        from app.main import make_application

        app = make_application()
        if "Inter" in QFontDatabase.families():
            app.setFont(QFont("Inter", 10))
        studio = Studio(Path(home), options.out)
        wanted = options.states or list(studio.states)
        for state in wanted:
            studio.states[state]()
        studio.close()
    return 0


def _under_xvfb(argv: list[str]) -> int:
    number = next(n for n in range(90, 200) if not Path(f"/tmp/.X11-unix/X{n}").exists())
    command = ["Xvfb", f":{number}", "-screen", "0", "1920x1200x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        environment = {**os.environ, "DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
        return subprocess.call([sys.executable, __file__, *argv], env=environment)
    finally:
        server.terminate()
        server.wait()


class Studio:
    """Holds one window and takes its pictures."""

    def __init__(self, home: Path, out: Path) -> None:
        from app.main import make_window
        from app.process import EngineCommand
        from app.runs import RunController
        from app.training_room import TrainingRoom

        self.home, self.out = home, out
        self.folders: dict[str, Path] = {}
        out.mkdir(parents=True, exist_ok=True)
        self.states: dict[str, Callable[[], None]] = {
            "first-run": self.first_run,
            "editing": self.editing,
            "blocks": self.blocks,
            "map": self.map,
            "dataset": self.dataset,
            "preset": self.preset,
            "preferences": self.preferences,
            "inspect": self.inspect,
            "resize": self.resize,
            "merge": self.merge,
            "training": self.training,
            "finished": self.finished,
            "error": self.error,
        }
        for architecture in MODELS:
            self.states[f"panel-{architecture}"] = partial(self.panel, architecture)
        self.window = make_window()
        command = EngineCommand.of_this_install()
        self.runs = RunController(home / "state", command, self.window)
        self.room = TrainingRoom(self.window, self.runs, command)
        self.window.resize(*SIZE)
        self.window.show()
        self.until(lambda: self.room.setup.status.state != "unknown", 60)
        self.window.form.finish_building()

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Let the window work until something holds."""
        import time

        from PySide6.QtTest import QTest

        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the window did not come to the state wanted")
            QTest.qWait(50)

    def take(self, name: str, dialog: QWidget | None = None) -> None:
        """Grab the window, or one of its dialogs over it, in both themes."""
        from PySide6.QtGui import QPainter
        from PySide6.QtTest import QTest

        from app.theme import color, switch

        for theme in ("light", "dark"):
            switch().apply(theme)
            QTest.qWait(900)
            path = self.out / f"{name}-{theme}.png"
            picture = self.window.grab()
            if dialog is not None:  # a grab leaves out windows of their own
                painter = QPainter(picture)
                at = self.window.rect().center() - dialog.rect().center()
                painter.drawPixmap(at, dialog.grab())
                painter.setPen(color("field"))  # where the desktop's frame would be
                painter.drawRect(dialog.rect().translated(at).adjusted(-1, -1, 0, 0))
                painter.end()
            picture.save(str(path))
            print(path)

    def _folder(self, name: str) -> Path:
        """A folder of this process alone, with a short path for the pictures."""
        for number in count(1):
            if name in self.folders:
                break
            folder = Path(tempfile.gettempdir()) / (name if number == 1 else f"{name}{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                self.folders[name] = folder
        return self.folders[name]

    def _job(self) -> None:
        """The demo's pictures in a job of one's own."""
        from engine.schema.job_file import read_toml

        shown = self._folder("zibble")
        if not (shown / "job.toml").exists():
            shutil.copytree(ROOT / "resources" / "demo", shown, dirs_exist_ok=True)
        data = read_toml(shown / "job.toml")
        data["output"]["directory"] = str(self.home / "runs")
        self.window.document.replace(data, "demo")
        self.until(lambda: self.window.plan_model.pictures is not None, 30)
        self.window.form.finish_building()

    def _model(self, architecture: str) -> str:
        """Put the configs of a model where its weights would be, and say how a job names it."""
        name = MODELS[architecture]
        folder = self.home / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / "1"
        shutil.copytree(ROOT / "resources" / "models" / architecture, folder, dirs_exist_ok=True)
        for part in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
            (folder / part).mkdir(exist_ok=True)
        if architecture == "sd3":
            (folder / "transformer").mkdir(exist_ok=True)
            (folder / "transformer" / "config.json").write_text(json.dumps(SD35_MEDIUM))
        return name

    def first_run(self) -> None:
        self.take("first-run")

    def editing(self) -> None:
        self._job()
        self.window.form.focus_field("network.rank")
        self.room._show_page("plan")
        self.take("editing")

    def blocks(self) -> None:
        self._job()
        ranks = [0, 4, 4, 0, 8, 8, 0, 16, 16, 0, 16, 16, 24,
                 16, 16, 16, 32, 32, 24, 16, 16, 12, 8, 4, 4]  # fmt: skip
        self.window.document.set("network.conv_dim", 4)
        self.window.document.set("network.block_dims", ranks)
        self.window.form.focus_field("network.block_dims")
        self.room._show_page("plan")
        self.take("blocks")

    def map(self) -> None:
        self._begin("flux")
        document = self.window.document
        document.set("network.train_double_block_indices", "4-18")
        document.set("network.img_mlp_dim", 8)
        document.set("network.single_mod_dim", 0)
        self.window.form.focus_field("network.rank")
        self.room._show_page("plan")
        self.take("map")

    def panel(self, architecture: str) -> None:
        """The form at the model, then at all options of the network, with the plan beside it."""
        from PySide6.QtTest import QTest

        self._begin(architecture)
        self.room._show_page("plan")
        for name, group, shows_all in (("", "model", False), ("-network", "network", True)):
            self.window.pane.set_shows_all(shows_all)
            self.window.form.show_group(group)
            QTest.qWait(300)
            self.take(f"panel-{architecture}{name}")
        self.window.pane.set_shows_all(False)

    def _begin(self, architecture: str) -> None:
        """A job as a person begins it: the second preset, a base model, a folder of pictures."""
        self._job()
        document, plans = self.window.document, self.window.plan_model
        folders = document.get("dataset.folders")[:1]
        document.start_new(self.window.store.all(architecture)[1])
        document.set("dataset.folders", [dict(folders[0], repeats=10.0)])
        document.set("model.path", self._model(architecture))
        document.set("output.name", "zibble")
        only = [
            p for p in (ROOT / "resources" / "demo" / "concept").iterdir() if p.suffix == ".png"
        ]
        self.until(lambda: len(plans.pictures or ()) == len(only), 30)
        self.window.form.finish_building()

    def preset(self) -> None:
        from app.dialogs import Question

        self._job()
        preset = self.window.store.all("sd1")[-1]
        self.window.choose_preset(preset)
        dialog = self.window.findChildren(Question)[-1]
        self.take("preset", dialog)
        dialog.reject()

    def preferences(self) -> None:
        self._job()
        dialog = self.room.show_preferences()
        self.take("preferences", dialog)
        dialog.reject()

    def _adapter(self) -> Path:
        """A LoRA file in a folder with a short name."""
        from docs.sample_adapter import write_sample

        path = self._folder("loras") / "clay_cat.safetensors"
        return path if path.exists() else write_sample(path)

    def inspect(self) -> None:
        from app.tools_inspect import InspectDialog

        self._job()
        self.room.tools.inspect(self._adapter())
        dialog = self.window.findChildren(InspectDialog)[-1]
        self.until(lambda: dialog.found is not None, 120)
        self.take("inspect", dialog)
        dialog.close()

    def resize(self) -> None:
        dialog = self._tool("resize")
        dialog.run()
        self.until(lambda: not dialog.is_working, 120)
        self.take("resize", dialog)
        dialog.close()

    def merge(self) -> None:
        from app.tools_merge import MergePanel

        dialog = self._tool("merge")
        assert isinstance(dialog.panel, MergePanel)
        dialog.panel.base.set_value("/models/v1-5-pruned-emaonly.safetensors")
        dialog.panel.files.rows[0][1].set_value(0.8)
        dialog.panel.changed.emit()
        self.take("merge", dialog)
        dialog.close()

    def _tool(self, name: str) -> ToolDialog:
        """A tool's dialog with the LoRA file in it."""
        from app.tools_dialog import ToolDialog

        self._job()
        for former in self._adapter().parent.glob("clay_cat-*"):
            former.unlink()
        self.room.tools.open(name, [self._adapter()])
        dialog = self.window.findChildren(ToolDialog)[-1]
        if name == "resize":
            self.until(dialog.run_button.isEnabled, 10)
        return dialog

    def dataset(self) -> None:
        from PySide6.QtTest import QTest

        self._job()
        self.room._show_page("dataset")
        page = self.room.dataset
        page.grid.setCurrentIndex(page.model.index(2))
        QTest.qWait(2500)
        self.take("dataset")

    def _run(self) -> None:
        self._job()
        self.window.train()
        self.until(lambda: self.runs.running is not None, 60)

    def training(self) -> None:
        self._run()
        self.until(lambda: self._step() >= 104 or self.runs.running is None, 1500)
        self.room._show_page("progress")
        self.take("training")

    def _step(self) -> int:
        run = self.runs.running
        return run.state.step if run is not None else 0

    def finished(self) -> None:
        if self.runs.running is None:
            self._run()
        self.until(lambda: self.runs.running is None, 1500)
        self.room._show_page("progress")
        self.take("finished")

    def error(self) -> None:
        document = self.window.document
        self._job()
        document.set("network.rank", 0)
        document.set("network.block_dims", [4, 4])
        document.set("optimizer.name", "Prodigy")
        document.set("network.loraplus_lr_ratio", 16.0)
        self.window.show_what_keeps_train_off()
        self.room._show_page("plan")
        self.take("error")

    def close(self) -> None:
        """End the run, if one is left, and the window."""
        if self.runs.running is not None:
            self.runs.send("abort")
            self.until(lambda: self.runs.running is None, 60)
        self.window.document.undo_stack.clear()
        self.window.close()
        for folder in self.folders.values():
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
