"""Make the pictures of docs/images from the real program: window, engine and demo.

    python docs/screenshots.py            all states, light and dark, under Xvfb where there is
    python docs/screenshots.py training   one state

States: first-run, editing, blocks, map, dataset, preset, preferences, training, finished, error.
The training states run the demo through the real engine. Needs the `dev` level, and on a machine
without a screen Xvfb and the xcb libraries (`apt install xvfb libxcb-cursor0 libxcb-icccm4
libxcb-keysyms1 libxcb-image0 libxcb-render-util0 libxkbcommon-x11-0`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SIZE = (1440, 900)
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
        out.mkdir(parents=True, exist_ok=True)
        self.states: dict[str, Callable[[], None]] = {
            "first-run": self.first_run,
            "editing": self.editing,
            "blocks": self.blocks,
            "map": self.map,
            "dataset": self.dataset,
            "preset": self.preset,
            "preferences": self.preferences,
            "training": self.training,
            "finished": self.finished,
            "error": self.error,
        }
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

        from app.theme import switch

        for theme in ("light", "dark"):
            switch().apply(theme)
            QTest.qWait(900)
            path = self.out / f"{name}-{theme}.png"
            picture = self.window.grab()
            if dialog is not None:  # a grab leaves out windows of their own
                painter = QPainter(picture)
                at = self.window.rect().center() - dialog.rect().center()
                painter.drawPixmap(at, dialog.grab())
                painter.end()
            picture.save(str(path))
            print(path)

    def _job(self) -> None:
        """The demo's pictures in a job of one's own."""
        from engine.schema.job_file import read_toml

        shown = Path(tempfile.gettempdir()) / "zibble"  # a short path for the pictures
        if not shown.exists():
            shutil.copytree(ROOT / "resources" / "demo", shown)
        data = read_toml(shown / "job.toml")
        data["output"]["directory"] = str(self.home / "runs")
        self.window.document.replace(data, "demo")
        self.until(lambda: self.window.plan_model.pictures is not None, 30)
        self.window.form.finish_building()

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
        from app.widgets.notice import Notice

        self._job()
        document = self.window.document
        self.window.choose_architecture("flux")
        document.set("launch.offline", False)
        document.set("model.path", "black-forest-labs/FLUX.1-dev")
        document.set("network.train_double_block_indices", "4-18")
        document.set("network.img_mlp_dim", 8)
        document.set("network.single_mod_dim", 0)
        self.window.form.focus_field("network.rank")
        self.room._show_page("plan")
        self.take("map")
        for notice in self.window.work.findChildren(Notice):
            notice.closed.emit()

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
        shutil.rmtree(Path(tempfile.gettempdir()) / "zibble", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
