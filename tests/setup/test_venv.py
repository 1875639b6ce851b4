"""Making .venv, and what is done about one that cannot be used."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.setup.errors import SetupError
from engine.setup.install import site_packages
from engine.setup.lock import setup_lock
from engine.setup.stamp import stamp_path, venv_python, venv_version
from engine.setup.venv import ensure_venv
from tests.setup.conftest import Project

NO_ENSUREPIP = (
    "The virtual environment was not created successfully because ensurepip is not\n"
    "available.  On Debian/Ubuntu systems, you need to install the python3-venv\n"
)


def test_python_that_is_gone_makes_a_new_venv_and_deletes_the_old(project: Project) -> None:
    project.install("window")
    marker = project.root / ".venv" / "old"
    marker.write_text("")
    python = venv_python(project.root)
    python.unlink()
    python.symlink_to("/no/such/python")
    assert venv_version(project.root) is None
    assert project.install("window") is True
    assert project.venvs_made == 2
    assert not marker.exists()
    assert not list((project.root / ".setup").glob("old-venv-*"))


def test_base_python_replaced_by_another_version_makes_a_new_venv(project: Project) -> None:
    project.install("window")
    settings = project.root / ".venv" / "pyvenv.cfg"
    text = settings.read_text("utf-8")
    here = f"{sys.version_info.major}.{sys.version_info.minor}."
    settings.write_text(text.replace(f"version = {here}", "version = 3.9."), "utf-8")
    assert project.install("window") is True
    assert project.venvs_made == 2


def test_venv_without_pip_is_made_anew(project: Project) -> None:
    project.install("window")
    shutil.rmtree(site_packages(project.root) / "pip")
    stamp_path(project.root, "window").unlink()
    assert project.install("window") is True
    assert project.venvs_made == 2


def test_an_old_venv_comes_back_when_no_new_one_can_be_made(project: Project) -> None:
    broken = project.root / ".venv"
    broken.mkdir()
    (broken / "mine.txt").write_text("kept")
    project.venv_output = NO_ENSUREPIP
    with pytest.raises(SetupError) as caught:
        project.install("window")
    assert caught.value.kind == "no_venv"
    assert "sudo apt install python3" in caught.value.mend
    assert "-venv" in caught.value.mend
    assert (broken / "mine.txt").read_text() == "kept"


def test_without_ensurepip_an_installed_uv_makes_the_venv(tmp_path: Path) -> None:
    ran: list[str] = []

    def call(command: Sequence[str]) -> tuple[int, str]:
        ran.append(Path(command[0]).name)
        if "uv" not in Path(command[0]).name:
            return 1, NO_ENSUREPIP
        return 0, ""

    with pytest.raises(SetupError, match="does not start"):  # this uv makes nothing
        ensure_venv(tmp_path, call, lambda name: f"/usr/bin/{name}")
    assert ran[-1] == "uv"


@pytest.mark.parametrize(
    ("printed", "kind"),
    [("Error: [Errno 28] No space left on device", "space"), ("Permission denied", "venv")],
)
def test_other_failures_to_make_a_venv(tmp_path: Path, printed: str, kind: str) -> None:
    with pytest.raises(SetupError) as caught:
        ensure_venv(tmp_path, lambda _: (1, printed), lambda _: None)
    assert caught.value.kind == kind


def test_second_start_waits_for_the_first_and_may_give_up(tmp_path: Path) -> None:
    waited: list[str] = []

    class GaveUp(Exception):
        """Ends the waiting, as a person would."""

    def pause(_: float) -> None:
        if len(waited) == 2:
            raise GaveUp
        waited.append("paused")

    with setup_lock(tmp_path):
        with (
            pytest.raises(GaveUp),
            setup_lock(tmp_path, lambda: waited.append("told"), pause),
        ):
            waited.append("never")
        assert waited == ["told", "paused"]
    with setup_lock(tmp_path, pause=pause):
        waited.append("free again")
    assert waited[-1] == "free again"


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SetupError, match="Nothing can be written into"),
        setup_lock(tmp_path / "file" / ".setup"),
    ):
        raise AssertionError("locked a folder inside a file")
