"""Installations with a fake pip: whole, interrupted, refused, and done already.

The pitfalls are those of spec/libraries.md, "Pitfalls of the peers' users".
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from engine.setup import install as install_module
from engine.setup.errors import SetupCancelled, SetupError
from engine.setup.install import mend_import, site_packages, suits
from engine.setup.machine import Gpu, Machine
from engine.setup.pins import read_pins
from engine.setup.stamp import missing_levels, read_stamp, stamp_path
from engine.setup.torch_build import TorchBuild
from tests.setup.conftest import Project

RTX = Gpu("NVIDIA GeForce RTX 4090", (8, 9), 24 * 2**30)
NVIDIA_LINUX = Machine("Linux", "x86_64", (3, 11), (RTX,), (13, 0), "580.65")
NVIDIA_WINDOWS = Machine("Windows", "x86_64", (3, 11), (RTX,), (13, 0), "580.65")
NO_WHEEL = (
    "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)\n"
    "ERROR: No matching distribution found for torch==2.13.0"
)
OFFLINE = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
    '"Failed to establish a new connection: [Errno -3] Temporary failure in name resolution")\'\n'
    + NO_WHEEL
)


def missing(project: Project, level: str = "dev") -> list[str]:
    return missing_levels(project.root, read_pins(project.root), level)


def torch_call(project: Project) -> list[str]:
    return next(call for call in project.calls if any("torch==" in word for word in call))


def test_first_start_installs_the_window_and_stamps_it(project: Project) -> None:
    assert project.install("window") is True
    assert missing(project) == ["engine", "dev"]
    assert (site_packages(project.root) / "PySide6" / "QtCore.py").exists()
    # pip first, then the packages, wheels alone and with everything else held.
    assert project.calls[0][-1] == "pip==26.3"
    assert "--only-binary=:all:" in project.calls[1]
    assert "-c" in project.calls[1]
    assert not (project.root / ".setup" / "cache").exists()
    assert not (project.root / ".setup" / "tmp").exists()
    assert not list(project.root.parent.glob("*/.cache"))


def test_second_start_does_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.install("window")
    calls = len(project.calls)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.Popen", never)
    assert project.install("window") is False
    assert len(project.calls) == calls
    assert project.asked == []


def test_changed_pin_installs_that_level_again(project: Project) -> None:
    project.install("engine")
    file = project.root / "pyproject.toml"
    file.write_text(file.read_text("utf-8").replace("diffusers==0.42", "diffusers==0.43"), "utf-8")
    assert missing(project, "engine") == ["engine"]
    assert project.install("engine") is True
    assert project.venvs_made == 1
    assert missing(project, "engine") == []


def test_progress_counts_packages_and_bytes(project: Project) -> None:
    project.install("window")
    moments = project.listener.moments
    downloads = [m for m in moments if m.phase == "Downloading" and m.bytes_done == 2_000_000]
    assert {m.package for m in downloads} >= {"pyside6-essentials", "pydantic", "pillow"}
    last = [m for m in downloads if m.total == 7][-1]
    assert (last.done, last.bytes_total) == (6, 2_000_000)
    assert moments[-1].phase == "Checking"


@pytest.mark.parametrize("killed_in", ["pydantic", "safetensors"])
def test_install_killed_half_way_is_finished_by_the_next_start(
    project: Project, killed_in: str
) -> None:
    project.tell_pip(die_in=killed_in)
    with pytest.raises(SetupError):
        project.install("engine")
    assert "engine" in missing(project)
    assert project.install("engine") is True
    assert missing(project) == ["dev"]
    assert project.venvs_made == 1


def test_half_a_package_that_pip_believes_whole_is_found_and_mended(project: Project) -> None:
    project.install("engine")
    (site_packages(project.root) / "safetensors" / "torch.py").unlink()
    assert project.install("engine", redo=True) is True
    assert (site_packages(project.root) / "safetensors" / "torch.py").exists()


def test_cancel_stops_pip_and_the_next_start_goes_on(project: Project) -> None:
    hanging = project.root.parent / "hanging"
    project.tell_pip(hang=str(hanging))
    with pytest.raises(SetupCancelled):
        project.install("window", is_cancelled=hanging.exists)
    assert "window" in missing(project)
    project.tell_pip()
    assert project.install("window") is True


def test_no_gpu_and_the_cpu_index_answers(project: Project) -> None:
    project.cpu_index = True
    project.install("engine")
    assert project.asked == ["https://download.pytorch.org/whl/cpu/torch/"]
    call = torch_call(project)
    assert call[-1] == "torch==2.13.0+cpu"
    assert call[call.index("--index-url") + 1] == "https://download.pytorch.org/whl/cpu"
    stamp = read_stamp(project.root, "engine")
    assert stamp is not None
    assert stamp.torch == "2.13.0+cpu"


def test_no_gpu_and_the_cpu_index_is_silent(project: Project) -> None:
    project.install("engine")
    call = torch_call(project)
    assert call[-1] == "torch==2.13.0"  # exact: a range would bring gigabytes of CUDA
    assert "--index-url" not in call


def test_cpu_index_that_answers_and_then_fails_gives_way_to_pypi(project: Project) -> None:
    project.cpu_index = True
    project.tell_pip(fail=[["--index-url", OFFLINE]])
    project.install("engine")
    assert [call[-1] for call in project.calls if "torch==" in call[-1]] == [
        "torch==2.13.0+cpu",
        "torch==2.13.0",
    ]
    assert missing(project) == ["dev"]


def test_windows_with_nvidia_takes_the_cuda_index_and_asks_for_that_build_by_name(
    project: Project,
) -> None:
    """kohya_ss #571 and comfy-cli PR 379: another index must not answer for this one."""
    project.machine = NVIDIA_WINDOWS
    project.tell_pip(cuda={"cu130": "13.0"})
    project.install("engine")
    call = torch_call(project)
    assert call[-1] == "torch==2.13.0+cu130"
    assert call[call.index("--index-url") + 1] == "https://download.pytorch.org/whl/cu130"
    assert project.listener.warnings == []


def test_packages_after_torch_cannot_swap_its_build(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv #18478: a later step replaced the CPU build by the CUDA one."""
    project.cpu_index = True
    held: list[str] = []
    whole = install_module._Installation.pip

    def watch(job: install_module._Installation, arguments: list[str], expected: int) -> None:
        if "-c" in arguments:
            held.extend(Path(arguments[arguments.index("-c") + 1]).read_text("utf-8").split())
        whole(job, arguments, expected)

    monkeypatch.setattr(install_module._Installation, "pip", watch)
    project.install("engine")
    assert "torch==2.13.0+cpu" in held
    assert "pydantic==2.0" in held


def test_nvidia_that_got_a_torch_without_cuda_is_told(project: Project) -> None:
    project.machine = NVIDIA_LINUX
    project.tell_pip(local="+cpu")
    project.install("engine")
    assert len(project.listener.warnings) == 1
    assert "without CUDA" in project.listener.warnings[0]
    assert "setup --torch cu130" in project.listener.warnings[0]
    assert missing(project) == ["dev"]


def test_another_build_is_fetched_on_request_and_kept_for_later(project: Project) -> None:
    project.machine = NVIDIA_LINUX
    project.tell_pip(cuda={"": "13.0", "cu126": "12.6"})
    project.install("engine")
    assert project.install("engine", torch="cu126") is True
    stamp = read_stamp(project.root, "engine")
    assert stamp is not None
    assert (stamp.torch, stamp.torch_wanted) == ("2.13.0+cu126", "cu126")
    assert project.install("engine") is False


@pytest.mark.parametrize(
    ("output", "kind", "words"),
    [
        (OFFLINE, "network", "internet"),
        (NO_WHEEL, "no_wheel", "3.11 to 3.14"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "space", "Free"),
        ("WARNING: 401 Error, Credentials not correct\nERROR: 401 Client Error", "login", "login"),
        ("SSLError(SSLCertVerificationError('CERTIFICATE_VERIFY_FAILED'))", "tls", "PIP_CERT"),
        ("ERROR: [WinError 5] Access is denied: 'torch_cpu.dll'", "permission", "Close"),
    ],
)
def test_pip_failure_says_what_to_do_in_one_line_and_leaves_no_stamp(
    project: Project, output: str, kind: str, words: str
) -> None:
    project.tell_pip(fail=[["-r ", output]])
    with pytest.raises(SetupError) as caught:
        project.install("window")
    assert caught.value.kind == kind
    assert words in caught.value.mend
    assert "\n" not in str(caught.value)
    assert "window" in missing(project)
    assert output.splitlines()[-1] in (project.root / ".setup" / "log.txt").read_text("utf-8")


def test_pip_that_cannot_be_updated_is_used_as_it_is(project: Project) -> None:
    project.tell_pip(fail=[["pip==26.3", NO_WHEEL]])
    assert project.install("window") is True
    assert "keeping the pip" in (project.root / ".setup" / "log.txt").read_text("utf-8")


def test_no_room_is_told_before_anything_is_downloaded(project: Project) -> None:
    project.free_bytes = 10**8
    with pytest.raises(SetupError, match=r"needs .* GB .* 0\.1 GB are free") as caught:
        project.install("window")
    assert caught.value.kind == "space"
    assert project.calls == []


def test_no_room_for_cuda_keeps_the_window_usable(project: Project) -> None:
    project.machine, project.free_bytes = NVIDIA_LINUX, 4 * 2**30
    with pytest.raises(SetupError, match=r"PyTorch \(cu130\) needs 9\.7 GB"):
        project.install("engine")
    assert missing(project) == ["engine", "dev"]


def test_package_in_another_version_is_not_stamped(project: Project) -> None:
    project.tell_pip(wrong="pydantic")
    with pytest.raises(SetupError, match=r"pydantic 0\.0 in place of 2\.0"):
        project.install("window")
    assert "window" in missing(project)


def test_package_that_does_not_import_is_not_stamped(project: Project) -> None:
    project.tell_pip(broken="torch")
    with pytest.raises(SetupError, match=r"libgraft\.so\.1") as caught:
        project.install("engine")
    assert "system package" in caught.value.mend
    assert missing(project) == ["engine", "dev"]


def test_two_starts_at_once_install_once(project: Project) -> None:
    other = threading.Thread(target=project.install, args=("window",))
    other.start()
    project.install("window")
    other.join()
    assert sum("-r" in call for call in project.calls) == 1
    assert project.venvs_made == 1


def test_moved_folder_still_works_without_installing(project: Project) -> None:
    project.install("window")
    project.root = Path(shutil.move(project.root, project.root.parent / "moved here"))
    assert project.install("window") is False


def test_stamp_of_rubbish_counts_as_none(project: Project) -> None:
    project.install("window")
    stamp_path(project.root, "window").write_text("{", "utf-8")
    assert missing(project)[0] == "window"
    assert project.install("window") is True


def test_suits_wants_the_build_and_the_version() -> None:
    cpu = TorchBuild("cpu", "https://index/cpu", "")
    assert suits(cpu, "2.13.0+cpu", "2.13.0")
    assert not suits(cpu, "2.12.0+cpu", "2.13.0")
    assert not suits(cpu, "2.13.0+cu130", "2.13.0")
    cuda_on_pypi = TorchBuild("cu130", None, "", cuda=True)
    assert suits(cuda_on_pypi, "2.13.0", "2.13.0")
    assert not suits(cuda_on_pypi, "2.13.0+cpu", "2.13.0")
    assert not suits(cuda_on_pypi, "", "2.13.0")


def test_windows_without_the_visual_c_runtime_is_told_where_to_get_it() -> None:
    error = "OSError: [WinError 126] The specified module could not be found: c10.dll"
    assert "vc_redist" in mend_import(error)
