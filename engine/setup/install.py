"""Installing a level into .venv: resumed or redone when it was interrupted, never half-used.

Order: lock, room on the disk, .venv, pip, then level by level torch, packages, check, stamp. A
level's stamp is written last, after its packages were seen whole and imported; without it the next
start does this again, and finds what was downloaded in .setup/cache.
"""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.setup import stamp as stamps
from engine.setup.check import Report
from engine.setup.errors import LOG_HINT, SetupCancelled, SetupError, from_pip
from engine.setup.lock import setup_lock
from engine.setup.machine import Machine, look_at_machine
from engine.setup.pins import Pin, Pins, normalized, read_pins
from engine.setup.pip import PipProgress, Process, environment
from engine.setup.progress import Progress, Reporter
from engine.setup.start import CODE
from engine.setup.torch_build import GIB, TorchBuild, choose_build, index_answers
from engine.setup.venv import ensure_venv, sweep

_ROOM = {"window": GIB // 2, "engine": 0, "dev": GIB // 2}
# Failures of PyTorch's own index after which PyPI is worth a try.
_INDEX_FAILED = ("network", "login", "tls", "no_wheel")


@dataclass(frozen=True)
class World:
    """What the installation asks of the world outside; tests put their own in place."""

    look_at_machine: Callable[[], Machine] = look_at_machine
    index_answers: Callable[[str], bool] = index_answers
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    which: Callable[[str], str | None] = shutil.which
    make_venv: Callable[[Sequence[str]], tuple[int, str]] | None = None
    """Runs the commands that make and probe .venv; None for the real thing."""


@dataclass
class _Installation:
    root: Path
    pins: Pins
    reporter: Reporter
    is_cancelled: Callable[[], bool]
    world: World
    env: dict[str, str]
    machine: Machine
    log: list[str]

    # --- running things ------------------------------------------------------------------------

    def tell(self, phase: str, package: str = "") -> None:
        self.reporter.progress(Progress(phase, package))

    def call(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a short command; its output goes to the log."""
        process = Process(command, self.env, CODE, self.is_cancelled)
        printed = [line for line in process.lines() if line is not None]
        self.write_log(printed)
        return process.returncode, "\n".join(printed)

    def pip(self, arguments: Sequence[str], expected: int) -> None:
        """Run pip, telling its progress; raises SetupError when it fails."""
        command = [str(stamps.venv_python(self.root)), "-m", "pip", "install", "--no-compile"]
        command += ["--only-binary=:all:", "--progress-bar", self.bar(), *arguments]
        following = PipProgress(expected)
        packages = site_packages(self.root)
        process = Process(command, self.env, CODE, self.is_cancelled)
        printed = ["$ pip " + " ".join(command[3:])]
        for line in process.lines():
            if line is None:
                state = following.installed(packages)
            else:
                state = following.feed(line)
                if not line.lstrip().startswith("Progress "):
                    printed.append(line)
                    self.reporter.log(line)
            if state is not None:
                self.reporter.progress(state)
        self.write_log(printed)
        if process.returncode:
            raise from_pip("\n".join(printed), self.machine.python, self.machine.told)

    def bar(self) -> str:
        """The progress bar this pip can print for a program to read."""
        version = self.installed_pip()
        return "raw" if version >= (24, 1) else "off"

    def installed_pip(self) -> tuple[int, ...]:
        """The version of the pip in .venv, (0,) where it cannot be told."""
        for folder in site_packages(self.root).glob("pip-*.dist-info"):
            number = folder.name.removeprefix("pip-").removesuffix(".dist-info")
            return tuple(int(part) for part in number.split(".") if part.isdigit())
        return (0,)

    def check(self, level: str | None) -> Report:
        """Ask .venv's Python what it holds, importing the packages of `level` if one is named."""
        command = [str(stamps.venv_python(self.root)), "-m", "engine.setup.check"]
        code, printed = self.call([*command, *([level] if level else [])])
        try:
            return Report(**json.loads(printed.strip().splitlines()[-1]))
        except (ValueError, TypeError, IndexError):
            raise SetupError(
                "check",
                f"The installed packages end Python when they are imported (exit code {code}).",
                f"Delete the .venv folder and start again. {LOG_HINT}",
            ) from None

    def write_log(self, lines: Sequence[str]) -> None:
        self.log.extend(lines)
        with open(self.root / ".setup" / "log.txt", "a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)

    # --- the steps -----------------------------------------------------------------------------

    def need_room(self, wanted: int, what: str) -> None:
        free = self.world.free_bytes(self.root)
        if free < wanted:
            raise SetupError(
                "space",
                f"{what} needs {wanted / 1e9:.1f} GB on the disk of {self.root}, and "
                f"{free / 1e9:.1f} GB are free.",
                "Free some space and start again.",
            )

    def update_pip(self) -> None:
        """Bring the pinned pip in: newer ones tell bytes and resume broken downloads."""
        wanted = self.pins.installer
        if self.installed_pip() == tuple(int(part) for part in wanted.version.split(".")):
            return
        self.tell("Updating", "pip")
        try:
            self.pip([wanted.requirement], 1)
        except SetupError as err:
            if err.kind in ("space", "permission"):
                raise
            # The pip that came with Python can install everything too, with fewer words.
            self.write_log([f"(keeping the pip that is there: {err.message})"])

    def install_torch(self, build: TorchBuild) -> None:
        """Install the one build of torch, unless it is there already."""
        version = self.pins.version_of("torch")
        there = self.check(None).versions.get("torch", "")
        if suits(build, there, version):
            return
        self.need_room(build.space_bytes, f"PyTorch ({build.name})")
        self.write_log([f"torch build {build.name}: {build.why}"])
        if build.index is None:
            again = ["--force-reinstall"] if there else []
            self.pip(["--no-deps", *again, f"torch=={version}"], 1)
            return
        try:
            # The build's own version, so that no other index in pip's settings can answer for it.
            exact = f"torch=={version}+{build.name}"
            self.pip(["--no-deps", "--index-url", build.index, exact], 1)
        except SetupError as err:
            if build.name != "cpu" or err.kind not in _INDEX_FAILED:
                raise
            self.write_log([f"PyTorch's CPU index failed ({err.message}); taking PyPI's torch"])
            self.pip(["--no-deps", f"torch=={version}"], 1)

    def install_packages(self, level: str) -> None:
        """Install a level's packages with everything else held where it is pinned."""
        held = [f"{pin.name}=={pin.version}" for pin in self.all_pins() if pin.name != "torch"]
        if torch := self.check(None).versions.get("torch"):
            held.append(f"torch=={torch}")  # with its local version: pip must not swap the build
        work = self.root / ".setup" / "tmp"
        requirements, constraints = work / f"{level}.txt", work / "constraints.txt"
        lines = [pin.requirement for pin in self.pins.levels[level]]
        requirements.write_text("\n".join(lines) + "\n", "utf-8")
        constraints.write_text("\n".join(held) + "\n", "utf-8")
        expected = len(self.pins.levels[level]) + len(self.pins.constraints[level])
        self.pip(["-r", str(requirements), "-c", str(constraints)], expected)

    def all_pins(self) -> tuple[Pin, ...]:
        return (*self.pins.up_to("dev"), *self.pins.constraints_up_to("dev"))

    def install_level(self, level: str, build: TorchBuild | None) -> Report:
        """Install and check one level; what is found broken is taken out and installed anew."""
        told = ""
        for _attempt in range(2):
            if build is not None:
                self.install_torch(build)
            self.install_packages(level)
            self.tell("Checking")
            report = self.check(level)
            broken = {name: at for name, at in report.broken.items() if self.is_ours(name)}
            if not broken:
                self.judge(level, report)
                return report
            told = ", ".join(broken)
            self.write_log([f"not whole: {told}"])
            for folder in broken.values():
                shutil.rmtree(folder, ignore_errors=True)  # so that pip installs it over again
        raise SetupError(
            "damaged",
            f"These packages do not arrive whole: {told}.",
            f"Check the disk, delete the .venv folder and start again. {LOG_HINT}",
        )

    def is_ours(self, name: str) -> bool:
        """Whether a package is one of ours, not something the person added to .venv."""
        ours = {pin.name for pin in self.all_pins()}
        return normalized(name) in ours or name.startswith(("nvidia", "cuda", "triton"))

    def judge(self, level: str, report: Report) -> None:
        """Raise SetupError unless every pin is there in its version and imports."""
        for pin in self.pins.levels[level]:
            there = report.versions.get(pin.name, "").partition("+")[0]
            if there != pin.version:
                raise SetupError(
                    "check",
                    f"pip installed {pin.name} {there or '(nothing)'} in place of {pin.version}.",
                    f"Look for a constraint in pip's settings, and start again. {LOG_HINT}",
                )
        for module, error in report.failed_imports.items():
            self.write_log([f"import {module}: {error}"])
            raise SetupError(
                "check", f"{module} is installed but does not import: {error}.", mend_import(error)
            )


def install(
    root: Path,
    level: str,
    reporter: Reporter,
    *,
    torch: str = "",
    redo: bool = False,
    is_cancelled: Callable[[], bool] = lambda: False,
    world: World | None = None,
) -> bool:
    """Install everything up to `level` that is not installed; says whether there was work to do.

    `torch` is one of torch_build.BUILDS; empty keeps what was asked for last time. `redo` checks
    and mends everything even where the stamps are good. Raises SetupError or SetupCancelled.
    """
    world = world or World()
    pins = read_pins(root)

    def pause(seconds: float) -> None:
        if is_cancelled():
            raise SetupCancelled
        time.sleep(seconds)

    def on_wait() -> None:
        reporter.progress(Progress("Waiting for another Graft that is installing"))

    work = root / ".setup"
    with setup_lock(work, on_wait, pause):
        missing = stamps.missing_levels(root, pins, level)
        before = stamps.read_stamp(root, "engine")
        wanted = torch or (before.torch_wanted if before else "auto")
        if redo or (before and wanted != before.torch_wanted):
            missing = list(stamps.LEVELS[: stamps.LEVELS.index(level) + 1])
        if not missing:
            return False
        shutil.rmtree(work / "tmp", ignore_errors=True)  # left by a start that was interrupted
        (work / "tmp").mkdir(parents=True, exist_ok=True)
        (work / "log.txt").write_text("", "utf-8")
        sweep(root)
        reporter.progress(Progress("Looking at this machine"))
        machine = world.look_at_machine()
        job = _Installation(
            root, pins, reporter, is_cancelled, world, environment(root), machine, []
        )
        job.write_log([f"{machine}"])
        job.need_room(sum(_ROOM[name] for name in missing), "Graft")
        build = None
        if "engine" in missing:
            build = choose_build(machine, wanted, world.index_answers)
            if build.warning:
                reporter.warning(build.warning)
        _install_missing(job, missing, build, wanted)
        shutil.rmtree(work / "cache", ignore_errors=True)
        shutil.rmtree(work / "tmp", ignore_errors=True)
    return True


def _install_missing(
    job: _Installation, missing: Sequence[str], build: TorchBuild | None, wanted: str
) -> None:
    """Make .venv, bring pip, and install, check and stamp each missing level."""
    job.tell("Preparing .venv")
    if ensure_venv(job.root, job.world.make_venv or job.call, job.world.which):
        missing = stamps.LEVELS[: stamps.LEVELS.index(missing[-1]) + 1]
        if "engine" in missing and build is None:
            build = choose_build(job.machine, wanted, job.world.index_answers)
    stamps.open_stamp(job.root, missing[0])
    job.update_pip()
    for name in missing:
        report = job.install_level(name, build if name == "engine" else None)
        built = report.versions.get("torch", "") if name == "engine" else ""
        if name == "engine" and build is not None and build.cuda and not report.torch_cuda:
            job.reporter.warning(
                f"pip brought torch {built} without CUDA, so training runs on the processor. "
                "To fetch the CUDA build from PyTorch's index: python main.py setup --torch cu130"
            )
        stamps.write_stamp(
            job.root,
            name,
            stamps.Stamp(
                job.pins.digest(name),
                stamps.venv_version(job.root) or "",
                built,
                wanted if name == "engine" else "auto",
                complete=True,
            ),
        )


def suits(build: TorchBuild, installed: str, version: str) -> bool:
    """Whether an installed torch (`2.13.0`, `2.13.0+cpu` …) is the wanted version and build."""
    number, _, local = installed.partition("+")
    if number != version:
        return False
    if build.index is not None:
        return local == build.name
    return local in ("", build.name) if build.cuda else True


def site_packages(root: Path) -> Path:
    """Where .venv keeps its packages."""
    if sys.platform == "win32":
        return root / ".venv" / "Lib" / "site-packages"
    version = stamps.venv_version(root) or sysconfig.get_python_version()
    return root / ".venv" / "lib" / f"python{version}" / "site-packages"


def mend_import(error: str) -> str:
    """What to do about a package that is whole and does not import."""
    if "WinError 126" in error or "WinError 1114" in error or "DLL load failed" in error:
        return (
            "Install the Microsoft Visual C++ runtime (https://aka.ms/vs/17/release/vc_redist"
            ".x64.exe) and start again."
        )
    if ".so" in error and "cannot open shared object file" in error:
        library = error.split(": ")[1] if ": " in error else error
        return f"Install the system package that holds {library}, and start again."
    return f"Delete the .venv folder and start again. {LOG_HINT}"
