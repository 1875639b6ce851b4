"""`python main.py doctor`: versions, devices, room, what is missing, and the mend of each.

Needs no package itself, so that it runs where an installation failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.setup import qt_libraries, start
from engine.setup.check import Report
from engine.setup.devices import Device, Devices
from engine.setup.errors import PYTHONS, PYTHONS_TOLD, UV_LINE
from engine.setup.machine import Machine, look_at_machine
from engine.setup.memory import read_memory
from engine.setup.pins import LEVELS, Pins, read_pins
from engine.setup.stamp import missing_levels, venv_python

GB = 1e9
LITTLE_DISK = 5 * GB
LITTLE_MEMORY = 4 * GB
WHAT_FOR = {
    "bitsandbytes": "8-bit optimizers and 4-bit base models (NVIDIA)",
    "torchao": "base models in 8 bits, low-bit optimizers",
    "xformers": "another attention kernel; PyTorch's own is the default",
    "triton": "torch.compile on a GPU (comes with PyTorch on Linux with CUDA)",
}
WINDOWS_NAMES = {"triton": "triton-windows"}


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    section: str
    name: str
    value: str
    problem: str = ""
    """What is wrong; empty when nothing is."""
    mend: str = ""
    """What to do about it, or how to get something optional."""


def main(argv: list[str]) -> int:
    """Print the report; exit code 0 when nothing is wrong, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="python main.py doctor",
        description="Tell versions, devices, free room, what is missing and how to get it.",
        epilog="example: python main.py doctor --json > doctor.json",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(argv)
    findings = list(examine(start.CODE))
    problems = [finding for finding in findings if finding.problem]
    if options.json:
        told = {"ok": not problems, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(told, indent=1))
    else:
        print(in_words(findings))
    return 1 if problems else 0


def examine(root: Path) -> Iterator[Finding]:
    """Look at everything; each finding as soon as it is known."""
    pins = read_pins(root)
    machine = look_at_machine()
    yield Finding("Graft", "version", pins.version)
    yield Finding("Graft", "folder", str(root))
    yield from about_machine(machine, root)
    yield from about_qt()
    report = asked_of_venv(root, "check")
    yield from about_packages(root, pins, Report(**report) if report else None)
    probed = asked_of_venv(root, "devices") if report and "torch" in report["versions"] else None
    if probed:
        probed["devices"] = [Device(**device) for device in probed["devices"]]
        yield from about_devices(Devices(**probed), machine)
    yield from about_caches(root)


def about_machine(machine: Machine, root: Path) -> Iterator[Finding]:
    """Python, system, cards, memory, disk."""
    version = ".".join(map(str, sys.version_info[:3]))
    tested = PYTHONS[0] <= machine.python <= PYTHONS[1]
    yield Finding(
        "Machine",
        "Python",
        f"{version} ({sys.executable})",
        "" if tested else f"packages are tested on Python {PYTHONS_TOLD}",
        "" if tested else f"install one of these, delete .venv, start again; or {UV_LINE}",
    )
    yield Finding("Machine", "system", f"{machine.told}, {os.cpu_count()} cores")
    for gpu in machine.gpus:
        size = f"{gpu.memory_bytes / GB:.0f} GB" if gpu.memory_bytes else "memory not told"
        yield Finding("Machine", "NVIDIA card", f"{gpu.name}, {size}, driver {machine.driver}")
    if machine.other_gpu:
        amd = machine.other_gpu == "AMD"
        yield Finding(
            "Machine",
            "graphics card",
            machine.other_gpu,
            "" if amd else "the card cannot be used",
            "to train on it where ROCm supports it: python main.py setup --torch rocm7.2"
            if amd
            else "install NVIDIA's driver, then: python main.py setup --redo",
        )
    total, available = read_memory()
    if total:
        little = available < LITTLE_MEMORY
        yield Finding(
            "Machine",
            "memory",
            f"{available / GB:.1f} of {total / GB:.1f} GB free",
            "little memory is free" if little else "",
            "close other programs before training" if little else "",
        )
    free = shutil.disk_usage(root).free
    yield Finding(
        "Machine",
        "disk",
        f"{free / GB:.1f} GB free at {root}",
        "the disk is nearly full" if free < LITTLE_DISK else "",
        "free some space: models, caches and checkpoints are large" if free < LITTLE_DISK else "",
    )


def about_qt() -> Iterator[Finding]:
    """The display and the libraries that the window needs."""
    if not start.has_display():
        yield Finding("Window", "display", "none here; training from the command line works")
        return
    absent = qt_libraries.missing(os.environ)
    yield Finding(
        "Window",
        "system libraries",
        "all there" if not absent else f"missing: {', '.join(absent)}",
        "the window cannot open" if absent else "",
        qt_libraries.mend(absent) if absent else "",
    )


def about_packages(root: Path, pins: Pins, report: Report | None) -> Iterator[Finding]:
    """What is installed against what is pinned."""
    missing = missing_levels(root, pins, "dev")
    for level in LEVELS:
        installed = level not in missing
        needed = level != "dev"  # only who develops Graft needs the last one
        yield Finding(
            "Packages",
            f"for the {level}" if needed else "for development",
            "installed and checked" if installed else "not installed, or not as pinned",
            "" if installed or not needed else "Graft is not completely installed",
            "" if installed else f"python main.py setup --level {level}",
        )
    if report is None:
        return
    for pin in pins.up_to("engine"):
        there = report.versions.get(pin.name, "")
        if not there and "engine" in missing:
            continue
        right = there.partition("+")[0] == pin.version
        yield Finding(
            "Packages",
            pin.name,
            there or "missing",
            "" if right else f"{pin.version} is pinned",
            "" if right else "python main.py setup --redo",
        )
    for name in report.broken:
        yield Finding(
            "Packages", name, "damaged", "files are missing", "python main.py setup --redo"
        )


def about_devices(devices: Devices, machine: Machine) -> Iterator[Finding]:
    """What torch can compute on, and what would make it faster."""
    if devices.error:
        yield Finding(
            "PyTorch",
            "import",
            devices.error,
            "PyTorch does not import",
            "python main.py setup --redo",
        )
        return
    on_cpu = bool(machine.gpus) and not any(device.capability for device in devices.devices)
    yield Finding(
        "PyTorch",
        "build",
        devices.torch,
        "it does not see the NVIDIA card, and trains on the processor" if on_cpu else "",
        "python main.py setup --torch cu130 (or cu126 for driver 525 to 579)" if on_cpu else "",
    )
    for device in devices.devices:
        value = device.name
        if device.capability:
            value += f", {device.capability}"
        if device.total_bytes:
            value += f", {device.free_bytes / GB:.1f} of {device.total_bytes / GB:.1f} GB free"
        value += ", bf16" if device.bf16 else ", no bf16: train in fp16 or fp32"
        built = ", ".join(devices.compiled_for)
        yield Finding(
            "PyTorch",
            "device",
            value,
            "" if device.served else f"this PyTorch is compiled for {built} only",
            ""
            if device.served
            else "python main.py setup --torch cu130 (cards from Turing on) or cu126 (older ones)",
        )
    for name, reason in devices.optional.items():
        package = WINDOWS_NAMES.get(name, name) if machine.system == "Windows" else name
        python = venv_python(Path(".")).as_posix()
        yield Finding(
            "Optional",
            name,
            reason or "there",
            mend=f"{WHAT_FOR[name]}: {python} -m pip install {package}" if reason else "",
        )


def about_caches(root: Path) -> Iterator[Finding]:
    """How much the caches hold."""
    hub = os.environ.get("HF_HUB_CACHE") or os.path.join(
        os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface"), "hub"
    )
    places = {
        "downloaded models": Path(hub),
        "packages (.venv)": root / ".venv",
        "unfinished downloads": root / ".setup" / "cache",
        "encoded pictures": _documents() / "Graft" / ".graft-cache",
    }
    for name, folder in places.items():
        size = folder_bytes(folder)
        if size:
            yield Finding("Caches", name, f"{size / GB:.2f} GB in {folder}")


def _documents() -> Path:
    """The person's documents, where runs go unless a job says otherwise."""
    try:
        from platformdirs import user_documents_path
    except ImportError:  # the window's packages are not there yet
        return Path.home() / "Documents"
    return user_documents_path()


def folder_bytes(folder: Path) -> int:
    """What the files under a folder take up, links not followed; 0 where there is none."""
    total = 0
    for where, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(where, file)).st_size
            except OSError:
                continue
    return total


def asked_of_venv(root: Path, module: str) -> dict | None:
    """What `engine.setup.<module>` prints when .venv's Python runs it; None if it cannot."""
    python = venv_python(root)
    if not python.exists():
        return None
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    env = start.child_environment(os.environ)
    try:
        done = subprocess.run(
            [str(python), "-m", f"engine.setup.{module}"],
            capture_output=True,
            timeout=120,
            cwd=start.CODE,
            env=env,
            creationflags=flags,
        )
        return json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def in_words(findings: Sequence[Finding]) -> str:
    """The report for a person: what is wrong is marked, and its mend stands below it."""
    lines: list[str] = []
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", section]
        mark = "!!" if finding.problem else "  "
        lines.append(f" {mark} {finding.name:<22}{finding.value}")
        told = ": ".join(part for part in (finding.problem, finding.mend) if part)
        if told:
            lines.append(f"      {'>> ' if finding.problem else ''}{told}")
    problems = sum(1 for finding in findings if finding.problem)
    if problems:
        count = "1 problem" if problems == 1 else f"{problems} problems"
        lines += ["", f"{count}, marked with !!; the line below each says what to do."]
    else:
        lines += ["", "Nothing is wrong."]
    return "\n".join(lines[1:])
