"""What nvidia-smi prints, in the forms it has, and none of it where it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from engine.setup.machine import Gpu, ask_nvidia, look_at_machine, parse_cards, parse_cuda
from engine.setup.memory import parse_meminfo, parse_vm_stat, read_memory

HEADER = "| NVIDIA-SMI 580.65.06   Driver Version: 580.65.06   CUDA Version: 13.0   |"


def test_cards_are_read_one_a_line() -> None:
    rows = "NVIDIA H100 80GB HBM3, 9.0, 81559, 570.1\nNVIDIA GeForce GTX 1080, 6.1, 8192, 570.1\n"
    gpus, driver = parse_cards(rows)
    assert gpus == (
        Gpu("NVIDIA H100 80GB HBM3", (9, 0), 81559 * 2**20),
        Gpu("NVIDIA GeForce GTX 1080", (6, 1), 8192 * 2**20),
    )
    assert driver == "570.1"


@pytest.mark.parametrize("rows", ["", "No devices were found\n", "Unable to determine, x\n"])
def test_no_cards_are_no_cards(rows: str) -> None:
    assert parse_cards(rows) == ((), "")


def test_a_driver_that_tells_no_capability_or_memory_still_counts() -> None:
    gpus, _ = parse_cards("NVIDIA GB10, [N/A], [N/A], 580.95\n")
    assert gpus == (Gpu("NVIDIA GB10", (0, 0), 0),)


@pytest.mark.parametrize(
    ("header", "driver", "cuda"),
    [
        (HEADER, "580.65.06", (13, 0)),
        ("| CUDA UMD Version: 13.2 |", "595.58", (13, 2)),
        ("", "580.1", (13, 0)),
        ("CUDA Version: N/A", "551.86", (12, 0)),
        ("", "470.82", (11, 0)),
        ("", "390.1", (0, 0)),
        ("", "", (0, 0)),
    ],
)
def test_cuda_version_from_the_header_or_else_from_the_driver(
    header: str, driver: str, cuda: tuple[int, int]
) -> None:
    assert parse_cuda(header, driver) == cuda


def test_a_broken_nvidia_smi_counts_as_no_card() -> None:
    def fails(command: Sequence[str]) -> str:
        raise subprocess.CalledProcessError(9, command)

    assert ask_nvidia(fails, lambda _: "/usr/bin/nvidia-smi") == ((), (0, 0), "")
    machine = look_at_machine(fails, lambda _: "/usr/bin/nvidia-smi")
    assert machine.gpus == ()
    assert machine.arch in ("x86_64", "arm64")


def test_memory_is_read_on_each_system() -> None:
    assert parse_meminfo("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n") == (
        1_024_000,
        614_400,
    )
    printed = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free: 100.\nPages active: 900.\nPages inactive: 50.\nPages speculative: 10.\n"
    )
    assert parse_vm_stat(printed) == 160 * 16384
    total, available = read_memory()
    assert total > available > 0
