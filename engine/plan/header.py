"""The header of a safetensors file read by hand: names, shapes, metadata, and single numbers.

Reading 100 kB of a file of gigabytes takes a millisecond and needs no torch. Every way in which
such a file can be something else is told in words (spec: data-loop and training-sd-flux 1.3).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_HEADER_BYTES = 100 * 1024 * 1024  # the format's own limit

BYTES_OF = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8,
    "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1,
    "F8_E5M2FNUZ": 1, "F8_E8M0": 1,
}  # fmt: skip
_STRUCT = {
    "F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b",
    "U64": "Q", "U32": "I", "U16": "H", "U8": "B",
}  # fmt: skip


class FileProblem(Exception):
    """A file that cannot be used; the message names it and says what is wrong and what to do."""


@dataclass(frozen=True)
class TensorInfo:
    """One entry of a header; `start` and `stop` count from the beginning of the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself; `data_start` and `size` are in bytes."""

    path: Path
    entries: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    data_start: int
    size: int

    @property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name → dtype and shape."""
        return {name: (info.dtype, info.shape) for name, info in self.entries.items()}

    @property
    def parameters(self) -> int:
        """Numbers in the file."""
        return sum(math.prod(info.shape) for info in self.entries.values())


def read_header(path: Path | str) -> Header:
    """Read the header of a safetensors file.

    Raises:
        FileProblem: missing, unreadable, truncated, or not a safetensors file; where it is easy to
            tell, with what it is instead (a web page, a Git LFS pointer, a pickle).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            start = file.read(512)
            length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
            _check_start(path, start, length, size)
            file.seek(8)
            raw = file.read(length)
    except FileNotFoundError:
        raise FileProblem(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise FileProblem(f"{path}: this is a folder, not a file.") from None
    except OSError as error:
        raise FileProblem(f"{path}: it cannot be read: {error.strerror or error}.") from None
    return _parse(path, raw, 8 + length, size)


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and time of change, to know a file again by; zeros if it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def _check_start(path: Path, start: bytes, length: int, size: int) -> None:
    name = path.name
    head = start.lstrip().lower()
    if size == 0:
        raise FileProblem(f"{name}: the file is empty. Download it again.")
    if start.startswith(b"version https://git-lfs"):
        raise FileProblem(
            f"{name}: this is only a Git LFS pointer, not the model. Download the file itself "
            "(git lfs pull, or the download button on the site)."
        )
    if head.startswith((b"<!doctype", b"<html")):
        raise FileProblem(
            f"{name}: this is a web page, not a model. Log in on the site and download it again."
        )
    # A header of 640 bytes, or 66,176, begins as a pickle does: what follows the length decides.
    if length == 0 or length > MAX_HEADER_BYTES or start[8:9] != b"{":
        if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04")):
            raise FileProblem(f"{name}: this is a pickle (.ckpt, .pt), not a safetensors file.")
        if start.startswith(b"GGUF"):
            raise FileProblem(
                f"{name}: this is a GGUF file; use the safetensors version of the model."
            )
        raise FileProblem(f"{name}: this is not a safetensors file.")
    if 8 + length > size:
        raise FileProblem(
            f"{name}: the file is cut off in its header ({size:,} bytes). Download it again."
        )


def _parse(path: Path, raw: bytes, data_start: int, size: int) -> Header:
    try:
        content = json.loads(raw)
        metadata = {str(k): str(v) for k, v in content.pop("__metadata__", {}).items()}
        entries = {
            name: TensorInfo(
                str(info["dtype"]),
                tuple(int(n) for n in info["shape"]),
                int(info["data_offsets"][0]),
                int(info["data_offsets"][1]),
            )
            for name, info in content.items()
        }
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise FileProblem(
            f"{path.name}: its header is damaged. Download or copy the file again."
        ) from None
    end = data_start + max((info.stop for info in entries.values()), default=0)
    if end > size:
        raise FileProblem(
            f"{path.name}: the file is cut off: it should have {end:,} bytes and has {size:,}. "
            "Download or copy it again."
        )
    for name, info in entries.items():
        width = BYTES_OF.get(info.dtype)
        whole = width is None or info.stop - info.start == width * math.prod(info.shape)
        if not whole or info.start < 0:
            raise FileProblem(f"{path.name}: its header is damaged at {name}.")
    return Header(path, entries, metadata, data_start, size)


def read_numbers(header: Header, name: str) -> list[float]:
    """Read a small tensor's values as floats, such as an alpha.

    Raises:
        KeyError: if there is no such tensor.
        FileProblem: if its format is not a plain number format, or the file cannot be read.
    """
    info = header.entries[name]
    try:
        with header.path.open("rb") as file:
            file.seek(header.data_start + info.start)
            raw = file.read(info.stop - info.start)
    except OSError as error:
        raise FileProblem(f"{header.path.name}: it cannot be read: {error.strerror}.") from None
    if info.dtype == "BF16":  # the upper half of a float32
        return [struct.unpack("<f", b"\0\0" + raw[i : i + 2])[0] for i in range(0, len(raw), 2)]
    if info.dtype not in _STRUCT:
        raise FileProblem(f"{header.path.name}: {name} has the number format {info.dtype}.")
    count = len(raw) // BYTES_OF[info.dtype]
    return [float(value) for value in struct.unpack(f"<{count}{_STRUCT[info.dtype]}", raw)]
