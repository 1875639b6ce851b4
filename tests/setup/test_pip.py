"""Reading what pip prints (recorded from 23.2.1 and 26.3), and the environment it runs in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.setup.errors import SetupCancelled, from_pip
from engine.setup.pip import PipProgress, Process, environment

PRINTED_BY_26_3 = """\
Looking in indexes: https://pypi.org/simple
Collecting pydantic==2.14.4
  Downloading pydantic-2.14.4-py3-none-any.whl (494 kB)
Processing /opt/files/typing_extensions-4.16.0-py3-none-any.whl (from pydantic==2.14.4)
Collecting pydantic-core==2.50.5 (from pydantic==2.14.4)
  Downloading pydantic_core-2.50.5-cp311-cp311-manylinux_2_17_x86_64.whl (2.3 MB)
Progress 0 of 2257712
Progress 262144 of 2257712
Progress 2257712 of 2257712
Requirement already satisfied: annotated-types>=0.6.0 in ./.venv (0.8.0)
Installing collected packages: typing-extensions, pydantic-core, pydantic
"""


def test_progress_of_a_recorded_installation() -> None:
    now = [0.0]
    following = PipProgress(expected=3, clock=lambda: now[0])
    states = []
    for line in PRINTED_BY_26_3.splitlines():
        if state := following.feed(line):
            states.append(state)
        now[0] += 0.5
    told = [(s.phase, s.package, s.done, s.total, s.bytes_done, s.bytes_total) for s in states]
    assert told == [
        ("Collecting", "pydantic", 1, 3, 0, 0),
        ("Downloading", "pydantic", 1, 3, 0, 494_000),
        ("Collecting", "typing-extensions", 2, 3, 0, 0),
        ("Collecting", "pydantic-core", 3, 3, 0, 0),
        ("Downloading", "pydantic-core", 3, 3, 0, 2_300_000),
        ("Downloading", "pydantic-core", 3, 3, 0, 2_257_712),
        ("Downloading", "pydantic-core", 3, 3, 262_144, 2_257_712),
        ("Downloading", "pydantic-core", 3, 3, 2_257_712, 2_257_712),
        ("Resolving", "annotated-types", 4, 4, 0, 0),
        ("Installing", "", 0, 3, 0, 0),
    ]
    assert states[6].speed == pytest.approx(262_144 / 0.5)
    assert states[7].speed == pytest.approx(2_257_712 / 1.0)


def test_installing_counts_what_has_arrived(tmp_path: Path) -> None:
    following = PipProgress(expected=3)
    assert following.installed(tmp_path) is None
    following.feed("Installing collected packages: typing-extensions, PySide6_Essentials, pydantic")
    (tmp_path / "typing_extensions-4.16.0.dist-info").mkdir()
    (tmp_path / "typing_extensions-4.16.0.dist-info" / "RECORD").write_text("")
    (tmp_path / "PySide6_Essentials-6.11.3.dist-info").mkdir()  # no RECORD: still being written
    state = following.installed(tmp_path)
    assert state is not None
    assert (state.done, state.total, state.package) == (1, 3, "pyside6-essentials")


def test_lines_of_no_interest_change_nothing() -> None:
    following = PipProgress(expected=1)
    for line in ("", "WARNING: Retrying", "Successfully installed x-1", "     ━━━━ 2.3/2.3 MB"):
        assert following.feed(line) is None


def test_environment_keeps_indexes_and_proxies_and_stays_in_the_folder(tmp_path: Path) -> None:
    inherited = {
        "PIP_INDEX_URL": "https://company/simple",
        "HTTPS_PROXY": "http://proxy",
        "PIP_TARGET": "/elsewhere",
        "PIP_USER": "1",
        "PYTHONPATH": "/elsewhere",
        "PYTHONHOME": "/elsewhere",
        "TMPDIR": "/tmp",
    }
    env = environment(tmp_path, inherited)
    assert env["PIP_INDEX_URL"] == "https://company/simple"
    assert env["HTTPS_PROXY"] == "http://proxy"
    assert env["PIP_USER"] == "0"
    assert not {"PIP_TARGET", "PYTHONPATH", "PYTHONHOME"} & env.keys()
    inside = str(tmp_path / ".setup")
    assert all(env[name].startswith(inside) for name in ("TMPDIR", "TEMP", "PIP_CACHE_DIR"))


def test_cancelled_process_is_ended(tmp_path: Path) -> None:
    code = "import time; print('started', flush=True); time.sleep(60)"
    seen: list[str] = []
    process = Process([sys.executable, "-c", code], dict(os.environ), tmp_path, lambda: bool(seen))
    with pytest.raises(SetupCancelled):
        for line in process.lines(0.05):
            seen += [line] if line else []
    assert seen == ["started"]


@pytest.mark.parametrize(
    ("printed", "kind", "words"),
    [
        ("ERROR: x.whl is not a supported wheel on this platform.", "no_wheel", "Python 3.13"),
        ("ERROR: Ignored: 1.0 requires a different Python: 3.15", "no_wheel", "uv run"),
        ("407 Proxy Authentication Required", "login", "HTTPS_PROXY"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "damaged", "anew"),
        ("HINT: ... Windows Long Path support enabled", "long_path", "C:\\Graft"),
        ("ERROR: x depends on y\n because these have conflicting dependencies", "conflict", "pip"),
        ("ERROR: something nobody foresaw", "pip", "Start again"),
        ("", "pip", "log.txt"),
    ],
)
def test_every_failure_has_a_kind_and_a_mend(printed: str, kind: str, words: str) -> None:
    err = from_pip(printed, (3, 13), "Linux x86_64")
    assert err.kind == kind
    assert words in f"{err.message} {err.mend}"


def test_missing_wheel_names_the_package_this_python_and_the_ones_that_work() -> None:
    """LETS #269, #359: pip alone says 'from versions: none'. OneTrainer #1088: aarch64."""
    err = from_pip(
        "ERROR: No matching distribution found for torch==2.13.0", (3, 16), "Linux arm64"
    )
    assert "torch==2.13.0 for Python 3.16 on Linux arm64" in err.message
    assert "3.11 to 3.14" in err.mend
