"""The commands doctor, test, setup and install-launcher."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from engine.commands import doctor, install_launcher, setup, test
from engine.setup import qt_libraries, start
from engine.setup.check import Report, is_whole
from engine.setup.devices import Device, Devices
from engine.setup.errors import SetupCancelled, SetupError
from engine.setup.launcher import desktop_entry, quoted_argument
from engine.setup.machine import Gpu, Machine
from engine.setup.pins import read_pins
from engine.setup.progress import JsonLines, Progress, Terminal, described
from engine.setup.start import CODE
from tests.setup.conftest import Project

CARD = Gpu("NVIDIA RTX 5090", (12, 0), 32 * 2**30)
LINUX = Machine("Linux", "x86_64", (3, 11), (CARD,), (13, 0), "580.1")


def problems(findings: object) -> list[str]:
    return [f"{f.problem}: {f.mend}" for f in findings if f.problem]  # type: ignore[attr-defined]


def test_doctor_sees_a_torch_that_was_not_compiled_for_the_card() -> None:
    device = Device(CARD.name, "sm_120", served=False, bf16=True)
    found = Devices("2.13.0+cu126", devices=[device], compiled_for=["sm_80", "sm_90"])
    told = problems(doctor.about_devices(found, LINUX))
    assert told == [
        "this PyTorch is compiled for sm_80, sm_90 only: python main.py setup --torch cu130 "
        "(cards from Turing on) or cu126 (older ones)"
    ]


def test_doctor_sees_a_torch_without_cuda_beside_a_card() -> None:
    """kohya_ss #571: 'Torch not compiled with CUDA enabled'."""
    found = Devices("2.13.0+cpu", devices=[Device("CPU")])
    told = problems(doctor.about_devices(found, LINUX))
    assert len(told) == 1
    assert "setup --torch cu130" in told[0]


def test_doctor_counts_missing_optional_packages_as_no_problem() -> None:
    found = Devices("2.13.0", optional={"bitsandbytes": "not installed", "triton": ""})
    listed = list(doctor.about_devices(found, Machine("Windows", "x86_64", (3, 12))))
    assert problems(listed) == []
    optional = {f.name: f for f in listed if f.section == "Optional"}
    assert "pip install bitsandbytes" in optional["bitsandbytes"].mend
    assert (optional["triton"].value, optional["triton"].mend) == ("there", "")


def test_doctor_compares_versions_with_the_pins(project: Project) -> None:
    project.install("window")
    pins = read_pins(project.root)
    report = Report({pin.name: pin.version for pin in pins.up_to("window")})
    told = problems(doctor.about_packages(project.root, pins, report))
    assert told == ["Graft is not completely installed: python main.py setup --level engine"]
    report.versions["pydantic"] = "1.0"
    report.broken["pillow"] = "/x"
    told = problems(doctor.about_packages(project.root, pins, report))
    assert "2.0 is pinned: python main.py setup --redo" in told
    assert "files are missing: python main.py setup --redo" in told


def test_doctor_runs_for_real_and_its_exit_code_is_its_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "asked_of_venv", lambda root, module: None)
    code = doctor.main(["--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == (0 if told["ok"] else 1)
    names = {finding["name"] for finding in told["findings"]}
    assert {"version", "Python", "system", "memory", "disk"} <= names
    for finding in told["findings"]:
        assert not finding["problem"] or finding["mend"], finding


def test_doctor_marks_problems_and_says_how_many() -> None:
    good = doctor.Finding("A", "x", "1")
    bad = doctor.Finding("A", "y", "2", "it is wrong", "do this")
    assert doctor.in_words([good]).endswith("Nothing is wrong.")
    text = doctor.in_words([good, bad])
    assert " !! y" in text
    assert ">> it is wrong: do this" in text
    assert text.splitlines()[-1].startswith("1 problem,")


def test_test_command_runs_all_steps_and_fails_if_one_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[str] = []

    def call(step: test.Step) -> int:
        ran.append(step.name)
        return 1 if step.name == "pyright" else 0

    assert test.main([], call) == 1
    assert ran == ["ruff check", "ruff format", "pyright", "lint-imports", "pytest"]
    out = capsys.readouterr().out
    assert "FAILED  pyright" in out
    assert out.index("FAILED  pyright") < out.index("== pytest")  # pytest has the last word
    assert test.main([], lambda _: 0) == 0


def test_test_command_hands_its_arguments_to_pytest_alone() -> None:
    (step,) = test.steps(["tests/x", "-k", "a b"], has_xdist=True)
    assert step.command[1:] == ("-m", "pytest", "tests/x", "-k", "a b")
    assert "-n" in test.steps([], has_xdist=True)[-1].command
    assert "-n" not in test.steps([], has_xdist=False)[-1].command


@pytest.mark.parametrize(
    ("outcome", "code", "last"),
    [
        (None, 0, {"event": "finished", "level": "engine"}),
        (
            SetupError("network", "No index.", "Check it."),
            1,
            {"event": "error", "kind": "network", "message": "No index.", "mend": "Check it."},
        ),
        (SetupCancelled(), 130, {"event": "cancelled"}),
    ],
)
def test_setup_tells_the_window_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: Exception | None,
    code: int,
    last: dict[str, str],
) -> None:
    def install(root: Path, level: str, reporter: JsonLines, **_: object) -> bool:
        reporter.progress(Progress("Downloading", "torch", 3, 12, 1_000_000, 2_000_000, 5e5))
        reporter.warning("An AMD card is here.")
        if outcome:
            raise outcome
        return True

    monkeypatch.setattr(setup, "install", install)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert setup.main(["--events"]) == code
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {
        "event": "setup",
        "phase": "Downloading",
        "package": "torch",
        "done": 3,
        "total": 12,
        "bytes_done": 1_000_000,
        "bytes_total": 2_000_000,
        "speed": 500_000,
    }
    assert events[1]["event"] == "warning"
    assert {key: events[-1][key] for key in last} == last


@pytest.mark.parametrize(
    "text", ['rubbish\n{"command": "other"}\n{"command": "cancel"}\nmore\n', "", "[1]\n"]
)
def test_cancel_by_a_command_or_by_the_end_of_input(text: str) -> None:
    cancel = threading.Event()
    setup.cancel_on_request(io.StringIO(text), cancel)
    assert cancel.is_set()


def test_events_are_ten_a_second_at_most_for_one_package() -> None:
    now = [0.0]
    out = io.StringIO()
    lines = JsonLines(out, io.StringIO(), clock=lambda: now[0])
    for done in range(100):
        lines.progress(Progress("Downloading", "torch", bytes_done=done))
        now[0] += 0.01
    assert 9 <= len(out.getvalue().splitlines()) <= 11


def test_terminal_line_tells_package_size_and_speed() -> None:
    progress = Progress("Downloading", "torch", 3, 12, 81_000_000, 212_000_000, 9_100_000)
    assert described(progress) == "Downloading 3 of 12: torch  81 of 212 MB, 9.1 MB/s"
    out = io.StringIO()
    terminal = Terminal(out)
    for done in range(5):
        terminal.progress(Progress("Downloading", "torch", 3, 12, done, 212_000_000))
    terminal.progress(Progress("Checking"))
    assert out.getvalue() == "Downloading 3 of 12: torch  212 MB\nChecking\n"


def test_missing_qt_libraries_are_named_with_their_packages() -> None:
    """What is looked for depends on the display; the mend on the package manager."""

    def load(library: str) -> None:
        if library in ("libEGL.so.1", "libxcb-cursor.so.0"):
            raise OSError(library)

    x11 = qt_libraries.missing({"DISPLAY": ":0"}, load, "linux")
    assert x11 == ["libEGL.so.1", "libxcb-cursor.so.0"]
    assert qt_libraries.missing({"QT_QPA_PLATFORM": "offscreen"}, load, "linux") == ["libEGL.so.1"]
    assert qt_libraries.missing({"WAYLAND_DISPLAY": "w"}, load, "linux") == ["libEGL.so.1"]
    assert qt_libraries.missing({}, load, "win32") == []
    told = qt_libraries.mend(x11, lambda name: name if name == "apt-get" else None)
    assert told.endswith("sudo apt install libegl1 libxcb-cursor0")
    assert "dnf install 'libEGL.so.1()(64bit)'" in qt_libraries.mend(
        x11, lambda name: name if name == "dnf" else None
    )
    assert "package manager" in qt_libraries.mend(x11, lambda _: None)


def test_package_is_whole_only_with_every_file_in_its_size(tmp_path: Path) -> None:
    info = tmp_path / "x-1.dist-info"
    info.mkdir()
    assert not is_whole(info)
    (tmp_path / "x.py").write_text("12345")
    (info / "RECORD").write_text("x.py,sha256=a,5\nx.pyc,sha256=a,9\nx-1.dist-info/RECORD,,\n")
    assert is_whole(info)
    (tmp_path / "x.py").write_text("123")
    assert not is_whole(info)
    (tmp_path / "x.py").unlink()
    assert not is_whole(info)


def test_menu_entry_survives_spaces_letters_and_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OneTrainer #11: a path with a space."""
    entry = desktop_entry(Path("/home/ö/my $graft 100%"))
    assert r'Exec="/home/ö/my \\$graft 100%%/graft.sh"' in entry
    assert "Icon=/home/ö/my $graft 100%/resources/icons/graft.png" in entry
    assert quoted_argument('a"b') == r'"a\\"b"'
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert install_launcher.main([], "linux") == 0
    file = tmp_path / "applications" / "graft.desktop"
    assert f'Exec="{CODE}/graft.sh"' in file.read_text("utf-8")
    assert [path.name for path in file.parent.iterdir()] == ["graft.desktop"]
    assert install_launcher.main(["--remove"], "linux") == 0
    assert not file.exists()
    assert install_launcher.main([], "win32") == 1
    assert "graft.bat" in capsys.readouterr().err


def test_launchers_lie_beside_main_and_can_be_run() -> None:
    for name in ("graft.sh", "graft.command", ".ci/run"):
        assert (CODE / name).stat().st_mode & stat.S_IXUSR, name
        assert b"\r" not in (CODE / name).read_bytes()
    batch = (CODE / "graft.bat").read_bytes()
    assert batch.count(b"\r\n") == batch.count(b"\n") > 10
    # OneTrainer #1102, #1128: a failing probe must not close the window at once.
    assert batch.count(b"pause") == 2
    for icon in ("graft.svg", "graft.png", "graft.ico"):
        assert os.path.getsize(CODE / "resources" / "icons" / icon) > 400


def test_ready_is_asked_of_the_stamps_alone(capsys: pytest.CaptureFixture[str]) -> None:
    expected = 0 if start.ready("engine") else 1
    assert setup.main(["--check"]) == expected
    assert capsys.readouterr().out in ("installed\n", "not installed\n")
