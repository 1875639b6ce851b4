"""Files with a real safetensors header and a hole where the weights would be."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

from engine.plan.header import BYTES_OF


def write_header(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    metadata: Mapping[str, str] | None = None,
    dtype: str = "F16",
) -> Path:
    """Write a file that costs no disk: the data is a hole of the right length."""
    offset = 0
    content: dict[str, object] = {}
    if metadata:
        content["__metadata__"] = dict(metadata)
    for name, shape in shapes.items():
        length = BYTES_OF[dtype] * math.prod(shape)
        content[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + length],
        }
        offset += length
    raw = json.dumps(content).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + offset)
    return path
