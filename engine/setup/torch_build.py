"""Which build of torch suits a machine, and from which index it comes.

What torch 2.13 is published as (PyTorch's RELEASE.md and its support matrix): on PyPI the CUDA
13.0 build for Linux x86_64 and builds without CUDA for Windows and macOS; on PyTorch's own
indexes `cpu`, `cu126` (Maxwell to Hopper), `cu130` (Turing and newer), `cu132` and `rocm7.2`.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.setup.errors import SetupError
from engine.setup.machine import Machine

INDEX = "https://download.pytorch.org/whl/"
BUILDS = ("auto", "cpu", "cu126", "cu130", "cu132", "rocm7.2", "pypi")
"""What `setup --torch` takes."""

GIB = 2**30


@dataclass(frozen=True)
class TorchBuild:
    """One build of torch: where it comes from and what it needs."""

    name: str
    """`cpu`, `cu130`, … or `pypi` for whatever PyPI has for this system."""
    index: str | None
    """The only index to take torch from; None for pip's usual one."""
    why: str
    cuda: bool = False
    space_bytes: int = 2 * GIB
    """Room needed while it installs: the engine measured 1.3 GB installed and 0.5 GB downloaded
    without CUDA."""
    warning: str = ""
    """What the person should know, such as a driver too old for the card."""


@dataclass(frozen=True)
class _Cuda:
    """What a CUDA build of torch asks of the driver and the card."""

    name: str
    driver_cuda: tuple[int, int]
    capabilities: tuple[tuple[int, int], tuple[int, int]]


_ANY_NEW = (99, 0)
# Newest first. CUDA 12.6 programs run on any CUDA 12 driver (minor version compatibility).
_CUDA_BUILDS: dict[str, tuple[_Cuda, ...]] = {
    "x86_64": (
        _Cuda("cu130", (13, 0), ((7, 5), _ANY_NEW)),
        _Cuda("cu126", (12, 0), ((5, 0), (9, 0))),
    ),
    "arm64": (
        _Cuda("cu130", (13, 0), ((8, 0), _ANY_NEW)),
        _Cuda("cu126", (12, 0), ((8, 0), (9, 0))),
    ),
}


def choose_build(
    machine: Machine, wanted: str = "auto", answers: Callable[[str], bool] | None = None
) -> TorchBuild:
    """Choose torch's build; `answers(url)` says whether an index is there (asked at most once).

    Raises SetupError where torch has no build at all, as for Macs with Intel processors.
    """
    if machine.system == "Darwin" and machine.arch != "arm64":
        raise SetupError(
            "no_wheel",
            "PyTorch has published nothing for Macs with Intel processors since 2.2.",
            "The window works here; train on a Mac with Apple silicon, on Linux or on Windows.",
        )
    if wanted != "auto":
        return _named(wanted)
    if machine.system == "Darwin":
        return TorchBuild("pypi", None, "Apple silicon: PyPI's build uses the GPU through Metal")
    if machine.gpus:
        return _for_nvidia(machine)
    warning = _told_without_cuda(machine)
    if machine.system == "Windows" and machine.arch == "x86_64":
        return TorchBuild("pypi", None, "no NVIDIA GPU: PyPI's Windows build", warning=warning)
    index = INDEX + "cpu"
    if (answers or index_answers)(index + "/torch/"):
        return TorchBuild("cpu", index, "no NVIDIA GPU: PyTorch's CPU index", warning=warning)
    return TorchBuild(
        "pypi",
        None,
        "no NVIDIA GPU, and PyTorch's CPU index does not answer: PyPI",
        # PyPI's Linux build carries CUDA: a large download that works without a GPU all the same.
        space_bytes=9 * GIB if machine.arch == "x86_64" else 2 * GIB,
        warning=warning,
    )


def _named(wanted: str) -> TorchBuild:
    if wanted not in BUILDS:
        raise SetupError(
            "torch", f"'{wanted}' is no build of torch.", f"Take one of {', '.join(BUILDS)}."
        )
    if wanted == "pypi":
        return TorchBuild("pypi", None, "asked for", space_bytes=9 * GIB)
    cuda = wanted.startswith("cu")
    room = 2 * GIB if wanted == "cpu" else 9 * GIB
    return TorchBuild(wanted, INDEX + wanted, "asked for", cuda, room)


def _for_nvidia(machine: Machine) -> TorchBuild:
    """The newest CUDA build that the driver runs and the cards are built for."""
    capabilities = [gpu.capability for gpu in machine.gpus if gpu.capability != (0, 0)]
    told = f"{machine.gpus[0].name}, driver {machine.driver}"
    builds = _CUDA_BUILDS.get(machine.arch, _CUDA_BUILDS["x86_64"])
    able = [build for build in builds if machine.cuda >= build.driver_cuda]
    if not able:
        return TorchBuild(
            "cpu",
            INDEX + "cpu",
            f"{told}: too old for CUDA 12",
            warning=f"The NVIDIA driver {machine.driver} is too old for PyTorch, so training runs "
            "on the processor. Install driver 580 or newer, then: python main.py setup --redo",
        )
    # All cards if one build serves them all, else the strongest card.
    for group in (capabilities, [max(capabilities)] if capabilities else []):
        for build in able:
            oldest, newest = build.capabilities
            if all(oldest <= capability <= newest for capability in group):
                return _cuda_build(machine, build.name, told)
    return replace(
        _cuda_build(machine, builds[0].name, told),
        warning=f"{machine.gpus[0].name} needs CUDA 13, and the NVIDIA driver {machine.driver} "
        f"has {machine.cuda[0]}.{machine.cuda[1]}: install driver 580 or newer.",
    )


def _cuda_build(machine: Machine, name: str, told: str) -> TorchBuild:
    on_pypi = name == "cu130" and machine.system == "Linux" and machine.arch == "x86_64"
    index = None if on_pypi else INDEX + name
    return TorchBuild(name, index, told, cuda=True, space_bytes=9 * GIB)


def _told_without_cuda(machine: Machine) -> str:
    if machine.other_gpu == "AMD":
        return (
            "An AMD card is here. To train on it, if ROCm supports it: "
            "python main.py setup --torch rocm7.2"
        )
    if machine.other_gpu:
        return (
            "An NVIDIA card is here, but its driver does not answer (nvidia-smi). Install the "
            "driver, then: python main.py setup --redo"
        )
    return ""


def index_answers(url: str, patience_seconds: float = 4.0) -> bool:
    """Whether a package index answers in time, a slow name lookup counted in."""
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, headers={"User-Agent": "graft"})
        try:
            with urllib.request.urlopen(request, timeout=patience_seconds) as reply:
                if reply.status < 400:
                    answered.set()
        except (OSError, ValueError):
            return

    # A daemon thread: a stuck name lookup cannot be interrupted, and must not hold up anyone.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience_seconds)
    return answered.is_set()
