"""Running pip inside .venv: its environment, its cancellation, and reading its output."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.setup.errors import SetupCancelled
from engine.setup.pins import normalized
from engine.setup.progress import Progress

# Settings that would send packages elsewhere than into .venv, or other packages into it.
_UNWANTED = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_HASHES",
)


def environment(root: Path, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for pip: the person's indexes and proxies, but nothing outside `root`."""
    env = dict(os.environ if inherited is None else inherited)
    for name in _UNWANTED:
        env.pop(name, None)
    work = root / ".setup"
    # Temporary files beside .venv: /tmp is often too small for torch, and this is one disk.
    env |= {name: str(work / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
    return env | {
        "PIP_CACHE_DIR": str(work / "cache"),
        "PIP_USER": "0",
        "PIP_NO_INPUT": "1",
        "PIP_NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
    }


@dataclass
class Process:
    """A running command whose lines come with a heartbeat; ended on cancel."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    is_cancelled: Callable[[], bool]
    returncode: int = 0

    def lines(self, heartbeat_s: float = 0.5) -> Iterator[str | None]:
        """Yield each printed line, and None whenever none came for `heartbeat_s`.

        Sets `returncode` at the end; raises SetupCancelled after stopping the command.
        """
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        process = subprocess.Popen(
            list(self.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self.env),
            cwd=self.cwd,
            creationflags=flags,
        )
        waiting: queue.Queue[str | None] = queue.Queue()
        stream = process.stdout
        assert stream is not None

        def read() -> None:
            for line in stream:
                waiting.put(line.decode("utf-8", "replace").rstrip("\r\n"))
            waiting.put(None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                if self.is_cancelled():
                    raise SetupCancelled
                try:
                    line = waiting.get(timeout=heartbeat_s)
                except queue.Empty:
                    yield None
                    continue
                if line is None:
                    break
                yield line
            self.returncode = process.wait()
        finally:
            # Also on Ctrl+C and when the consumer stops early: pip must not outlive us.
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            reader.join(5)
            stream.close()


_TAKEN_UP = re.compile(r"^\s*(?:Collecting|Requirement already satisfied:)\s+([A-Za-z0-9._-]+)")
_LOCAL_WHEEL = re.compile(r"^\s*Processing\s+.*?([A-Za-z0-9._]+)-[^-/\\]+(?:-[^-/\\]+){3,4}\.whl")
_DOWNLOADING = re.compile(r"^\s*(?:Downloading|Using cached)\s.*\(([\d.]+)\s*(bytes|[kMG]B)\)")
_BYTES = re.compile(r"^\s*Progress (\d+) of (\d+)")
_INSTALLING = re.compile(r"^\s*Installing collected packages:\s*(.*)")
_UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass
class PipProgress:
    """Follows pip's output and tells how far it is.

    The format of `--progress-bar raw` is `Progress DONE of TOTAL`, in bytes (pip 24.1 and newer,
    seen in 23.2.1, which has no raw bar, and 26.3); older ones give a package's size alone.
    """

    expected: int
    """How many packages are expected."""
    clock: Callable[[], float] = time.monotonic
    state: Progress = field(default_factory=lambda: Progress("Resolving"))
    _seen: set[str] = field(default_factory=set)
    _installing: tuple[str, ...] = ()
    _started: float = 0.0

    def feed(self, line: str) -> Progress | None:
        """Read one line; returns the new state when the line changed it."""
        if found := _BYTES.match(line):
            done, total = int(found[1]), int(found[2])
            if done == 0 or self._started == 0.0:
                self._started = self.clock()
            seconds = self.clock() - self._started
            speed = done / seconds if seconds > 0.2 else 0.0
            return self._to(phase="Downloading", bytes_done=done, bytes_total=total, speed=speed)
        if found := _TAKEN_UP.match(line) or _LOCAL_WHEEL.match(line):
            name = normalized(found[1])
            self._seen.add(name)
            self._started = 0.0
            return self._to(
                phase="Resolving" if "already satisfied" in line else "Collecting",
                package=name,
                done=len(self._seen),
                total=max(self.expected, len(self._seen)),
                bytes_done=0,
                bytes_total=0,
                speed=0.0,
            )
        if found := _DOWNLOADING.match(line):
            size = int(float(found[1]) * _UNITS[found[2]])
            return self._to(phase="Downloading", bytes_total=size, bytes_done=0)
        if found := _INSTALLING.match(line):
            self._installing = tuple(normalized(name.strip()) for name in found[1].split(","))
            total = len(self._installing)
            self.state = Progress("Installing", done=0, total=total)
            return self.state
        return None

    def installed(self, site_packages: Path) -> Progress | None:
        """While pip installs (it prints nothing then): count what has arrived on disk."""
        if not self._installing:
            return None
        present = {
            normalized(folder.name.split("-")[0])
            for folder in site_packages.glob("*.dist-info")
            if (folder / "RECORD").exists()
        }
        arrived = [name for name in self._installing if name in present]
        coming = next((name for name in self._installing if name not in present), "")
        return self._to(done=len(arrived), package=coming)

    def _to(self, **changes: object) -> Progress:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
        return self.state
