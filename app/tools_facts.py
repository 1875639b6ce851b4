"""What the header of a LoRA file tells at once, without the engine: layers, ranks, precision."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from app.words import size_words
from engine.plan.header import FileProblem, read_header
from engine.schema.architectures import ARCHITECTURES
from engine.schema.file_settings import VERSIONS

_DOWN = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "lora_A.default.weight")
_PRECISIONS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}


@dataclass(frozen=True)
class AdapterFacts:
    """A file at a glance; `problem` says in words why it cannot be used, all else is empty then."""

    path: Path
    layers: int = 0
    ranks: tuple[int, ...] = ()
    precision: str = ""
    size_bytes: int = 0
    architecture: str = ""
    unit: int = 0  # of a DyLoRA file; 0 for others
    problem: str = ""

    @property
    def words(self) -> str:
        """All of it in one line."""
        if self.problem:
            return self.problem
        parts = [f"{self.layers:,} layers"]
        if self.architecture:
            parts.insert(0, ARCHITECTURES[self.architecture].label)
        if self.ranks:
            low, high = self.ranks[0], self.ranks[-1]
            parts.append(f"rank {low}" if low == high else f"ranks {low} to {high}")
        if self.unit:
            parts.append(f"DyLoRA in units of {self.unit}")
        return " · ".join([*parts, self.precision, size_words(self.size_bytes)])


def look_at_adapter(path: Path) -> AdapterFacts:
    """Read a file's header; to be called in a worker."""
    try:
        header = read_header(path)
    except FileProblem as problem:
        return AdapterFacts(path, problem=str(problem))
    ranks = [
        info.shape[0]
        for name, info in header.entries.items()
        if name.endswith(_DOWN) and info.shape
    ]
    if not ranks:
        words = f"{path.name} has no LoRA layers: it is no LoRA file, or one of another kind."
        return AdapterFacts(path, problem=words)
    dtypes = Counter(info.dtype for name, info in header.entries.items() if name.endswith(_DOWN))
    dtype = dtypes.most_common(1)[0][0]
    metadata = header.metadata
    return AdapterFacts(
        path,
        layers=len(ranks),
        ranks=tuple(sorted(set(ranks))),
        precision=_PRECISIONS.get(dtype, dtype),
        size_bytes=header.size,
        architecture=VERSIONS.get(metadata.get("ss_base_model_version", ""), ""),
        unit=_unit(metadata.get("ss_network_module", ""), metadata.get("ss_network_args", "")),
    )


def _unit(module: str, arguments: str) -> int:
    if not module.endswith("dylora"):
        return 0
    try:
        found = json.loads(arguments or "{}")
        return max(int(found.get("unit", 1)), 1)
    except (ValueError, TypeError, AttributeError):
        return 1
