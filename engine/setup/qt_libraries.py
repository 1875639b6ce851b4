"""The system libraries that Qt's window needs on Linux and that PySide6 does not bring along."""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping

# Library: its package on Debian and Ubuntu. From `ldd` over PySide6-Essentials 6.11.3.
BASE = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
}
XCB = {
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
WAYLAND = {
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
}


def missing(
    env: Mapping[str, str],
    load: Callable[[str], object] = ctypes.CDLL,
    system: str = sys.platform,
) -> list[str]:
    """The libraries that do not load, for the display that `env` names; [] off Linux.

    Loading costs nothing extra: Qt loads the same ones a moment later.
    """
    if not system.startswith("linux"):
        return []
    platform = env.get("QT_QPA_PLATFORM", "").partition(":")[0]
    wanted = dict(BASE)
    if platform == "wayland" or (not platform and env.get("WAYLAND_DISPLAY")):
        wanted |= WAYLAND
    elif platform in ("", "xcb"):
        wanted |= XCB
    absent = []
    for library in wanted:
        try:
            load(library)
        except OSError:
            absent.append(library)
    return absent


def mend(libraries: Iterable[str], which: Callable[[str], str | None] = shutil.which) -> str:
    """One line: what is missing and the command that brings it."""
    names = {**BASE, **XCB, **WAYLAND}
    listed = list(libraries)
    told = f"the window needs system libraries that are not installed: {', '.join(listed)}. "
    if which("apt-get"):
        packages = sorted({names[library] for library in listed})
        return told + "Install them: sudo apt install " + " ".join(packages)
    if which("dnf"):
        files = " ".join(f"'{library}()(64bit)'" for library in listed)
        return told + f"Install them: sudo dnf install {files}"
    return told + "Install them with your system's package manager."
