"""What machine this is, as far as the choice of packages depends on it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Run = Callable[[Sequence[str]], str]
"""Runs a command and returns what it printed; raises OSError or SubprocessError if it cannot."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA card as its driver describes it."""

    name: str
    capability: tuple[int, int]
    """Compute capability, (0, 0) where the driver does not tell."""
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """The operating system, the processor, the Python and the graphics cards."""

    system: str
    """`Linux`, `Windows` or `Darwin`."""
    arch: str
    """`x86_64` or `arm64`, whatever the system calls them."""
    python: tuple[int, int]
    gpus: tuple[Gpu, ...] = ()
    cuda: tuple[int, int] = (0, 0)
    """The newest CUDA the NVIDIA driver can run; (0, 0) without a driver."""
    driver: str = ""
    other_gpu: str = ""
    """`NVIDIA without a driver` or `AMD`, where a card is there that the above does not cover."""

    @property
    def told(self) -> str:
        """The system and processor in words, for messages."""
        names = {"Darwin": "macOS", "Windows": "Windows", "Linux": "Linux"}
        return f"{names.get(self.system, self.system)} {self.arch}"


def printed_by(command: Sequence[str]) -> str:
    """Run a short command without a console window and return its standard output."""
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    done = subprocess.run(
        list(command), capture_output=True, timeout=20, check=True, creationflags=flags
    )
    return done.stdout.decode("utf-8", "replace")


def look_at_machine(
    run: Run = printed_by, which: Callable[[str], str | None] = shutil.which
) -> Machine:
    """Find out what this machine is; never fails, a card that cannot be asked counts as none."""
    system, python = platform.system(), (sys.version_info.major, sys.version_info.minor)
    arch = {"amd64": "x86_64", "aarch64": "arm64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    gpus, cuda, driver = ask_nvidia(run, which) if system != "Darwin" else ((), (0, 0), "")
    other = "" if gpus or system != "Linux" else _unserved_card(Path("/sys/class/drm"))
    return Machine(system, arch, python, gpus, cuda, driver, other)


def ask_nvidia(
    run: Run, which: Callable[[str], str | None]
) -> tuple[tuple[Gpu, ...], tuple[int, int], str]:
    """The NVIDIA cards, the driver's CUDA version and the driver's own version."""
    program = which("nvidia-smi")
    if program is None:
        return (), (0, 0), ""
    fields = "--query-gpu=name,compute_cap,memory.total,driver_version"
    try:
        rows = run([program, fields, "--format=csv,noheader,nounits"])
        header = run([program])
    except (OSError, subprocess.SubprocessError):
        return (), (0, 0), ""
    gpus, driver = parse_cards(rows)
    return gpus, parse_cuda(header, driver) if gpus else (0, 0), driver


def parse_cards(rows: str) -> tuple[tuple[Gpu, ...], str]:
    """Read nvidia-smi's table (name, capability, MiB, driver), one card a line."""
    gpus, driver = [], ""
    for row in rows.splitlines():
        cells = [cell.strip() for cell in row.split(",")]
        if len(cells) != 4 or not re.match(r"\d+\.\d", cells[3]):
            continue  # e.g. "No devices were found"
        capability = re.fullmatch(r"(\d+)\.(\d+)", cells[1])
        memory = int(cells[2]) * 2**20 if cells[2].isdigit() else 0
        gpus.append(
            Gpu(
                cells[0],
                (int(capability[1]), int(capability[2])) if capability else (0, 0),
                memory,
            )
        )
        driver = cells[3]
    return tuple(gpus), driver


def parse_cuda(header: str, driver: str) -> tuple[int, int]:
    """The CUDA version in nvidia-smi's header, or else what a driver of this age can run."""
    if found := re.search(r"CUDA (?:UMD )?Version\s*:\s*(\d+)\.(\d+)", header):
        return int(found[1]), int(found[2])
    major = int(driver.split(".")[0]) if driver[:1].isdigit() else 0
    # From NVIDIA's table of the drivers that CUDA 13 and 12 need at least.
    for least, cuda in ((580, (13, 0)), (525, (12, 0)), (450, (11, 0))):
        if major >= least:
            return cuda
    return 0, 0


def _unserved_card(cards: Path) -> str:
    """Name a graphics card that shows on Linux's bus but has no NVIDIA driver to ask."""
    vendors = set()
    for file in cards.glob("card*/device/vendor"):
        try:
            vendors.add(file.read_text().strip())
        except OSError:
            continue
    if "0x10de" in vendors:
        return "NVIDIA without a driver"
    return "AMD" if "0x1002" in vendors else ""
