"""What this machine computes on, and how much memory it has: asked without importing torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from app.worker import in_worker

_TIMEOUT_S = 10
_QUERY = ("--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Device:
    """A card or the processor; `memory_bytes` is what programs share there."""

    name: str
    memory_bytes: int
    is_nvidia: bool = False


@dataclass(frozen=True)
class Machine:
    """The cards in CUDA's order, and the processor."""

    cards: tuple[Device, ...]
    processor: Device

    def device(self, wanted: str) -> Device:
        """What `launch.device` means here: "auto", "cpu", "cuda", "cuda:1", "mps"."""
        if wanted == "cpu" or not self.cards:
            return self.processor
        index = wanted.partition(":")[2]
        number = int(index) if index.isdigit() else 0
        return self.cards[number] if number < len(self.cards) else self.cards[0]

    @property
    def has_nvidia(self) -> bool:
        """Whether CUDA's packages have something to run on."""
        return any(card.is_nvidia for card in self.cards)


class DeviceLook(QObject):
    """Looks at the machine once, in a worker.

    Signals:
        found: `machine` is known.
    """

    found = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.machine: Machine | None = None

    def look(self) -> None:
        """Ask the driver and the system."""
        in_worker(self, look_at_machine, self._take)

    def _take(self, machine: Machine) -> None:
        self.machine = machine
        self.found.emit()


def look_at_machine() -> Machine:
    """Cards as NVIDIA's driver tells them, on a Mac the shared memory, and the processor."""
    import psutil

    memory = int(psutil.virtual_memory().total)
    processor = Device("CPU", memory)
    if sys.platform == "darwin":
        return Machine((Device("Apple GPU", memory),), processor)
    return Machine(_nvidia_cards(), processor)


def _nvidia_cards() -> tuple[Device, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    return cards_in(answer.stdout)


def cards_in(text: str) -> tuple[Device, ...]:
    """Read nvidia-smi's lines: name, mebibytes."""
    cards = []
    for line in text.splitlines():
        name, comma, size = line.rpartition(",")
        if comma and size.strip().isdigit():
            short = name.strip().removeprefix("NVIDIA ").removeprefix("GeForce ")
            cards.append(Device(short, int(size) * 1024**2, is_nvidia=True))
    return tuple(cards)
