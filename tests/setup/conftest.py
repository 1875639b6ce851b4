"""A project with made-up packages, and a world in which pip is the fake one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.setup.install import World, install, site_packages
from engine.setup.machine import Machine
from engine.setup.progress import Progress
from engine.setup.venv import base_python

PINS = """\
[project]
name = "graft"
version = "9.9"
dependencies = [
    "PySide6-Essentials==6.0", "pydantic==2.0", "tomlkit==0.1", "platformdirs==4.0",
    "pillow==13.0", "psutil==7.0",
]
[project.optional-dependencies]
engine = [
    "torch==2.13.0", "safetensors==0.8", "diffusers==0.42", "transformers==5.0", "accelerate==1.0",
]
dev = ["pytest==9.0", "hypothesis==6.0"]
[tool.graft]
installer = "pip==26.3"
[tool.graft.brought-along]
window = ["shiboken6==6.0"]
engine = []
dev = []
"""


@dataclass
class Listener:
    """A reporter that keeps what it was told."""

    moments: list[Progress] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        self.moments.append(progress)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def warning(self, message: str) -> None:
        self.warnings.append(message)


@dataclass
class Project:
    """A folder with a pyproject.toml, and how its installation goes."""

    root: Path
    blank_venv: Path
    scenario: dict = field(default_factory=dict)
    machine: Machine = field(default_factory=lambda: Machine("Linux", "x86_64", (3, 11)))
    cpu_index: bool = False
    free_bytes: int = 100 * 2**30
    venvs_made: int = 0
    venv_output: str = ""
    asked: list[str] = field(default_factory=list)
    listener: Listener = field(default_factory=Listener)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call of pip so far."""
        log = self.root.parent / "calls.jsonl"
        return [json.loads(line) for line in log.read_text("utf-8").splitlines()]

    def tell_pip(self, **scenario: object) -> None:
        self.scenario = {"log": str(self.root.parent / "calls.jsonl"), **scenario}
        (self.root.parent / "scenario.json").write_text(json.dumps(self.scenario), "utf-8")

    def install(self, level: str = "window", **options: object) -> bool:
        world = World(
            look_at_machine=lambda: self.machine,
            index_answers=self._index_answers,
            free_bytes=lambda _: self.free_bytes,
            which=lambda _: None,
            make_venv=self._call,
        )
        self.listener = Listener()
        return install(self.root, level, self.listener, world=world, **options)  # type: ignore[arg-type]

    def _index_answers(self, url: str) -> bool:
        self.asked.append(url)
        return self.cpu_index

    def _call(self, command: Sequence[str]) -> tuple[int, str]:
        """Make .venv with the fake pip in it; anything else is run as it is."""
        if "venv" not in command:
            done = subprocess.run(list(command), capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr
        if self.venv_output:
            return 1, self.venv_output
        self.venvs_made += 1
        folder = Path(command[-1])
        shutil.copytree(self.blank_venv, folder, symlinks=True)
        return 0, ""


@pytest.fixture(scope="session")
def blank_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .venv with nothing in it but the fake pip."""
    root = tmp_path_factory.mktemp("blank")
    folder = root / ".venv"
    subprocess.run([base_python(), "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = site_packages(root) / "pip"
    pip.mkdir()
    (pip / "__init__.py").write_text("")
    shutil.copy(Path(__file__).with_name("fake_pip.py"), pip / "__main__.py")
    info = pip.parent / "pip-24.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pip\nVersion: 24.2\n")
    size = (pip / "__main__.py").stat().st_size
    (info / "RECORD").write_text(f"pip/__main__.py,sha256=x,{size}\n")
    return folder


@pytest.fixture
def project(tmp_path: Path, blank_venv: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in a folder whose name has a space and letters beyond ASCII."""
    root = tmp_path / "gräft folder ö"
    root.mkdir()
    (root / "pyproject.toml").write_text(PINS, "utf-8")
    made = Project(root, blank_venv)
    made.tell_pip()
    monkeypatch.setenv("FAKE_PIP", str(tmp_path / "scenario.json"))
    (tmp_path / "calls.jsonl").write_text("")
    return made
