"""The machine's memory, asked of the system without a package."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path


def read_memory() -> tuple[int, int]:
    """Bytes of memory: all, and what programs could still take. Zeros where it cannot be told."""
    try:
        if sys.platform == "win32":
            return _windows()
        if sys.platform == "darwin":
            return _macos()
        return parse_meminfo(Path("/proc/meminfo").read_text())
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return 0, 0


def parse_meminfo(text: str) -> tuple[int, int]:
    """Read Linux's /proc/meminfo."""
    sizes = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        sizes[name] = int(value.split()[0]) * 1024
    return sizes["MemTotal"], sizes["MemAvailable"]


def _macos() -> tuple[int, int]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    printed = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=10).stdout
    return total, parse_vm_stat(printed)


def parse_vm_stat(text: str) -> int:
    """Available bytes from macOS's vm_stat: free, inactive and speculative pages."""
    page = int(text.partition("page size of ")[2].split()[0])
    pages = 0
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in ("Pages free", "Pages inactive", "Pages speculative"):
            pages += int(value.strip().rstrip("."))
    return page * pages


class _MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX."""

    _fields_ = [
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *((name, ctypes.c_ulonglong) for name in ("total", "available", "c", "d", "e", "f", "g")),
    ]


def _windows() -> tuple[int, int]:
    assert sys.platform == "win32"
    status = _MemoryStatus()
    status.length = ctypes.sizeof(status)
    ctypes.WinDLL("kernel32").GlobalMemoryStatusEx(ctypes.byref(status))
    return status.total, status.available
